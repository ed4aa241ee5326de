package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
)

// Objects reads the objects of one store. Its methods may be called concurrently.
type Objects interface {
	// Read returns an object's bytes, in buf's memory if they fit. It wraps fs.ErrNotExist where there is none,
	// ErrForbidden where a role is missing, and errTooLarge beyond limit bytes.
	Read(ctx context.Context, key string, buf []byte, limit int64) ([]byte, error)

	// List yields every object below a folder ("" is all), in any order. Where something is no object (a link, a
	// device), Irregular says what it is. An error is the last thing yielded.
	List(ctx context.Context, folder string) iter.Seq2[Object, error]
}

// An Object is a name in a listing.
type Object struct {
	Key       string
	Irregular string
}

// ErrForbidden is wrapped by the error for an object that exists, perhaps, and may not be read.
var ErrForbidden = errors.New("a role is needed to read this")

var errTooLarge = errors.New("larger than such an object can be")

// Limits of what is read into memory, in bytes.
const (
	maxCommit  = 256 << 20
	maxTile    = 256 * (2 + 65535)
	maxPayload = 64 << 20
)

// Dir is a store in a directory.
type Dir string

// Read implements Objects.
func (d Dir) Read(ctx context.Context, key string, buf []byte, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !fs.ValidPath(key) {
		return nil, fmt.Errorf("%.200q is not the key of an object", key)
	}
	// Opened without following a link at the end, and without waiting for the other end of a pipe.
	f, err := os.OpenFile(filepath.Join(string(d), filepath.FromSlash(key)), os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is no file (%v)", info.Mode().Type())
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%d bytes: %w (%d)", info.Size(), errTooLarge, limit)
	}
	size := int(info.Size())
	if cap(buf) < size {
		buf = make([]byte, size+size/8)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(f, buf); err != nil {
		return nil, err
	}
	return buf, nil
}

// List implements Objects. Empty folders hold no objects and are not listed.
func (d Dir) List(ctx context.Context, folder string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { d.walk(ctx, folder, yield) }
}

func (d Dir) walk(ctx context.Context, folder string, yield func(Object, error) bool) bool {
	if err := ctx.Err(); err != nil {
		return yield(Object{}, err) && false
	}
	entries, err := os.ReadDir(filepath.Join(string(d), filepath.FromSlash(folder)))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true
		}
		return yield(Object{}, fmt.Errorf("list %s: %w", folder, err)) && false
	}
	for _, e := range entries {
		key := path.Join(folder, e.Name())
		switch {
		case e.IsDir():
			if !d.walk(ctx, key, yield) {
				return false
			}
		case e.Type().IsRegular():
			if !yield(Object{Key: key}, nil) {
				return false
			}
		default:
			if !yield(Object{Key: key, Irregular: e.Type().String()}, nil) {
				return false
			}
		}
	}
	return true
}
