//go:build unix

package audit

import "syscall"

const noWait = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
