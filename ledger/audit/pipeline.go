package audit

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// A job is one piece of an audit: do runs in any worker, then in the order in which jobs were emitted.
type job struct {
	do    func(ctx context.Context, s *scratch) // nil: nothing to do before then
	then  func(ctx context.Context) error
	ready chan struct{}
}

// scratch is a worker's memory.
type scratch struct {
	object, tile []byte
	leaves       leafReader
	opener       *opener // of payloads; made when the first is opened
}

// run runs the jobs that produce emits: do in several workers, then in order in one goroutine. At most a few jobs are
// under way. It returns the first error, after all goroutines have ended.
func run(ctx context.Context, workers int, produce func(ctx context.Context, emit func(*job) error) error) error {
	group, ctx := errgroup.WithContext(ctx)
	todo, order := make(chan *job, workers), make(chan *job, 3*workers)
	group.Go(func() error {
		defer close(todo)
		defer close(order)
		return produce(ctx, func(j *job) error {
			j.ready = make(chan struct{})
			select {
			case order <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
			if j.do == nil {
				close(j.ready)
				return nil
			}
			select {
			case todo <- j:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	for range workers {
		group.Go(func() error {
			var s scratch
			for {
				select {
				case j, ok := <-todo:
					if !ok {
						return nil
					}
					j.do(ctx, &s)
					close(j.ready)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}
	group.Go(func() error {
		for j := range order {
			select {
			case <-j.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := j.then(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}
