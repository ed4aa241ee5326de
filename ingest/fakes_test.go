package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"domicile.dev/domicile/ingest"
)

// memory is an item store that can fail before or after it persisted.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	creates int
	fail    func(create int, key string) (persist bool, err error)
}

func (m *memory) Create(_ context.Context, key string, data []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.creates++
	persist, err := true, error(nil)
	if m.fail != nil {
		persist, err = m.fail(m.creates, key)
	}
	_, taken := m.objects[key]
	if persist && !taken {
		if m.objects == nil {
			m.objects = map[string][]byte{}
		}
		m.objects[key] = bytes.Clone(data)
	}
	return taken, err
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[key]
	if !ok {
		return nil, ingest.ErrNoItem
	}
	return bytes.Clone(data), nil
}

func (m *memory) Head(_ context.Context, key string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.objects[key]
	return ok, nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[string, error] {
	keys := m.keys(prefix)
	return func(yield func(string, error) bool) {
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (m *memory) keys(prefix string) (keys []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys
}

// mask is no cipher, but binds the name and hides the plaintext.
type mask struct{}

func (mask) Seal(_ context.Context, name string, data []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s\n%s", name, flip(data)), nil
}

func (mask) Unseal(_ context.Context, name string, sealed []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, []byte(name+"\n"))
	if !ok {
		return nil, errors.New("sealed for something else")
	}
	return flip(rest), nil
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		b[i] ^= 0xff
	}
	return b
}

// control keeps the entries of a control log; fail decides about the n-th, counted from 1.
type control struct {
	mu      sync.Mutex
	entries []ingest.QuarantineEntry
	calls   int
	fail    func(call int) error
	before  func(ingest.QuarantineEntry)
}

func (c *control) RecordQuarantine(_ context.Context, e ingest.QuarantineEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.before != nil {
		c.before(e)
	}
	if c.fail != nil {
		if err := c.fail(c.calls); err != nil {
			return err
		}
	}
	c.entries = append(c.entries, e)
	return nil
}
