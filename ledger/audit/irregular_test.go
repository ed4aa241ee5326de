//go:build unix

package audit_test

import (
	"os"
	"path/filepath"
	"syscall"
)

var irregular = map[string]func(path string) error{
	"pipe": func(path string) error { return syscall.Mkfifo(path, 0o644) },
	"link": func(path string) error {
		_ = os.Remove(path)
		return os.Symlink(filepath.Join("..", "entries", "000"), path)
	},
}
