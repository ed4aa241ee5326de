package api

import (
	"context"
	"time"
)

// places makes the places of each class: as many requests of it are answered at a time.
func (s *server) places() map[class]chan struct{} {
	return map[class]chan struct{}{
		classSearch: make(chan struct{}, s.Limits.Searches),
		classProof:  make(chan struct{}, s.Limits.Proofs),
		classRead:   make(chan struct{}, s.Limits.Reads),
		classProbe:  nil,
	}
}

// take takes a place, waiting a little for one.
func (s *server) take(ctx context.Context, places chan struct{}) error {
	if places == nil {
		return nil
	}
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(s.Limits.Wait)
	defer patience.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-patience.C:
		return &problem{kind: overloaded}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func leave(places chan struct{}) {
	if places != nil {
		<-places
	}
}
