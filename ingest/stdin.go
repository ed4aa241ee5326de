package ingest

import (
	"cmp"
	"context"
	"io"
)

// interruptible lets go of a reader that does not know contexts. One goroutine reads ahead by one buffer; when ctx ends
// while it is blocked it stays until its read returns, and what it read is lost, which is as if it had not been read.
type interruptible struct {
	ctx    context.Context
	chunks chan []byte
	err    error // set before chunks is closed
	rest   []byte
}

func newInterruptible(ctx context.Context, r io.Reader) *interruptible {
	i := &interruptible{ctx: ctx, chunks: make(chan []byte)}
	go func() {
		defer close(i.chunks)
		for {
			b := make([]byte, 64<<10)
			n, err := r.Read(b)
			if n > 0 {
				select {
				case i.chunks <- b[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				i.err = err
				return
			}
		}
	}()
	return i
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		select {
		case b, ok := <-i.chunks:
			if !ok {
				return 0, cmp.Or(i.err, context.Cause(i.ctx))
			}
			i.rest = b
		case <-i.ctx.Done():
			return 0, context.Cause(i.ctx)
		}
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

func (i *interruptible) Close() error { return nil }
