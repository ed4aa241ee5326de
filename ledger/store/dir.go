package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"domicile.dev/domicile/internal/crash"
)

// A Kind says what a directory store holds, and with it the modes of its files.
type Kind int

const (
	// KindLocked holds what is written once: files are read-only for
	// everyone, Replace is refused.
	KindLocked Kind = iota
	// KindOpen holds what is derived.
	KindOpen
	// kindKeys holds secrets: written once, and nobody else's business.
	kindKeys
)

var kinds = map[Kind]struct {
	file, folder fs.FileMode
	replaces     bool
}{
	KindLocked: {0o444, 0o755, false},
	KindOpen:   {0o644, 0o755, true},
	kindKeys:   {0o600, 0o700, false},
}

// maxGet is the largest object that Get takes into memory, in bytes. Nothing a
// log stores comes near it; a file that does was put there by someone else.
const maxGet = 256 << 20

// tempPrefix begins the names of temporary files, so that the ones a killed
// process left can be told from anything else and removed.
const tempPrefix = "domicile-new-"

// A Dir is a Store in a directory of a local file system.
//
// An object is written to a temporary file, synced, and only then linked to its
// final name, which fails if the name is taken; then its folder is synced. So a
// name never shows torn bytes, whenever the process dies:
//
//   - before the link: a temporary file is left; the next holder of the data
//     directory removes it (LockDir),
//   - after the link and before the sync of the folder: the object is there for
//     everyone, but a power cut may take it back. Create was not answered; when
//     it is repeated, it syncs the folder before it says ErrExists.
//
// The temporary folder must be on the same file system as the store.
type Dir struct {
	root  string // absolute, symbolic links resolved
	temp  string // "" in a store that is only read
	home  string // the cell's folder, which holds store-id and locked/; "" if none
	kind  Kind
	nonce string        // tells this store's temporary files from other processes'
	names atomic.Uint64 // temporary files made so far

	folders   folders
	replacing chan struct{} // holds one token: one Replace at a time in this process
}

var _ Store = (*Dir)(nil)

// NewDir opens the existing folder root as a store of the given kind. Its
// temporary files go to temp; with temp "" the store can only be read. The
// store has no id; stores of a cell come from OpenCell.
func NewDir(root, temp string, kind Kind) (*Dir, error) {
	root, err := filepath.Abs(root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a store: %w", err)
	}
	if info, err := os.Stat(root); err != nil {
		return nil, fmt.Errorf("opening a store: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("opening a store: %s is not a folder", root)
	}
	d := &Dir{root: root, temp: temp, kind: kind, replacing: make(chan struct{}, 1)}
	d.folders.root, d.folders.mode, d.folders.fsync = root, kinds[kind].folder, syncFolder
	if temp != "" {
		var nonce [8]byte
		rand.Read(nonce[:])
		d.nonce = hex.EncodeToString(nonce[:])
	}
	return d, nil
}

// Root is the absolute path of the store's folder, for messages and read-only
// tools. Nothing but the store may write there.
func (d *Dir) Root() string { return d.root }

func (d *Dir) path(key string) string {
	return filepath.Join(d.root, filepath.FromSlash(key))
}

// begin is what every operation on a key asks first.
func (d *Dir) begin(ctx context.Context, key string, writes bool) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("object %.200s: %w", key, err)
	}
	if err := ValidateKey(key); err != nil {
		return err
	}
	if writes && d.temp == "" {
		return fmt.Errorf("object %s: the store %s was opened for reading only", key, d.root)
	}
	return nil
}

// Create implements Store.
func (d *Dir) Create(ctx context.Context, object Object) error {
	if err := d.begin(ctx, object.Key, true); err != nil {
		return err
	}
	path := d.path(object.Key)
	// Asked first only to spare the write: the link decides.
	if _, err := os.Lstat(path); err == nil {
		return d.exists(object.Key)
	}
	temp, err := d.writeTemp(object.Data)
	if err != nil {
		return fmt.Errorf("object %s: %w", object.Key, err)
	}
	// If this fails a stray second name is left for LockDir to remove; the
	// object is none the worse.
	defer os.Remove(temp)
	crash.Point("store/create/written")

	switch err := d.link(temp, path); {
	case errors.Is(err, fs.ErrExist):
		return d.exists(object.Key)
	case err != nil:
		return fmt.Errorf("object %s: %w", object.Key, err)
	}
	crash.Point("store/create/linked")

	if err := d.folders.sync(filepath.Dir(path)); err != nil {
		return fmt.Errorf("object %s: it is there, but perhaps not durably: %w", object.Key, err)
	}
	crash.Point("store/create/durable")
	return nil
}

