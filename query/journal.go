package query

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"domicile.dev/domicile/internal/crash"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// A journal writes the access entries of a cell. An intent is answered when it is committed; those that come while a
// commit is on its way share the next one, so that many readers cost one write. Reports come behind the answers: they
// ride along with the next intents, or go alone after a short while.
//
// Two goroutines belong to it: one makes reports complete (a set takes reading leaves), one writes.
type journal struct {
	gateway *log.Component
	logged  func(took time.Duration)
	setOf   func(ctx context.Context, intent uint64, h *Handed) (*ledger.Hash, error)

	intents chan *intent
	reports chan *report             // to be completed
	entries chan *ledger.AccessEntry // reports to be written
	running sync.WaitGroup

	lost      atomic.Int64 // reports that were not written
	lastError error        // of one of them; of the goroutine that writes, until it has ended
}

// intent is an entry that somebody waits for.
type intent struct {
	entry  *ledger.AccessEntry
	state  atomic.Int32 // waiting, then one of the others
	result chan log.Appended
}

const (
	waiting int32 = iota
	answered
	abandoned
)

// report is what an access handed over.
type report struct {
	entry  *ledger.AccessEntry
	handed Handed
}

const (
	// maxReports bounds the reports that wait. When as many do, the next answer waits too.
	maxReports = 256

	// together is how many entries are written at a time.
	together = 64

	// reportAfter is how long a report waits for an intent to go with.
	reportAfter = 50 * time.Millisecond
)

func startJournal(gateway *log.Component, logged func(time.Duration), setOf func(context.Context, uint64, *Handed) (*ledger.Hash, error)) *journal {
	j := &journal{
		gateway: gateway, logged: logged, setOf: setOf,
		intents: make(chan *intent), reports: make(chan *report, maxReports), entries: make(chan *ledger.AccessEntry, together),
	}
	j.running.Go(j.complete)
	j.running.Go(j.write)
	return j
}

// intend writes an intent. If the caller goes away meanwhile, the journal reports for it that nothing was read.
func (j *journal) intend(ctx context.Context, e *ledger.AccessEntry) (Receipt, error) {
	in := &intent{entry: e, result: make(chan log.Appended, 1)}
	select {
	case j.intents <- in:
	case <-ctx.Done():
		return Receipt{}, context.Cause(ctx)
	}
	select {
	case r := <-in.result:
		return r.Receipt, r.Err
	case <-ctx.Done():
		if in.state.CompareAndSwap(waiting, abandoned) {
			return Receipt{}, context.Cause(ctx)
		}
		r := <-in.result
		return r.Receipt, r.Err
	}
}

func (j *journal) report(r *report) { j.reports <- r }

// close writes what waits. Nobody intends or reports any more.
func (j *journal) close() error {
	close(j.reports)
	j.running.Wait()
	if n := j.lost.Load(); n > 0 {
		return fmt.Errorf("%d accesses were not reported as done, and count as if everything was handed over: %w", n, j.lastError)
	}
	return nil
}

// complete adds the sets to reports. One that cannot be computed is left out: the report is worth more than its set.
func (j *journal) complete() {
	defer close(j.entries)
	for r := range j.reports {
		if set, err := j.setOf(context.Background(), *r.entry.Of, &r.handed); err == nil {
			r.entry.Set = set
		}
		j.entries <- r.entry
	}
}

// write appends entries until there are no more reports.
func (j *journal) write() {
	entries := j.entries
	var reports []*ledger.AccessEntry
	var late <-chan time.Time
	for entries != nil || len(reports) > 0 {
		var intents []*intent
		take := func(e *ledger.AccessEntry, more bool) {
			if more {
				reports = append(reports, e)
			} else {
				entries = nil
			}
		}
		if entries != nil {
			select {
			case in := <-j.intents:
				intents = append(intents, in)
			case e, more := <-entries:
				take(e, more)
				if late == nil {
					late = time.After(reportAfter)
				}
				if more && len(reports) < together/2 {
					continue
				}
			case <-late:
			}
		}
		for waits := true; waits && len(intents)+len(reports) < together; {
			select {
			case in := <-j.intents:
				intents = append(intents, in)
			case e, more := <-entries:
				take(e, more)
			default:
				waits = false
			}
		}
		reports, late = j.append(intents, reports), nil
	}
}

// append writes intents and reports and answers the intents. It returns the reports of those whose callers went away.
func (j *journal) append(intents []*intent, reports []*ledger.AccessEntry) (further []*ledger.AccessEntry) {
	var entries []ledger.Entry
	for _, in := range intents {
		entries = append(entries, in.entry)
	}
	for _, e := range reports {
		entries = append(entries, e)
	}
	// Entries belong to several callers: none of them may leave their fate open for the others.
	began := time.Now()
	crash.Point("gateway/before-entries")
	results := j.gateway.AppendAll(context.Background(), entries...)
	crash.Point("gateway/after-entries")
	j.logged(time.Since(began))
	for i, in := range intents {
		if in.state.CompareAndSwap(waiting, answered) {
			in.result <- results[i]
		} else if r := results[i]; r.Err == nil {
			further = append(further, nothingRead(in.entry, r.Receipt.Index))
		}
	}
	for _, r := range results[len(intents):] {
		if r.Err != nil {
			j.lost.Add(1)
			j.lastError = r.Err
		}
	}
	return further
}

// nothingRead is the report of an access that ended before it began.
func nothingRead(intent *ledger.AccessEntry, index uint64) *ledger.AccessEntry {
	e := *intent
	e.Phase, e.Of, e.Records, e.Bytes = ledger.AccessDone, &index, new(uint64), new(uint64)
	return &e
}
