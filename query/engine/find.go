package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// LibraryVersion is the pinned version of libchdb, as deploy/embedded/package.json names it.
const LibraryVersion = "26.7.3-stable.1"

// LibraryVariable is the environment variable that names a libchdb elsewhere.
const LibraryVariable = "DOMICILE_LIBCHDB"

// ErrNoEngine: there is nothing on this machine that could be started. The message says what to install.
var ErrNoEngine = errors.New("there is no ClickHouse to search with: " +
	"install Node.js 18 or newer and run \"make engine\", which fetches the embedded one; or put a clickhouse binary of 26.5 or newer into the PATH")

// oldest is the first version of ClickHouse whose `clickhouse local` can listen.
var oldest = [2]int{26, 5}

// A Program is an engine that was found and can be started.
type Program struct {
	Path    string // a clickhouse binary, or domicile-engine if there is a Library; absolute
	Library string // libchdb, absolute; empty for a clickhouse binary
	Version string // as far as it is known without starting it
}

// String is for people: what runs, from where.
func (p Program) String() string {
	if p.Library != "" {
		return fmt.Sprintf("libchdb %s (%s)", p.Version, p.Library)
	}
	return fmt.Sprintf("clickhouse %s (%s)", p.Version, p.Path)
}

// Find looks for an engine: a clickhouse binary in the PATH that is new enough, else domicile-engine (in the given
// folders, beside the running program, in the PATH) together with a libchdb (DOMICILE_LIBCHDB, else where `make engine`
// puts it). The error wraps ErrNoEngine and says what is missing of which.
func Find(ctx context.Context, folders ...string) (Program, error) {
	program, why := findBinary(ctx)
	if why == nil {
		return program, nil
	}
	library, err := findLibrary()
	if err != nil {
		return Program{}, fmt.Errorf("%w (%w; %w)", ErrNoEngine, why, err)
	}
	loader, err := findLoader(folders)
	if err != nil {
		return Program{}, fmt.Errorf("%w (%w; the library %s is there, but %w)", ErrNoEngine, why, library, err)
	}
	return Program{Path: loader, Library: library, Version: LibraryVersion}, nil
}

// saysVersion is in "ClickHouse local version 26.7.1.1234 (official build)."
var saysVersion = regexp.MustCompile(`version ((\d{1,4})\.(\d{1,4})[.\d]*)`)

func findBinary(ctx context.Context) (Program, error) {
	path, err := exec.LookPath("clickhouse")
	if err != nil {
		return Program{}, errors.New("no clickhouse in the PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "local", "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return Program{}, fmt.Errorf("%s local --version: %w", path, err)
	}
	found := saysVersion.FindSubmatch(out)
	if found == nil {
		return Program{}, fmt.Errorf("%s does not say its version", path)
	}
	major, _ := strconv.Atoi(string(found[2])) // digits, see the expression
	minor, _ := strconv.Atoi(string(found[3]))
	if major < oldest[0] || major == oldest[0] && minor < oldest[1] {
		return Program{}, fmt.Errorf("%s is version %s, older than %d.%d", path, found[1], oldest[0], oldest[1])
	}
	return Program{Path: path, Version: string(found[1])}, nil
}

// LibraryPath is where `make engine` puts the library: below the user's cache folder, one folder for each version.
func LibraryPath() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w", err)
	}
	return filepath.Join(cache, "domicile", "embedded", LibraryVersion, "libchdb.so"), nil
}

func findLibrary() (string, error) {
	path := os.Getenv(LibraryVariable)
	named := path != ""
	if !named {
		var err error
		if path, err = LibraryPath(); err != nil {
			return "", err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if !isFile(path) {
		if named {
			return "", fmt.Errorf("%s names %s, which is no file", LibraryVariable, path)
		}
		return "", fmt.Errorf("no library %s", path)
	}
	return path, nil
}

func findLoader(folders []string) (string, error) {
	const name = "domicile-engine"
	if self, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Dir(self))
		if real, err := filepath.EvalSymlinks(self); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("the program %s is neither beside this one nor in the PATH", name)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
