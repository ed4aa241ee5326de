// Package interop holds domicile's logs against tools that nobody here wrote: Tessera's fsck and client, and torchwood's
// policies, proofs and client. It is a module of its own, so that none of them enters the ledger's own requirements, and
// consists of tests and benchmarks only.
//
// In goes a cell that ledger/log wrote into a directory, as it stands; out comes what the tools say of its open store, of
// its proofs and its policy files, and how fast each is beside them. Nothing here is needed to run domicile.
package interop