// exists answers ErrExists once what is there is durable: it may have been
// linked by a process that was killed before it could sync the folder.
func (d *Dir) exists(key string) error {
	path := d.path(key)
	if info, err := os.Lstat(path); err != nil {
		return fmt.Errorf("object %s: %w", key, err) // deleted meanwhile: unknown
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("object %s: its place is taken by %s, which is not a file", key, path)
	}
	if err := d.folders.ensure(filepath.Dir(path)); err != nil {
		return fmt.Errorf("object %s: %w", key, err)
	}
	if err := d.folders.sync(filepath.Dir(path)); err != nil {
		return fmt.Errorf("object %s: it is there, but perhaps not durably: %w", key, err)
	}
	return fmt.Errorf("object %s: %w", key, ErrExists)
}

// link gives the temporary file its final name, making the folders it needs.
func (d *Dir) link(temp, path string) error {
	if err := d.folders.ensure(filepath.Dir(path)); err != nil {
		return err
	}
	err := os.Link(temp, path)
	if errors.Is(err, fs.ErrNotExist) {
		// Somebody removed a folder that was made before, as one does with a
		// derived store that is to be rebuilt.
		d.folders.forget()
		if err := d.folders.ensure(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Link(temp, path)
	}
	return d.explain(err)
}

func (d *Dir) explain(err error) error {
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("%w: temporary files (%s) and the store (%s) must be on one file system", err, d.temp, d.root)
	}
	return err
}

// writeTemp returns the path of a new, synced temporary file with these bytes.
func (d *Dir) writeTemp(data []byte) (path string, err error) {
	file, err := d.beginTemp(data)
	if err != nil {
		return "", err
	}
	return file.Name(), finishTemp(file)
}

// beginTemp writes a new temporary file without waiting for the medium.
func (d *Dir) beginTemp(data []byte) (*os.File, error) {
	path := filepath.Join(d.temp, fmt.Sprintf("%s%s-%d", tempPrefix, d.nonce, d.names.Add(1)))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, kinds[d.kind].file)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(data); err != nil {
		file.Close()
		os.Remove(path)
		return nil, err
	}
	return file, nil
}

// finishTemp makes the bytes of a temporary file durable, or removes it.
func finishTemp(file *os.File) error {
	err := errors.Join(file.Sync(), file.Close())
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// Replace implements Store. The swap is guarded by a lock on the folder of the
// key, which the kernel releases when its holder dies, and which is the same
// lock by whatever path or temporary folder other processes reach the store.
func (d *Dir) Replace(ctx context.Context, key string, data []byte, version string) (string, error) {
	if err := d.begin(ctx, key, true); err != nil {
		return "", err
	}
	if !kinds[d.kind].replaces {
		return "", fmt.Errorf("object %s: objects of the store %s are written once and never replaced", key, d.root)
	}
	select {
	case d.replacing <- struct{}{}:
		defer func() { <-d.replacing }()
	case <-ctx.Done():
		return "", fmt.Errorf("object %s: %w", key, context.Cause(ctx))
	}
	temp, err := d.writeTemp(data)
	if err != nil {
		return "", fmt.Errorf("object %s: %w", key, err)
	}
	defer os.Remove(temp) // gone already if it was renamed
	crash.Point("store/replace/written")

	newVersion := contentVersion(data)
	if err := d.swap(ctx, key, temp, version); err != nil {
		return "", fmt.Errorf("object %s: %w", key, err)
	}
	return newVersion, nil
}

func (d *Dir) swap(ctx context.Context, key, temp, version string) error {
	path := d.path(key)
	folder := filepath.Dir(path)
	if err := d.folders.ensure(folder); err != nil {
		return err
	}
	unlock, err := lockFolder(ctx, folder)
	if err != nil {
		return err
	}
	defer unlock()

	if version == "" {
		// A link and not a rename: Create does not take the lock.
		err := d.link(temp, path)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: there is one already", ErrMismatch)
		}
		if err != nil {
			return err
		}
	} else {
		there, _, err := d.Get(ctx, key)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w: there is none any more", ErrMismatch)
		}
		if err != nil {
			return err
		}
		if found := contentVersion(there); found != version {
			return fmt.Errorf("%w: %s, not %s", ErrMismatch, found, version)
		}
		crash.Point("store/replace/compared")
		if err := os.Rename(temp, path); err != nil {
			return d.explain(err)
		}
	}
	crash.Point("store/replace/swapped")
	// Still under the lock: a version that another process compares with is
	// one that a power cut cannot take back.
	if err := d.folders.sync(folder); err != nil {
		return fmt.Errorf("it is replaced, but perhaps not durably: %w", err)
	}
	crash.Point("store/replace/durable")
	return nil
}

func contentVersion(data []byte) string {
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

// lockFolder waits for the exclusive lock of a folder. flock(2) cannot be waited
// for together with a context, so it is asked again, at most every 16 ms. The
// lock is held for the time of one rename; only a stopped process holds it long.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	file, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 16*time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("locking the folder %s: %w", folder, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another process holds the lock of the folder %s: %w", folder, context.Cause(ctx))
		}
	}
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, key string) ([]byte, Info, error) {
	file, info, err := d.open(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	defer file.Close()
	if info.Size > maxGet {
		return nil, Info{}, fmt.Errorf("object %s: %d bytes are more than any object has", key, info.Size)
	}
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, Info{}, fmt.Errorf("object %s: %w", key, err)
	}
	if kinds[d.kind].replaces {
		info.Version = contentVersion(data)
	}
	return data, info, nil
}

