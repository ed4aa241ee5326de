package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// FeedState says how far a log is indexed.
type FeedState struct {
	Indexed uint64    // leaves [0, Indexed) have their rows
	Commits uint64    // commits [0, Commits) are indexed
	Mended  uint64    // leaves whose rows were missing or there twice, and were made anew, since the feed began
	Err     error     // why the feed does not go on now; nil while it does
	Since   time.Time // when the feed came into this state: began to run, or to fail
}

// State returns how far the log of an origin is indexed; the zero FeedState for a log that is not fed.
func (x *Index) State(origin string) FeedState {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.feeds[origin]; s != nil {
		return *s
	}
	return FeedState{}
}

func (x *Index) setState(origin string, change func(*FeedState)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.feeds[origin]
	if s == nil {
		s = &FeedState{Since: x.cfg.Clock()}
		x.feeds[origin] = s
	}
	change(s)
}

// Back-off while ClickHouse is away.
const (
	firstWait = 200 * time.Millisecond
	lastWait  = 15 * time.Second
)

// Feed indexes a log: it catches up, then follows it, looking for commits whenever wake says so, until ctx ends. It
// returns nil then. Nothing else ends it: while ClickHouse is away, or the ledger cannot be read, it says so in State,
// waits, and starts over. There is one feed for a log.
func (x *Index) Feed(ctx context.Context, r *log.Reader, wake <-chan struct{}) error {
	if wake == nil {
		wake = make(chan struct{})
	}
	f := &feed{x: x, r: r, origin: r.Origin()}
	x.setState(f.origin, func(s *FeedState) { *s = FeedState{Since: x.cfg.Clock()} })
	wait := firstWait
	for {
		began := x.State(f.origin).Commits
		err := f.run(ctx, wake)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errRecount) {
			continue
		}
		x.setState(f.origin, func(s *FeedState) {
			if s.Err == nil {
				s.Since = x.cfg.Clock()
			}
			s.Err = err
		})
		if x.State(f.origin).Commits > began {
			wait = firstWait
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait)): // jitter: many feeds wait for one server
		}
		wait = min(2*wait, lastWait)
	}
}

// errRecount says that rows have to be counted again before the feed goes on: they are in other tables now, or on a
// server that was started anew.
var errRecount = errors.New("the rows have to be counted again")

// A feed is one log on its way into the tables.
type feed struct {
	x      *Index
	r      *log.Reader
	origin string

	have  []uint64 // by table: leaves [0, have) are there
	since int64    // when the server that the rows were counted on started, by its own clock in seconds
	swaps uint64   // exchanges of tables by then

	sent func(*batch) // is told of every batch; may be nil

	done           func(records, bytes uint64) error // ends the access that was logged; nil before the first read
	records, bytes uint64                            // read under it
}

// run goes on from what the tables hold.
func (f *feed) run(ctx context.Context, wake <-chan struct{}) error {
	err := f.resumeAndFollow(ctx, wake)
	if f.done != nil {
		err = errors.Join(err, f.done(f.records, f.bytes))
		f.done, f.records, f.bytes = nil, 0, 0
	}
	return err
}

func (f *feed) resumeAndFollow(ctx context.Context, wake <-chan struct{}) error {
	seq, err := f.resume(ctx)
	if err != nil {
		return err
	}
	return f.follow(ctx, seq, wake)
}

// begin logs that event data is going to be read, once for a run.
func (f *feed) begin(ctx context.Context) (err error) {
	if f.done == nil {
		f.done, err = f.x.access(ctx, ledger.OpIndexRebuild)
	}
	return err
}

func (f *feed) indexed(commits, leaves uint64) {
	f.x.setState(f.origin, func(s *FeedState) {
		if s.Err != nil {
			s.Since = f.x.cfg.Clock()
		}
		s.Commits, s.Indexed, s.Err = commits, leaves, nil
	})
}

// follow reads commits from seq on and inserts them. One goroutine reads and derives the next batch while another
// sends the one before.
func (f *feed) follow(ctx context.Context, seq uint64, wake <-chan struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan *batch)
	group.Go(func() error {
		defer close(batches)
		return f.produce(ctx, seq, wake, batches)
	})
	group.Go(func() error {
		for b := range batches {
			if err := f.send(ctx, b); err != nil {
				return err
			}
			f.indexed(b.next, b.size)
			if f.sent != nil {
				f.sent(b)
			}
		}
		return nil
	})
	return group.Wait()
}

