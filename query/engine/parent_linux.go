package engine

import "syscall"

// endWithParent has the kernel kill the child when the thread that starts it ends, even if it is stuck.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
