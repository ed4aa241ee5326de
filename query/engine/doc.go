// Package engine runs the embedded ClickHouse: a child process on a loopback port, for whoever has no cluster.
//
// In come a folder and a limit on memory; out go options with which clickhouse-go reaches the engine, whichever port it
// has just now. The engine is `clickhouse local`, either of a clickhouse binary in the PATH or of the library libchdb,
// which cmd/domicile-engine loads. Nobody but this process can use it: the password is made at random at each start and
// kept in memory, its hash lies in a file that only the owner reads, and the user without a password may do nothing.
//
// A crash of the engine is noticed at once; it is started again, with growing pauses if it keeps dying. A crash of this
// process ends the engine too: the terminal on which it waits hangs up, and on Linux the kernel kills it. What a query wrote before
// either crash is there afterwards, since the engine's files need no orderly end.
package engine
