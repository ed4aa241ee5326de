package ledger

// Hash is a SHA-256 hash.
type Hash = [32]byte
