package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// dieWithParent asks the kernel to kill this process when its parent dies. If the parent is gone before the question is
// asked, standard input has ended with it, and that is watched too.
func dieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the engine to its parent: %w", err)
	}
	return nil
}
