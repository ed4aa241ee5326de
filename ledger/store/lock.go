package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked: another process holds the data directory.
var ErrLocked = errors.New("the data directory is in use")

// A Lock is the claim of one process on a data directory.
type Lock struct {
	file *os.File
	temp string
}

// LockDir claims the data directory for this process, or returns an error that
// wraps ErrLocked and names the process that has it. The claim ends with Close
// or with the process, however it dies. The directory must exist.
//
// With the claim comes run/tmp, empty of what killed processes left there.
//
// The lock keeps honest processes apart. It is not what keeps a log from
// forking: that is the write-once name of a commit.
func LockDir(data string) (*Lock, error) {
	if _, err := os.Stat(data); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	run := filepath.Join(data, "run")
	temp := filepath.Join(run, "tmp")
	if err := makeDir(temp, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(run, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer file.Close()
		return nil, fmt.Errorf("%w: %s is held by %s; stop it and try again", ErrLocked, data, holder(path))
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking the data directory: %s: %w", path, err)
	}
	// The file is never removed: a process that waits with the old file open
	// would hold a lock that nobody else sees.
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err == nil {
		err = sweepTemp(temp)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	return &Lock{file: file, temp: temp}, nil
}

// Temp is the folder for temporary files of the stores in the data directory.
func (l *Lock) Temp() string { return l.temp }

// Close gives the claim up.
func (l *Lock) Close() error { return l.file.Close() }

// holder names the process whose id the lock file holds.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if pid, convErr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && convErr == nil {
		return fmt.Sprintf("process %d", pid)
	}
	// It has the lock and has not written its id yet.
	return "another process"
}

// sweepTemp removes the temporary files of stores whose process is gone. An
// object that was linked before its process died loses only its second name.
func sweepTemp(temp string) error {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), tempPrefix) {
			continue
		}
		if err := os.Remove(filepath.Join(temp, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