// Open implements Store.
func (d *Dir) Open(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	file, info, err := d.open(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	return file, info, nil
}

func (d *Dir) open(ctx context.Context, key string) (*os.File, Info, error) {
	if err := d.begin(ctx, key, false); err != nil {
		return nil, Info{}, err
	}
	// Not through a link, and without waiting for the writer of a pipe: what
	// somebody put in an object's place must not lead or hold us elsewhere.
	file, err := os.OpenFile(d.path(key), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Info{}, objectError(key, err)
	}
	stat, err := file.Stat()
	if err == nil {
		err = onlyRegular(stat)
	}
	if err != nil {
		file.Close()
		return nil, Info{}, objectError(key, err)
	}
	return file, Info{Key: key, Size: stat.Size(), Versions: 1}, nil
}

// Head implements Store.
func (d *Dir) Head(ctx context.Context, key string) (Info, error) {
	if err := d.begin(ctx, key, false); err != nil {
		return Info{}, err
	}
	stat, err := os.Lstat(d.path(key))
	if err == nil {
		err = onlyRegular(stat)
	}
	if err != nil {
		return Info{}, objectError(key, err)
	}
	return Info{Key: key, Size: stat.Size(), Versions: 1}, nil
}

func onlyRegular(stat fs.FileInfo) error {
	switch {
	case stat.Mode().IsRegular():
		return nil
	case stat.IsDir(): // a folder of keys, which is not an object
		return fs.ErrNotExist
	}
	return fmt.Errorf("not a file (%s)", stat.Mode().Type())
}

// objectError names the key, and says ErrNotFound for what the system calls so.
func objectError(key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("object %s: %w", key, ErrNotFound)
	}
	return fmt.Errorf("object %s: %w", key, err)
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := d.begin(ctx, key, true); err != nil {
		return err
	}
	// The folder stays, also when it is empty: removing it would race with
	// the next Create.
	path := d.path(key)
	if stat, err := os.Lstat(path); err == nil && stat.IsDir() {
		return nil
	}
	err := os.Remove(path)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("object %s: %w", key, err)
	}
	crash.Point("store/delete/unlinked")
	if err := d.folders.sync(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("object %s: it is deleted, but perhaps not durably: %w", key, err)
	}
	return nil
}

// List implements Store. It holds the names of one folder in memory, and those
// of the folders above it.
func (d *Dir) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		start := prefix[:strings.LastIndexByte(prefix, '/')+1]
		for component := range strings.SplitSeq(strings.TrimSuffix(start, "/"), "/") {
			odd := component == "" || component == "." || component == ".." ||
				len(component) > maxComponent || strings.ContainsRune(component, 0)
			if start != "" && odd {
				return // no name in a file system is like this: there are no such keys
			}
		}
		d.list(ctx, start, prefix, after, yield)
	}
}

// list walks one folder, given as the beginning of its keys ("" or "a/b/"), and
// reports whether to go on.
func (d *Dir) list(ctx context.Context, folder, prefix, after string, yield func(Info, error) bool) bool {
	fail := func(err error) bool {
		yield(Info{}, fmt.Errorf("listing %s: %w", filepath.Join(d.root, folder), err))
		return false
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	file, err := os.Open(filepath.Join(d.root, folder))
	if err != nil {
		if gone(err) {
			return true
		}
		return fail(err)
	}
	entries, err := file.ReadDir(-1)
	file.Close()
	if err != nil && !gone(err) {
		return fail(err)
	}
	// Ascending keys are not ascending names: the keys in folder "a" begin with
	// "a/", which comes after the file "a-b" and before the file "a0".
	keys := make([]string, len(entries))
	byKey := make(map[string]fs.DirEntry, len(entries))
	for i, entry := range entries {
		keys[i] = folder + entry.Name()
		if entry.IsDir() {
			keys[i] += "/"
		}
		byKey[keys[i]] = entry
	}
	slices.Sort(keys)
	for _, key := range keys {
		if strings.HasSuffix(key, "/") {
			inPrefix := strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key)
			allBefore := key < after && !strings.HasPrefix(after, key)
			if inPrefix && !allBefore && !d.list(ctx, key, prefix, after, yield) {
				return false
			}
			continue
		}
		if key <= after || !strings.HasPrefix(key, prefix) {
			continue
		}
		info, err := byKey[key].Info()
		if gone(err) {
			continue
		}
		if err != nil {
			return fail(err)
		}
		if !yield(Info{Key: key, Size: info.Size(), Versions: 1}, nil) {
			return false
		}
	}
	return true
}

// gone says that a name vanished, or was never a folder.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
