package log

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store"
)

// EventsConfig is what an events log needs besides Config.
type EventsConfig struct {
	Config
	Keys store.Keys

	// A commit takes what has come until it holds so many records or bytes, or until Age after the first of them.
	MaxRecords int           // 0 means 8192
	MaxBytes   int           // of record lines; 0 means 16 MiB, which is also the most
	Age        time.Duration // 0 means a second

	Skew         time.Duration // how far clocks may be apart, at least what the cell's policies say; 0 means 10 minutes
	Window       int           // uids held to recognize repeats; 0 means a million
	MaxAhead     int           // events dated in the future that are held; others are rejected; 0 means 100,000
	MaxWaiting   int           // events that may wait for a look-up before reading stops; 0 means 10,000
	CarryMarks   time.Duration // how long a mark outlives its last message when the log is opened again; 0 means an hour
	MarksEvery   time.Duration // bounds how often a commit is made for marks and repeats alone; 0 means 10 seconds
	BatchEvery   time.Duration // bounds how often a busy log writes a batch entry; 0 means a minute
	Control      *Component    // writes batch entries, findings and the access entries of its own reads
	Jurisdiction string        // of the cell, for access entries
	LastBatch    *custody.Batch

	// Lookup finds events that the window does not hold; nil reads the log itself. Where an event that it finds has other
	// content, Renormalize tells the content that the stored event's raw data has today, and Others opens the cell's
	// other logs to read it from. Without them, content that differs is another event's.
	Lookup      Lookup
	Renormalize func(event []byte) (content ledger.Hash, err error)
	Others      func(ctx context.Context, origin string) (*Reader, error)

	// Reject keeps what is no event of this log. Without it such an event stops the log.
	Reject func(ctx context.Context, m *Message, reason error) error
	// Committed, if not nil, is told of each commit once it is durable, so that nobody has to poll for it. It must not
	// block; whoever opens the log catches up by itself.
	Committed func(seq uint64)
}

func (c *EventsConfig) defaults() {
	c.Config.defaults()
	for _, d := range []struct {
		value *int
		byDef int
	}{{&c.MaxRecords, 8192}, {&c.MaxBytes, ledger.MaxPayloadBytes}, {&c.Window, 1_000_000}, {&c.MaxWaiting, 10_000}, {&c.MaxAhead, 100_000}} {
		if *d.value <= 0 {
			*d.value = d.byDef
		}
	}
	c.MaxBytes = min(c.MaxBytes, ledger.MaxPayloadBytes)
	if c.Age == 0 {
		c.Age = time.Second
	}
	if c.Skew == 0 {
		c.Skew = 10 * time.Minute
	}
	if c.CarryMarks == 0 {
		c.CarryMarks = time.Hour
	}
	if c.MarksEvery == 0 {
		c.MarksEvery = 10 * time.Second
	}
	if c.BatchEvery == 0 {
		c.BatchEvery = time.Minute
	}
}

// Events is the writer of one events log.
type Events struct {
	*writer
	cfg       EventsConfig
	leastSkew time.Duration // that any writer of this log may be configured with
	reader    *Reader
	packer    *packer

	queue   chan *submission
	stopped chan struct{} // closed when nobody reads the queue any more
	cancel  context.CancelFunc
	group   *errgroup.Group

	// Of the goroutine that commits.
	window  *window
	lookup  Lookup
	scan    *scanLookup // lookup, where none was given
	marks   *marks
	repeats uint64 // dropped since the last commit
	waiting []*waiting
	waits   atomic.Int64  // as many as waiting
	unsaid  []*submission // taken and not answered
	renamer preparer

	batches *batches

	// Why events wait: the look-up does not answer, or a stored event cannot be read to compare with.
	lookups     trouble
	comparisons trouble
}

// submission is one call of Append.
type submission struct {
	messages []Message
	results  []Result
	alone    bool
	left     int   // results still missing
	refused  error // why none of it is taken
	done     chan error
}

// waiting is a message on its way into a commit; it stays in Events.waiting while a look-up cannot decide about it.
type waiting struct {
	prepared
	sub *submission
	at  int // index of its result
}

// A Status says what became of a message.
type Status int

// What can become of a message.
const (
	Committed Status = iota + 1 // it is a leaf now
	Duplicate                   // the event was there
	Repeat                      // the message was there: the stream sent it twice
	Conflict                    // committed as …~2: another event has its uid
	Rejected                    // it is no event of this log, and was handed to Reject
)

// A Result is what became of a message. Index is that of the event's leaf, for an event that was there as well; it is
// not known for a repeat whose uid is not held any more.
type Result struct {
	Status  Status
	UID     string
	Index   uint64
	Indexed bool
}

