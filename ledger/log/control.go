package log

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// Control is the one holder of a cell's control log. Components append entries; each is committed at once, together
// with whatever else came meanwhile, and answered after the commit. The holder takes nothing that a verifier would
// refuse: it replays the log when it opens it, and holds every entry against that state first.
type Control struct {
	*writer
	reader *Reader
	build  string

	queue   chan []*pendingEntry // what came in one call goes into one commit, in its order
	stopped chan struct{}
	cancel  context.CancelFunc
	group   *errgroup.Group

	mu     sync.Mutex // of the state, which the committing goroutine changes
	replay *custody.Replay
	latest int64 // the greatest time of an entry, ms
}

// pendingEntry is one call of Append.
type pendingEntry struct {
	raw   []byte
	index uint64
	done  chan error
}

// OpenControl opens a cell's control log and replays it. build is the version that components report.
func OpenControl(ctx context.Context, cfg Config, build string) (*Control, error) {
	w, err := openWriter(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &Control{
		writer: w, build: build, replay: custody.NewReplay(cfg.Origin),
		queue: make(chan []*pendingEntry), stopped: make(chan struct{}),
	}
	if c.reader, err = NewReader(cfg, nil); err != nil {
		return nil, err
	}
	if err := c.readEntries(ctx); err != nil {
		return nil, err
	}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.group, ctx = errgroup.WithContext(ctx)
	c.group.Go(func() error { defer close(c.stopped); return c.run(ctx) })
	c.group.Go(func() error { return c.pub.run(ctx, func() {}) })
	return c, nil
}

// readEntries replays the log up to its head.
func (c *Control) readEntries(ctx context.Context) error {
	if err := ReplayControl(ctx, c.reader, c.replay, c.head.Seq); err != nil {
		return err
	}
	_, policy, ok := c.replay.NewestPolicy()
	if !ok {
		return nil
	}
	for _, e := range policy.Emitters {
		if state, ok := c.replay.Emitter(e.ID); ok {
			c.latest = max(c.latest, state.Time)
		}
	}
	return nil
}

// ReplayControl applies every entry of a control log, up to commit last, to a replay that has applied none.
func ReplayControl(ctx context.Context, r *Reader, replay *custody.Replay, last uint64) error {
	for seq := uint64(0); seq <= last; seq++ {
		commit, err := r.read(ctx, seq)
		if err != nil {
			return err
		}
		for i, raw := range commit.Leaves {
			if err := r.supply(ctx, replay, raw); err != nil {
				return err
			}
			if err := replay.Apply(commit.Header.First+uint64(i), raw); err != nil {
				return fmt.Errorf("log %s: %w", r.origin, err)
			}
		}
	}
	return nil
}

// supply hands the replay the document of a policy entry, which is an attachment.
func (r *Reader) supply(ctx context.Context, replay *custody.Replay, raw []byte) error {
	if !strings.HasPrefix(string(raw), `{"v":1,"type":"policy"`) {
		return nil
	}
	entry, err := ledger.ParseEntry(raw)
	if err != nil {
		return fmt.Errorf("log %s: %w", r.origin, err)
	}
	policy, ok := entry.(*ledger.PolicyEntry)
	if !ok {
		return nil
	}
	document, _, err := r.locked.Get(ctx, r.key(policy.Object))
	if err != nil {
		return fmt.Errorf("%s: %w", r.key(policy.Object), err)
	}
	if err := replay.Supply(document); err != nil {
		return fmt.Errorf("%s: %w", r.key(policy.Object), err)
	}
	return nil
}

// Reader reads this log.
func (c *Control) Reader() *Reader { return c.reader }

// State calls look with the replayed state, which must not be kept.
func (c *Control) State(look func(*custody.Replay)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	look(c.replay)
}

// Size is the number of committed entries.
func (c *Control) Size() (size uint64) {
	c.State(func(r *custody.Replay) { size = r.Size() })
	return size
}

// Append commits an encoded entry and returns its index. A repeat of a committed entry, byte for byte, is answered with
// that one's index. What a verifier would refuse is refused with a *custody.Violation that names what was expected.
func (c *Control) Append(ctx context.Context, raw []byte) (uint64, error) {
	p := &pendingEntry{raw: raw, done: make(chan error, 1)}
	if err := c.submit(ctx, p); err != nil {
		return 0, err
	}
	return c.await(ctx, p)
}

// submit gives entries to the goroutine that commits.
func (c *Control) submit(ctx context.Context, entries ...*pendingEntry) error {
	select {
	case c.queue <- entries:
		return nil
	case <-c.stopped:
		return c.whyStopped()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await returns what became of an entry that was submitted.
func (c *Control) await(ctx context.Context, p *pendingEntry) (uint64, error) {
	select {
	case err := <-p.done:
		return p.index, err
	case <-c.stopped:
		select {
		case err := <-p.done:
			return p.index, err
		default:
			return 0, c.whyStopped()
		}
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Flush publishes what is committed.
func (c *Control) Flush(ctx context.Context) error { return c.pub.publish(ctx) }

// Close stops the holder and waits for it.
func (c *Control) Close() error {
	c.cancel()
	err := c.group.Wait()
	return cmp.Or(c.err(), err)
}

// maxEntriesACommit bounds a commit of the control log, give or take what comes in one call.
const maxEntriesACommit = 4096

// run commits what comes. Entries that come while a commit is on its way share the next one.
func (c *Control) run(ctx context.Context) error {
	for {
		var batch []*pendingEntry
		select {
		case entries := <-c.queue:
			batch = append(batch, entries...)
		case <-ctx.Done():
			return nil
		}
		for more := true; more && len(batch) < maxEntriesACommit; {
			select {
			case entries := <-c.queue:
				batch = append(batch, entries...)
			default:
				more = false
			}
		}
		c.commitEntries(context.WithoutCancel(ctx), batch) // what has begun is finished and answered
		if err := c.err(); err != nil {
			return err
		}
	}
}

// commitEntries takes the entries that the log may hold and answers all.
func (c *Control) commitEntries(ctx context.Context, batch []*pendingEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Like the times of commits and of entries, it does not go back with the clock: nothing could be written otherwise. The
	// clock may even have gone back between an entry and the commit that holds it.
	now := max(c.now(), c.latest)
	var leaves [][]byte
	var taken []*pendingEntry
	for _, p := range batch {
		index, fresh, err := c.take(ctx, p.raw, now)
		if err != nil {
			p.done <- err
			continue
		}
		p.index = index
		if fresh {
			leaves = append(leaves, p.raw)
		}
		taken = append(taken, p)
	}
	if len(leaves) == 0 {
		for _, p := range taken {
			p.done <- nil
		}
		return
	}
	// The replay is ahead of the log now. If the commit fails, this holder is done and so is the replay.
	crash.Point("control/before-commit")
	err := c.commit(ctx, ledger.Header{}, leaves, nil)
	crash.Point("control/after-commit")
	for _, p := range taken {
		p.done <- err
	}
}

// take holds an entry against the state and applies it. An entry that is there already keeps its index; it was committed
// before, or is committed with this very batch.
func (c *Control) take(ctx context.Context, raw []byte, now int64) (index uint64, fresh bool, err error) {
	entry, err := ledger.ParseEntry(raw)
	if err != nil {
		return 0, false, err
	}
	if err := c.reader.supply(ctx, c.replay, raw); err != nil {
		return 0, false, err
	}
	var repeat *custody.Repeat
	switch err := c.replay.Check(entry, now); {
	case errors.As(err, &repeat):
		return repeat.Index, false, nil
	case err != nil:
		return 0, false, err
	}
	index = c.replay.Size()
	c.latest = max(c.latest, entry.Common().Time)
	return index, true, c.replay.Apply(index, raw)
}
