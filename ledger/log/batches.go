package log

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// batches binds published ranges of an events log into the control log: at once after a quiet time, every BatchEvery
// under load, and whenever somebody flushes. A writer that starts reads back what its last batch entry lacks, so a
// crash between publication and entry leaves no hole; it writes the findings about those commits first, which takes their
// payloads.
type batches struct {
	log  *Events
	wake chan struct{}

	// Entries are held until findings are written about the commits from first on that were read back.
	first uint64
	held  atomic.Bool

	mu      sync.Mutex
	commits []commitFacts // committed and in no batch entry yet

	boundSize atomic.Uint64 // size, for those who do not wait

	writing sync.Mutex        // of the one entry that is written at a time
	size    uint64            // up to which leaves are bound
	next    map[Source]uint64 // marks that entries name, as far as they are known
	late    map[Source]uint64 // marks at that size that found no place in its entry
	last    time.Time
}

// commitFacts is what a batch entry needs to know of a commit.
type commitFacts struct {
	header  ledger.Header
	hash    string
	regions map[string]uint64
}

func factsOf(h *ledger.Header, hash string, leaves [][]byte) (commitFacts, error) {
	f := commitFacts{header: *h, hash: hash, regions: make(map[string]uint64)}
	for _, leaf := range leaves {
		l, err := ledger.ParseLeaf(leaf)
		if err != nil {
			return f, fmt.Errorf("commit %d: %w", h.Seq, err)
		}
		f.regions[l.Region]++
	}
	return f, nil
}

// loadBatches reads back the commits that no batch entry covers.
func loadBatches(ctx context.Context, e *Events) (*batches, error) {
	b := &batches{log: e, wake: make(chan struct{}, 1), next: make(map[Source]uint64), late: make(map[Source]uint64)}
	if e.cfg.Control == nil {
		return b, nil
	}
	if last := e.cfg.LastBatch; last != nil {
		b.first, b.size = last.CommitSeq+1, last.Size
		b.boundSize.Store(b.size)
		header, _, err := e.header(ctx, last.CommitSeq)
		if err != nil {
			return nil, err
		}
		for _, c := range header.Collectors {
			if s := (Source{c.ID, c.Epoch}); c.Next > b.from(s) {
				b.late[s] = c.Next
			}
		}
	}
	for seq := b.first; seq <= e.head.Seq; seq++ {
		commit, err := e.read(ctx, seq)
		if err != nil {
			return nil, err
		}
		facts, err := factsOf(&commit.Header, lineHash(commit.Line), commit.Leaves)
		if err != nil {
			return nil, err
		}
		b.commits = append(b.commits, facts)
	}
	b.held.Store(b.size < e.head.Size)
	return b, nil
}

// bound reports whether batch entries name a source's numbers up to next. Used before anything runs.
func (b *batches) bound(s Source, next uint64) bool {
	return b.log.cfg.Control == nil || b.from(s) >= next
}

// release lets entries be written.
func (b *batches) release() {
	if b.held.Swap(false) {
		b.published()
	}
}

// from is where the entries about a source's numbers go on.
func (b *batches) from(s Source) uint64 {
	next, known := b.next[s]
	if !known {
		b.log.cfg.Control.control.State(func(r *custody.Replay) {
			next = r.CollectorNext(b.log.origin, s.Collector, s.Epoch)
		})
		b.next[s] = next
	}
	return next
}

// committed takes note of a commit.
func (b *batches) committed(facts commitFacts) {
	if b.log.cfg.Control == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commits = append(b.commits, facts)
}

// published is told after each publication.
func (b *batches) published() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *batches) run(ctx context.Context) error {
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil
		}
		b.writing.Lock()
		pause := b.log.cfg.BatchEvery - time.Since(b.last)
		b.writing.Unlock()
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return nil
			}
		}
		// An entry whose outcome nobody waits for would leave its component unsure of its own number.
		if err := b.write(context.WithoutCancel(ctx)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return b.log.fail(err)
		}
	}
}