// OpenEvents opens an events log and goes on where it stands. It publishes what is committed and writes the batch
// entries that are missing. The duplicate window is read on the first Append, or at once if there are commits that no
// batch entry binds.
func OpenEvents(ctx context.Context, cfg EventsConfig) (*Events, error) {
	cfg.defaults()
	least, err := leastSkew(&cfg)
	if err != nil {
		return nil, err
	}
	w, err := openWriter(ctx, cfg.Config)
	if err != nil {
		return nil, err
	}
	e := &Events{writer: w, cfg: cfg, leastSkew: least, queue: make(chan *submission), stopped: make(chan struct{})}
	if e.packer, err = newPacker(); err != nil {
		return nil, err
	}
	if e.reader, err = NewReader(cfg.Config, cfg.Keys); err != nil {
		return nil, err
	}
	if e.lookup = cfg.Lookup; e.lookup == nil {
		e.scan = newScanLookup(e.reader, e.beginReading)
		e.lookup = e.scan
	}
	if cfg.LastBatch != nil {
		if err := w.checkBatch(ctx, cfg.LastBatch); err != nil {
			return nil, err
		}
	}
	if e.batches, err = loadBatches(ctx, e); err != nil {
		return nil, err
	}
	if e.marks, err = w.restoreMarks(ctx, &w.head, w.Clock().Add(-cfg.CarryMarks).UnixMilli(), e.batches.bound); err != nil {
		return nil, err
	}
	ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.group, ctx = errgroup.WithContext(ctx)
	e.group.Go(func() error {
		defer close(e.stopped)
		if e.batches.held.Load() {
			// Why it fails, if it does, is for those to hear who append.
			_ = e.loadWindow(ctx)
		}
		return e.run(ctx)
	})
	e.group.Go(func() error { return e.pub.run(ctx, e.batches.published) })
	e.group.Go(func() error { return e.batches.run(ctx) })
	return e, nil
}

// leastSkew is the least skew that a writer may have: the greatest that a policy of the cell has named. With less, an
// event that was committed, and let go of since its time was not that far ahead, would be taken for new.
func leastSkew(cfg *EventsConfig) (time.Duration, error) {
	if cfg.Control == nil {
		return cfg.Skew, nil
	}
	var least time.Duration
	cfg.Control.control.State(func(r *custody.Replay) {
		least = time.Duration(r.GreatestSkewMs()) * time.Millisecond
	})
	if cfg.Skew < least {
		return 0, fmt.Errorf("log %s: skew is %v, but the cell was made with %v: with less, repeats of events in this log could be taken for new ones; set skew to %v or more", cfg.Origin, cfg.Skew, least, least)
	}
	return least, nil
}

// Reader reads this log.
func (e *Events) Reader() *Reader { return e.reader }

// Append gives messages to the log and returns when every one of them is committed, or was found to be there, or was
// rejected: the sender may forget them then. alone says that nothing else will come before this is answered, so that
// waiting for company would be in vain. After an error the sender sends the same messages again; until then it leaves
// them as they are, since they may be on their way into a commit.
func (e *Events) Append(ctx context.Context, messages []Message, alone bool) ([]Result, error) {
	s := &submission{messages: messages, results: make([]Result, len(messages)), alone: alone, left: len(messages), done: make(chan error, 1)}
	if len(messages) == 0 {
		return nil, nil
	}
	if err := e.submit(ctx, s); err != nil {
		return nil, err // the log may still be filling them in
	}
	return s.results, nil
}

