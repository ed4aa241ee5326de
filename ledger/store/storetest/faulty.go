package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"domicile.dev/domicile/ledger/store"
)

// ErrFault is the error of an operation that was made to fail. It is none of
// the errors on which callers branch: the outcome is unknown to them.
var ErrFault = errors.New("fault injected by the test")

// An Op is an operation of a store.
type Op string

// The operations, as Faulty names them. An ID is never made to fail.
const (
	OpCreate  Op = "create"
	OpReplace Op = "replace"
	OpGet     Op = "get"
	OpOpen    Op = "open"
	OpHead    Op = "head"
	OpList    Op = "list"
	OpDelete  Op = "delete"
)

// An Outcome is what becomes of one operation.
type Outcome int

const (
	// Pass lets the operation happen.
	Pass Outcome = iota
	// FailBefore fails the operation without doing anything.
	FailBefore
	// FailAfter does the operation, durably, and then fails it: what a caller
	// sees when an answer is lost. An operation that itself fails keeps its
	// own error.
	FailAfter
)

// A Hook decides about each operation; key is the prefix for OpList. It may be
// called concurrently, may block, and may do to the store what it likes.
type Hook func(op Op, key string) Outcome

// Faulty is a store whose operations fail where its hook says so. Without a
// hook it is the store it wraps.
type Faulty struct {
	store.Store

	mu   sync.RWMutex
	hook Hook
}

// NewFaulty wraps a store.
func NewFaulty(s store.Store) *Faulty { return &Faulty{Store: s} }

// SetHook changes the hook for operations that begin from now on; nil passes
// all of them.
func (f *Faulty) SetHook(hook Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// Nth is a hook that gives the n-th matching operation (from 1) the outcome, and
// passes all others.
func Nth(n int, outcome Outcome, match func(op Op, key string) bool) Hook {
	var mu sync.Mutex
	return func(op Op, key string) Outcome {
		mu.Lock()
		defer mu.Unlock()
		if match(op, key) {
			if n--; n == 0 {
				return outcome
			}
		}
		return Pass
	}
}

// around runs an operation between the two places where it can fail.
func (f *Faulty) around(op Op, key string, run func() error) error {
	f.mu.RLock()
	hook := f.hook
	f.mu.RUnlock()
	outcome := Pass
	if hook != nil {
		outcome = hook(op, key)
	}
	if outcome == FailBefore {
		return fmt.Errorf("object %s: %s not done: %w", key, op, ErrFault)
	}
	if err := run(); err != nil {
		return err
	}
	if outcome == FailAfter {
		return fmt.Errorf("object %s: %s done: %w", key, op, ErrFault)
	}
	return nil
}

// Create implements store.Store.
func (f *Faulty) Create(ctx context.Context, object store.Object) error {
	return f.around(OpCreate, object.Key, func() error { return f.Store.Create(ctx, object) })
}

// Replace implements store.Store.
func (f *Faulty) Replace(ctx context.Context, key string, data []byte, version string) (newVersion string, err error) {
	err = f.around(OpReplace, key, func() (err error) {
		newVersion, err = f.Store.Replace(ctx, key, data, version)
		return err
	})
	if err != nil {
		return "", err
	}
	return newVersion, nil
}

// Get implements store.Store.
func (f *Faulty) Get(ctx context.Context, key string) (data []byte, info store.Info, err error) {
	err = f.around(OpGet, key, func() (err error) {
		data, info, err = f.Store.Get(ctx, key)
		return err
	})
	if err != nil {
		return nil, store.Info{}, err
	}
	return data, info, nil
}

// Open implements store.Store.
func (f *Faulty) Open(ctx context.Context, key string) (r io.ReadCloser, info store.Info, err error) {
	err = f.around(OpOpen, key, func() (err error) {
		r, info, err = f.Store.Open(ctx, key)
		return err
	})
	if err != nil {
		if r != nil {
			r.Close()
		}
		return nil, store.Info{}, err
	}
	return r, info, nil
}

// Head implements store.Store.
func (f *Faulty) Head(ctx context.Context, key string) (info store.Info, err error) {
	err = f.around(OpHead, key, func() (err error) {
		info, err = f.Store.Head(ctx, key)
		return err
	})
	if err != nil {
		return store.Info{}, err
	}
	return info, nil
}

// List implements store.Store. FailAfter yields everything and then the fault.
func (f *Faulty) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		left := false
		err := f.around(OpList, prefix, func() error {
			for info, err := range f.Store.List(ctx, prefix, after) {
				if !yield(info, err) || err != nil {
					left = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !left {
			yield(store.Info{}, err)
		}
	}
}

// Delete implements store.Store.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	return f.around(OpDelete, key, func() error { return f.Store.Delete(ctx, key) })
}
