// Package ingest brings the providers' audit logs into the cells of this installation.
//
// In: files, folders or a stream of bytes, as the provider delivered them. Out: numbered messages on the stream of the
// cell that holds them, and a quarantine item for every record that cannot be used or that no cell may hold.
//
//	source → normalize (in order, on several cores) → place → quarantine, or number → batch → sink (the cell's log)
//
// Guaranteed: Collector.Run returns without an error only when every record that was read is committed, dropped by the
// log as a repeat, or durable in quarantine and named by a control entry, so that
//
//	events in = committed + duplicates + quarantined
//
// A crash loses nothing, because a source is acknowledged (its file counted as done) only then: feeding the same files
// again adds what is missing, and the uids of the events make the rest repeats. Memory does not depend on the size of
// a file: buffers are bounded and a slow log slows the reading.
//
// The package knows normalize and nothing of the ledger. What it needs of a ledger it declares as Sink, ItemStore,
// Sealer and Recorder; whoever wires a cell plugs them in.
package ingest