func (e *Events) submit(ctx context.Context, s *submission) error {
	select {
	case e.queue <- s:
	case <-e.stopped:
		return e.whyStopped()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-s.done:
		return err
	case <-e.stopped:
		select {
		case err := <-s.done:
			return err
		default:
			return e.whyStopped()
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Flush returns when everything that was answered before is published and bound into the control log.
func (e *Events) Flush(ctx context.Context) error {
	// An empty submission commits what only moved the marks.
	if err := e.submit(ctx, &submission{alone: true, done: make(chan error, 1)}); err != nil {
		return err
	}
	if err := e.pub.publish(ctx); err != nil {
		return err
	}
	return e.batches.write(ctx)
}

// Close stops the writer and waits for it: a commit that has begun is finished and answered, and marks that moved since are
// committed. What is committed and not published is published by the next one.
func (e *Events) Close() error {
	e.cancel()
	err := e.group.Wait()
	return cmp.Or(e.err(), err)
}

// run commits. It owns the window, the marks and the tree.
func (e *Events) run(ctx context.Context) error {
	moved := time.Now()
	for {
		if err := e.room(ctx); err != nil {
			return e.finish(ctx)
		}
		var retry <-chan time.Time
		if len(e.waiting) > 0 {
			retry = time.After(soonest(&e.lookups, &e.comparisons))
		}
		queue := e.queue
		if len(e.waiting) > e.cfg.MaxWaiting {
			queue = nil // reading stops until the look-up answers
		}
		var batch []*submission
		select {
		case s := <-queue:
			batch = e.collect(ctx, s)
		case <-retry:
		case <-ctx.Done():
			return e.finish(ctx)
		}
		err := e.commitBatch(ctx, batch, &moved)
		e.waits.Store(int64(len(e.waiting)))
		e.answer(batch, err)
		if stopped := e.err(); stopped != nil {
			return stopped
		}
	}
}

// finish commits the marks of messages that were answered and brought no leaf, so that a source which goes on after the
// log was opened again is not told that numbers are missing.
func (e *Events) finish(ctx context.Context) error {
	if e.err() != nil || e.repeats == 0 && !e.marks.moved {
		return nil // whyStopped knows
	}
	return e.commitNew(context.WithoutCancel(ctx), nil)
}

// room waits while too much is committed that could not be published.
func (e *Events) room(ctx context.Context) error {
	for e.pub.crowded() {
		if err := e.pub.publish(ctx); err == nil {
			continue
		} else if e.err() != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// answer tells the senders of the batch what came of it, and those of earlier ones whose events had to wait.
func (e *Events) answer(batch []*submission, err error) {
	if err != nil {
		for _, s := range batch {
			s.done <- err
		}
		return
	}
	for _, s := range batch {
		if s.refused != nil {
			s.done <- s.refused
		} else {
			e.unsaid = append(e.unsaid, s)
		}
	}
	kept := e.unsaid[:0]
	for _, s := range e.unsaid {
		if s.left == 0 {
			s.done <- nil
		} else {
			kept = append(kept, s)
		}
	}
	clear(e.unsaid[len(kept):])
	e.unsaid = kept
}

// collect adds what else comes to the first submission, until the commit is full, old enough, or nobody else is
// expected.
func (e *Events) collect(ctx context.Context, first *submission) []*submission {
	batch := []*submission{first}
	records, size := len(first.messages), eventBytes(first.messages)
	age := time.NewTimer(e.cfg.Age)
	defer age.Stop()
	for alone := first.alone; records < e.cfg.MaxRecords && size < e.cfg.MaxBytes; {
		var s *submission
		if alone {
			select {
			case s = <-e.queue:
			default:
				return batch
			}
		} else {
			select {
			case s = <-e.queue:
			case <-age.C:
				return batch
			case <-ctx.Done():
				return batch
			}
		}
		alone = alone || s.alone
		batch = append(batch, s)
		records += len(s.messages)
		size += eventBytes(s.messages)
	}
	return batch
}

func eventBytes(messages []Message) (n int) {
	for i := range messages {
		n += len(messages[i].Event) + ledger.RecordOverhead + 1
	}
	return n
}

// commitBatch decides about every message and commits what is new, in as many commits as the limits ask for.
func (e *Events) commitBatch(ctx context.Context, batch []*submission, moved *time.Time) error {
	if e.window == nil {
		if err := e.loadWindow(ctx); err != nil {
			return cmp.Or(e.err(), err)
		}
	}
	todo, err := e.fresh(batch)
	if err != nil {
		return err
	}
	todo = append(e.waiting, todo...)
	e.waiting = nil
	flush := slices.ContainsFunc(batch, func(s *submission) bool { return len(s.messages) == 0 })
	n := e.upToLimit(todo)
	wait := prepare(todo[:n])
	defer func() { wait() }()
	for first := true; first || len(todo) > 0; first = false {
		wait()
		// The next commit's events are prepared while this one is written. Whether they turn out to be new needs order.
		following := e.upToLimit(todo[n:])
		wait = prepare(todo[n : n+following])
		fresh, err := e.decide(ctx, todo[:n])
		if err != nil {
			return e.fail(err) // some marks have moved: the next writer begins from what is committed
		}
		todo, n = todo[n:], following
		if changed := e.repeats > 0 || e.marks.moved; len(fresh) == 0 && (!changed || !flush && time.Since(*moved) < e.cfg.MarksEvery) {
			continue
		}
		// Renamed events are longer than they were when the limit was applied: there may be one commit more.
		for again := true; again; again = len(fresh) > 0 {
			fits := e.upToLimit(fresh)
			// A commit that has begun is not given up: its outcome would be unknown to its senders.
			if err := e.commitNew(context.WithoutCancel(ctx), fresh[:fits]); err != nil {
				return err
			}
			fresh = fresh[fits:]
		}
		*moved = time.Now()
	}
	return nil
}

// fresh numbers the messages and gives salts to those that are neither a repeat of the stream nor part of a submission
// with a hole in its numbers, which is refused.
func (e *Events) fresh(batch []*submission) ([]*waiting, error) {
	total := 0
	for _, s := range batch {
		total += len(s.messages)
	}
	memory := make([]waiting, 0, total)
	list := make([]*waiting, 0, total)
	next := make(map[Source]uint64)          // beyond the marks: what this batch itself brings
	var unsettled map[messageNumber]*waiting // made when it is first needed
	for _, s := range batch {
		if s.refused = e.refuse(s, next); s.refused != nil {
			continue
		}
		for i := range s.messages {
			m := &s.messages[i]
			if e.marks.handled(m.Source, m.Seq) {
				s.results[i] = e.repeat(m)
				s.left--
				e.repeats++
				continue
			}
			// It may be a repeat of one that is not settled yet: then it is answered with that one, and not before.
			if len(e.waiting) > 0 || m.Seq < next[m.Source] {
				if unsettled == nil {
					unsettled = byNumber(e.waiting, list)
				}
				if first := unsettled[messageNumber{m.Source, m.Seq}]; first != nil {
					first.twins = append(first.twins, twin{s, i, Repeat})
					continue
				}
			}
			next[m.Source] = m.Seq + 1
			memory = append(memory, waiting{prepared: prepared{Message: m}, sub: s, at: i})
			w := &memory[len(memory)-1]
			if unsettled != nil {
				unsettled[messageNumber{m.Source, m.Seq}] = w
			}
			list = append(list, w)
		}
	}
	return list, draw(list, e.Rand)
}

// messageNumber is what tells messages of the stream apart.
type messageNumber struct {
	Source
	seq uint64
}

func byNumber(lists ...[]*waiting) map[messageNumber]*waiting {
	all := make(map[messageNumber]*waiting)
	for _, list := range lists {
		for _, w := range list {
			m := &w.sub.messages[w.at]
			all[messageNumber{m.Source, m.Seq}] = w
		}
	}
	return all
}

// refuse returns a SequenceError if numbers are missing before or within a submission, or an error for a source that no
// commit could name. next is where the sources stand after the submissions before it.
func (e *Events) refuse(s *submission, next map[Source]uint64) error {
	mine := make(map[Source]uint64)
	for i := range s.messages {
		m := &s.messages[i]
		want, ok := mine[m.Source]
		if !ok {
			if want = max(next[m.Source], e.marks.next[m.Source]); want == 0 {
				if err := canBind(m.Source, probeClass, probeRegion); err != nil {
					return fmt.Errorf("log %s: messages of collector %q, epoch %q: %w", e.origin, m.Collector, m.Epoch, err)
				}
			}
		}
		if m.Seq > want && !e.accounted(m, want) {
			return &SequenceError{Source: m.Source, Want: want, Got: m.Seq}
		}
		mine[m.Source] = max(want, m.Seq+1)
	}
	return nil
}

// accounted reports whether every number from want up to that of m was handled, or its event waits for a look-up.
func (e *Events) accounted(m *Message, want uint64) bool {
	waits := byNumber(e.waiting)
	for seq := want; seq < m.Seq; seq++ {
		if waits[messageNumber{m.Source, seq}] == nil && !e.marks.handled(m.Source, seq) {
			return false
		}
	}
	return true
}

// repeat answers a message that was dealt with before.
func (e *Events) repeat(m *Message) Result {
	r := Result{Status: Repeat, UID: m.UID}
	h, ok := e.window.uids[UIDKey(m.UID)]
	if !ok {
		return r
	}
	// It may have been renamed, because another event had its uid.
	fields, err := e.renamer.cutter.Cut(m.Event, nil)
	if err != nil {
		return r
	}
	content := ContentKey(fields)
	for n := 2; ok && h.content != content; n++ {
		r.UID = sameUID(m.UID, n)
		h, ok = e.window.uids[UIDKey(r.UID)]
	}
	if !ok {
		return Result{Status: Repeat, UID: m.UID}
	}
	r.Index, r.Indexed = h.index, true
	return r
}

// upToLimit is how many of the messages fit one commit; a single one always does.
func (e *Events) upToLimit(list []*waiting) int {
	size := 0
	for i, w := range list {
		size += w.lineLen() + 1
		if i > 0 && (i == e.cfg.MaxRecords || size > e.cfg.MaxBytes) {
			return i
		}
	}
	return len(list)
}

// settle notes what became of a message and of its twins.
func (e *Events) settle(w *waiting, r Result) {
	e.settleOne(w.sub, w.at, r)
	for _, t := range w.twins {
		r.Status = t.status
		e.settleOne(t.sub, t.at, r)
	}
}

func (e *Events) settleOne(s *submission, at int, r Result) {
	e.marks.done(s.messages[at].Source, s.messages[at].Seq)
	s.results[at] = r
	s.left--
	if r.Status == Duplicate || r.Status == Repeat {
		e.repeats++
	}
}
