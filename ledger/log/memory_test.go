package log

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/store/storetest"
)

// memory is a store without a disk, for tests that open and close logs very often. It lives as long as its test, so
// "durable" means "in the map".
type memory struct {
	id       string
	replaces bool

	mu      sync.Mutex
	objects map[string][]byte
}

func newMemory(id string, replaces bool) *memory {
	return &memory{id: id, replaces: replaces, objects: make(map[string][]byte)}
}

func (m *memory) begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.ValidateKey(key)
}

func (m *memory) ID(context.Context) (string, error) { return m.id, nil }

func (m *memory) Create(ctx context.Context, o store.Object) error {
	if err := m.begin(ctx, o.Key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.objects[o.Key]; taken {
		return fmt.Errorf("object %s: %w", o.Key, store.ErrExists)
	}
	m.objects[o.Key] = bytes.Clone(o.Data)
	return nil
}

func (m *memory) Replace(ctx context.Context, key string, data []byte, version string) (string, error) {
	if err := m.begin(ctx, key); err != nil {
		return "", err
	}
	if !m.replaces {
		return "", errors.New("a locked store replaces nothing")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	there, ok := m.objects[key]
	if ok != (version != "") || ok && versionOf(there) != version {
		return "", fmt.Errorf("object %s: %w", key, store.ErrMismatch)
	}
	m.objects[key] = bytes.Clone(data)
	return versionOf(data), nil
}

func versionOf(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func (m *memory) Get(ctx context.Context, key string) ([]byte, store.Info, error) {
	if err := m.begin(ctx, key); err != nil {
		return nil, store.Info{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.objects[key]
	if !ok {
		return nil, store.Info{}, fmt.Errorf("object %s: %w", key, store.ErrNotFound)
	}
	info := store.Info{Key: key, Size: int64(len(data)), Versions: 1}
	if m.replaces {
		info.Version = versionOf(data)
	}
	return bytes.Clone(data), info, nil
}

func (m *memory) Open(ctx context.Context, key string) (io.ReadCloser, store.Info, error) {
	data, info, err := m.Get(ctx, key)
	if err != nil {
		return nil, info, err
	}
	return io.NopCloser(bytes.NewReader(data)), info, nil
}

func (m *memory) Head(ctx context.Context, key string) (store.Info, error) {
	_, info, err := m.Get(ctx, key)
	return info, err
}

func (m *memory) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(store.Info{}, err)
			return
		}
		m.mu.Lock()
		keys := slices.Sorted(maps.Keys(m.objects))
		m.mu.Unlock()
		for _, key := range keys {
			if !strings.HasPrefix(key, prefix) || key <= after {
				continue
			}
			info, err := m.Head(ctx, key)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

func (m *memory) Delete(ctx context.Context, key string) error {
	if err := m.begin(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

// memoryKeys keeps payload keys in memory, and has them made by a real key store.
type memoryKeys struct {
	store.Keys

	mu   sync.Mutex
	keys map[string]*store.PayloadKey
}

func (k *memoryKeys) Put(ctx context.Context, name string, key *store.PayloadKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if there, ok := k.keys[name]; ok && there != key {
		return fmt.Errorf("payload key %s: %w", name, store.ErrExists)
	}
	k.keys[name] = key
	return nil
}

func (k *memoryKeys) Get(ctx context.Context, name string) (*store.PayloadKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[name]; ok {
		return key, nil
	}
	return nil, fmt.Errorf("payload key %s: %w", name, store.ErrNotFound)
}

// faultyKeys is a key store whose operations fail where its hook says so, as storetest.Faulty is a store.
type faultyKeys struct {
	store.Keys
	hook func(op storetest.Op, name string) storetest.Outcome
}

func (k *faultyKeys) Put(ctx context.Context, name string, key *store.PayloadKey) error {
	switch k.hook(storetest.OpCreate, name) {
	case storetest.FailBefore:
		return fmt.Errorf("payload key %s: not stored: %w", name, storetest.ErrFault)
	case storetest.FailAfter:
		if err := k.Keys.Put(ctx, name, key); err != nil {
			return err
		}
		return fmt.Errorf("payload key %s: stored: %w", name, storetest.ErrFault)
	}
	return k.Keys.Put(ctx, name, key)
}

// The store in memory keeps the contract that the directory keeps, or what runs on it shows nothing.
func TestMemoryIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return newMemory("dir:memory:1", true) })
}
