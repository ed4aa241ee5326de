package store_test

import (
	"context"
	"sync/atomic"

	"domicile.dev/domicile/ledger/store"
)

// alternating sends every other write to a second store on the same folder.
type alternating struct {
	store.Store
	second store.Store
	turn   atomic.Uint64
}

func (a *alternating) next() store.Store {
	if a.turn.Add(1)%2 == 0 {
		return a.second
	}
	return a.Store
}

func (a *alternating) Create(ctx context.Context, object store.Object) error {
	return a.next().Create(ctx, object)
}

func (a *alternating) Replace(ctx context.Context, key string, data []byte, version string) (string, error) {
	return a.next().Replace(ctx, key, data, version)
}

func (a *alternating) Delete(ctx context.Context, key string) error {
	return a.next().Delete(ctx, key)
}
