package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncAll asks the file system of an open file to write everything that waits
// in memory, once. It is a hint: what has to be durable is synced on its own
// afterwards, which then has nothing left to do, and reports its own errors.
func syncAll(file *os.File) { unix.Syncfs(int(file.Fd())) }