// write binds everything that is published and not bound yet. Repeats that were dropped without a leaf wait for the
// next leaf: a range is never empty.
func (b *batches) write(ctx context.Context) error {
	if b.log.cfg.Control == nil || b.held.Load() {
		return nil
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	done := b.log.pub.published()
	if done.size == b.size || done.note == nil {
		return nil
	}
	b.mu.Lock()
	n := 0
	for n < len(b.commits) && b.commits[n].header.Seq <= done.seq {
		n++
	}
	commits := b.commits[:n:n]
	b.mu.Unlock()
	if n == 0 || commits[n-1].header.Size != done.size {
		return fmt.Errorf("log %s: published %d leaves at commit %d, which is not among the commits to bind", b.log.origin, done.size, done.seq)
	}
	entry, late, err := b.entry(commits)
	if err != nil {
		return err
	}
	crash.Point("batch/before")
	if _, err := b.log.cfg.Control.Append(ctx, entry); err != nil {
		err = fmt.Errorf("log %s: binding [%d, %d): %w", b.log.origin, entry.First, entry.Size, err)
		var violation *custody.Violation
		if errors.As(err, &violation) && violation.Rule == custody.RuleOverlap {
			return b.log.fail(fmt.Errorf("%w: %w", ErrFenced, err)) // only a writer that has read these commits binds them
		}
		return err
	}
	crash.Point("batch/after")
	b.size, b.late = done.size, late
	b.boundSize.Store(b.size)
	for _, c := range entry.Collectors {
		b.next[Source{c.ID, c.Epoch}] = c.Next
	}
	b.last = time.Now()
	b.mu.Lock()
	b.commits = slices.Delete(b.commits, 0, n)
	b.mu.Unlock()
	return nil
}

// entry is the batch entry of consecutive commits. late are the marks that found no place in it.
func (b *batches) entry(commits []commitFacts) (_ *ledger.BatchEntry, late map[Source]uint64, err error) {
	last := &commits[len(commits)-1]
	e := &ledger.BatchEntry{Origin: b.log.origin, CommitSeq: last.header.Seq, First: b.size, Size: last.header.Size}
	if e.CommitHash, err = parseHex(last.hash); err != nil {
		return nil, nil, err
	}
	if e.Root, err = ledger.ParseHash(last.header.Root); err != nil {
		return nil, nil, err
	}
	if e.Rules, err = parseHex(last.header.Rules); err != nil {
		return nil, nil, err
	}
	classes := make(map[string]*ledger.BatchClass)
	marks := maps.Clone(b.late)
	regions := make(map[string]uint64)
	for _, c := range commits {
		if c.header.Rules != last.header.Rules {
			return nil, nil, fmt.Errorf("commit %d: the movement rules change within a batch", c.header.Seq)
		}
		e.Duplicates += c.header.Duplicates
		e.Hits += c.header.Hits
		for _, p := range c.header.Payloads {
			class := classes[p.Class]
			if class == nil {
				class = &ledger.BatchClass{Class: p.Class, Lock: ledger.LockNone}
				classes[p.Class] = class
			}
			class.Objects++
			class.Records += p.Records
		}
		for _, m := range c.header.Collectors {
			marks[Source{m.ID, m.Epoch}] = m.Next
		}
		for region, n := range c.regions {
			regions[region] += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		e.Classes = append(e.Classes, *classes[name])
	}
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		e.LeafRegions = append(e.LeafRegions, ledger.RegionCount{Region: region, Count: regions[region]})
	}
	late, err = b.addCollectors(e, marks)
	return e, late, err
}

// maxBatchBytes leaves an entry room for what its component fills in.
const maxBatchBytes = ledger.MaxEntryBytes - 1024

// addCollectors adds the ranges of sources that moved, as many as an entry can hold: the others stand in the next one.
// Those that have waited come first.
func (b *batches) addCollectors(e *ledger.BatchEntry, marks map[Source]uint64) (late map[Source]uint64, err error) {
	e.EntryCommon = probeCommon
	rest, err := ledger.EncodeEntry(e)
	if err != nil {
		return nil, err
	}
	e.EntryCommon = ledger.EntryCommon{}
	size := len(rest)
	late = make(map[Source]uint64)
	add := func(s Source, next uint64) {
		r := ledger.CollectorRange{ID: s.Collector, Epoch: s.Epoch, From: b.from(s), Next: next}
		if r.Next <= r.From {
			return
		}
		digits := len(strconv.FormatUint(r.From, 10)) + len(strconv.FormatUint(r.Next, 10))
		if size += len(`{"id":"","epoch":"","from":,"next":},`) + len(r.ID) + len(r.Epoch) + digits; size > maxBatchBytes {
			late[s] = next
			return
		}
		e.Collectors = append(e.Collectors, r)
	}
	sources := slices.SortedFunc(maps.Keys(marks), Source.compare)
	for _, waited := range []bool{true, false} {
		for _, s := range sources {
			if _, ok := b.late[s]; ok == waited {
				add(s, marks[s])
			}
		}
	}
	slices.SortFunc(e.Collectors, func(x, y ledger.CollectorRange) int {
		return Source{x.ID, x.Epoch}.compare(Source{y.ID, y.Epoch})
	})
	return late, nil
}

// canBind returns an error if no batch entry could name one of these. What cannot be bound must not be committed: it
// would stop the log for good.
func canBind(source Source, class, region string) error {
	probe := ledger.BatchEntry{
		EntryCommon: probeCommon, Origin: "probe/probe/events/0",
		Classes:     []ledger.BatchClass{{Class: class, Lock: ledger.LockNone}},
		Collectors:  []ledger.CollectorRange{{ID: source.Collector, Epoch: source.Epoch}},
		LeafRegions: []ledger.RegionCount{{Region: region}},
	}
	_, err := ledger.EncodeEntry(&probe)
	return err
}

// probeCommon stands for what a component fills in.
var probeCommon = ledger.EntryCommon{Emitter: "probe", Epoch: probeSource.Epoch}

// probeSource, probeClass and probeRegion can be bound, so that canBind tells about the others.
var probeSource = Source{Collector: "probe", Epoch: "00000000000000000000000000000000"}

const (
	probeClass  = "probe"
	probeRegion = "probe:probe"
)

func parseHex(s string) (h ledger.Hash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%q is not a hash", s)
	}
	return ledger.Hash(b), nil
}