// produce makes batches of commits. wake nil means that the log is read to its end only.
func (f *feed) produce(ctx context.Context, seq uint64, wake <-chan struct{}, batches chan<- *batch) error {
	d := new(deriver)
	ends := slices.Clone(f.have) // where the rows of a table end now
	var b *batch
	give := func() error {
		if b == nil {
			return nil
		}
		select {
		case batches <- b:
			b = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		header, err := f.r.Header(ctx, seq)
		if errors.Is(err, log.ErrNoCommit) {
			if err := give(); err != nil || wake == nil {
				return err
			}
			select {
			case <-wake:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
		// A batch never goes past where a table ends: it is in the table as a whole, or not at all.
		if b != nil && (slices.Contains(ends, header.First) || b.full()) {
			if err := give(); err != nil {
				return err
			}
		}
		if b == nil {
			b = &batch{origin: f.origin, from: seq, first: header.First}
		}
		if err := f.read(ctx, b, d, header); err != nil {
			return err
		}
		seq++
	}
}

// read appends the rows of a commit to a batch.
func (f *feed) read(ctx context.Context, b *batch, d *deriver, header *ledger.Header) error {
	line, err := header.Line()
	if err != nil {
		return fmt.Errorf("log %s: commit %d: %w", f.origin, header.Seq, err)
	}
	sum := sha256.Sum256(line)
	b.lastHash = hex.EncodeToString(sum[:])
	b.next, b.size = header.Seq+1, header.Size
	if header.First == header.Size {
		return nil
	}
	if err := f.begin(ctx); err != nil {
		return err
	}
	next := header.First
	err = f.r.Records(ctx, header.Seq, func(index uint64, line []byte) error {
		if index < next || index >= header.Size {
			return fmt.Errorf("record %d comes where %d should", index, next)
		}
		f.records++
		f.bytes += uint64(len(line))
		if len(line) == 0 {
			return nil // erased: filled in with what comes after it
		}
		if err := f.erased(ctx, b, header, next, index); err != nil {
			return err
		}
		next = index + 1
		row := row{index: index, commit: header.Seq}
		if err := d.derive(&row, b.keep(line)); err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
		b.add(&row)
		return nil
	})
	// A payload that is gone leaves leaves without records, like erased ones.
	if err == nil || errors.Is(err, log.ErrNoRecord) {
		err = f.erased(ctx, b, header, next, header.Size)
	}
	if err != nil {
		return fmt.Errorf("log %s: commit %d: %w", f.origin, header.Seq, err)
	}
	return nil
}

// erased appends rows for leaves [from, to) of a commit, whose records are not there any more.
func (f *feed) erased(ctx context.Context, b *batch, header *ledger.Header, from, to uint64) error {
	if from == to {
		return nil
	}
	commit, err := f.r.Commit(ctx, header.Seq)
	if err != nil {
		return err
	}
	for index := from; index < to; index++ {
		row := row{index: index, commit: header.Seq}
		if err := eraseRow(&row, commit.Leaves[index-header.First]); err != nil {
			return fmt.Errorf("leaf %d: %w", index, err)
		}
		b.add(&row)
	}
	return nil
}

// send puts a batch into the tables that lack it.
func (f *feed) send(ctx context.Context, b *batch) error {
	f.x.swap.RLock()
	defer f.x.swap.RUnlock()
	if b.first == b.size {
		return nil
	}
	if f.swaps != f.x.swaps {
		return errRecount
	}
	// Rows that were acknowledged outlive a server that is killed, but not always a machine that loses power.
	since, err := f.x.started(ctx)
	if err != nil {
		return err
	}
	if since-f.since > 2 || f.since-since > 2 {
		return errRecount
	}
	for i, t := range tables {
		if f.have[i] >= b.size {
			continue
		}
		crash.Point("index/before-" + t.name)
		if err := f.sendTo(ctx, t, b); err != nil {
			return err
		}
		f.have[i] = b.size
		crash.Point("index/after-" + t.name)
	}
	return nil
}

// sendTo inserts a batch into one table.
//
// The token makes a repeat harmless: an insert whose answer got lost is sent again, by this process or the next, and is
// in the table once. But the token outlives the rows: of a server that was killed between noting the token and keeping
// the rows, or where somebody took rows out. So where ClickHouse knows a token the rows are counted, and if they are not
// there they are sent under the token of another attempt.
func (f *feed) sendTo(ctx context.Context, t *table, b *batch) error {
	for attempt := range 100 {
		known, err := f.x.insert(ctx, t, b, b.token(t.name, attempt))
		if err != nil || !known {
			return err
		}
		rows, complete, err := f.x.holds(ctx, t.name, f.origin, span{b.first, b.size})
		if err != nil || complete {
			return err
		}
		if rows > 0 {
			return errRecount // there in part, or twice: that is not for an insert to mend
		}
	}
	return fmt.Errorf("leaves %d to %d of %s: ClickHouse says that they are in %s, and they are not", b.first, b.size, f.origin, t.name)
}
