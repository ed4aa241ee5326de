package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// ProducerConfig tells a Producer who it is and how it batches. Zero values mean the defaults named here.
type ProducerConfig struct {
	Collector string
	Epoch     string // fresh and random for every Producer

	MaxMessages int           // in one batch, 8192; as many more may wait
	MaxBytes    int           // of events in one batch, 8 MiB; as many more may wait. A larger event stands alone
	Linger      time.Duration // how long a batch that is not full waits for more, 1 s. Flush does not wait

	// Retry says how long to wait before the attempt-th resending (1, 2, …) or that it is over.
	// The default doubles from 100 ms and gives up after 8 times, about 25 s.
	Retry func(attempt int, err error) (wait time.Duration, again bool)
}

// Producer is the sending end of a stream: it numbers, batches, resends and acknowledges. Over the log writers of a
// cell's shards it is the whole in-process stream, in which a message is acknowledged after its commit; over the
// partitions of a topic it is the collector's half of one.
//
// Nothing here survives a crash, and nothing has to: what was not acknowledged is read from its source again, under a
// new epoch.
type Producer struct {
	cfg   ProducerConfig
	lanes []*lane

	ctx    context.Context // done when the epoch has ended
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

// lane is one partition. Its goroutine alone numbers messages and talks to the sink, which is why at most one batch
// is unanswered and why numbers have no holes.
type lane struct {
	partition int
	sink      Sink
	in        chan parcel
	bytes     *semaphore.Weighted // of events waiting or unanswered
	next      uint64              // owned by the lane's goroutine
}

// parcel is a message, or the mark of a Flush.
type parcel struct {
	Message
	done    func(*Message, Receipt)
	weight  int64
	flushed chan<- struct{}
}

var _ Stream = (*Producer)(nil)

// NewProducer starts a stream with one partition for each sink.
func NewProducer(cfg ProducerConfig, sinks ...Sink) (*Producer, error) {
	if err := checkNames(cfg.Collector, cfg.Epoch); err != nil {
		return nil, err
	}
	if len(sinks) == 0 {
		return nil, errors.New("a stream needs at least one partition")
	}
	if cfg.MaxMessages <= 0 {
		cfg.MaxMessages = 8192
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 8 << 20
	}
	if cfg.Linger <= 0 {
		cfg.Linger = time.Second
	}
	if cfg.Retry == nil {
		cfg.Retry = doubling
	}
	p := &Producer{cfg: cfg}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	for i, s := range sinks {
		l := &lane{
			partition: i,
			sink:      s,
			in:        make(chan parcel, cfg.MaxMessages),
			bytes:     semaphore.NewWeighted(2 * int64(cfg.MaxBytes)),
		}
		p.lanes = append(p.lanes, l)
		p.wg.Go(func() { p.run(l) })
	}
	return p, nil
}

func doubling(attempt int, _ error) (time.Duration, bool) {
	return 100 * time.Millisecond << (attempt - 1), attempt <= 8
}

// Send implements Stream.
func (p *Producer) Send(ctx context.Context, m Message, done func(*Message, Receipt)) error {
	if p.ctx.Err() != nil {
		return p.ended()
	}
	m.Collector, m.Epoch = p.cfg.Collector, p.cfg.Epoch
	m.Partition = PartitionOf(m.UID, len(p.lanes))
	l := p.lanes[m.Partition]
	q := parcel{Message: m, done: done, weight: min(int64(len(m.Event)), 2*int64(p.cfg.MaxBytes))}
	if !l.bytes.TryAcquire(q.weight) {
		// The lane may never make room again once the epoch has ended, so both contexts end the wait.
		wait, stop := context.WithCancel(ctx)
		unhook := context.AfterFunc(p.ctx, stop)
		err := l.bytes.Acquire(wait, q.weight)
		unhook()
		stop()
		if err != nil {
			if p.ctx.Err() != nil {
				return p.ended()
			}
			return ctx.Err()
		}
	}
	return p.enqueue(ctx, l, q)
}

func (p *Producer) enqueue(ctx context.Context, l *lane, q parcel) error {
	select {
	case l.in <- q:
		return nil
	case <-p.ctx.Done():
		l.bytes.Release(q.weight)
		return p.ended()
	case <-ctx.Done():
		l.bytes.Release(q.weight)
		return ctx.Err()
	}
}

// Flush implements Stream: a mark travels through every lane behind what was sent before.
func (p *Producer) Flush(ctx context.Context) error {
	flushed := make(chan struct{}, len(p.lanes))
	for _, l := range p.lanes {
		if err := p.enqueue(ctx, l, parcel{flushed: flushed}); err != nil {
			return err
		}
	}
	for range p.lanes {
		select {
		case <-flushed:
		case <-p.ctx.Done():
			return p.ended()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

var errClosed = errors.New("the stream was closed")

// Close implements Stream.
func (p *Producer) Close() error {
	p.cancel(errClosed)
	p.wg.Wait()
	if cause := context.Cause(p.ctx); cause != errClosed {
		return p.ended()
	}
	return nil
}

func (p *Producer) ended() error {
	return fmt.Errorf("%w: collector %s, epoch %s: %w", ErrEpochEnded, p.cfg.Collector, p.cfg.Epoch, context.Cause(p.ctx))
}

// run is a lane's life: fill a batch, have it acknowledged, again.
func (p *Producer) run(l *lane) {
	var b batch
	for {
		flushed, ok := p.fill(l, &b)
		if !ok {
			return
		}
		if len(b.messages) > 0 {
			receipts, err := p.deliver(l, b.messages)
			if err != nil {
				p.cancel(err) // of all partitions: an epoch ends as a whole
				return
			}
			b.acknowledge(receipts)
			l.bytes.Release(b.weight)
			b.reset()
		}
		if flushed != nil {
			flushed <- struct{}{} // has room for every lane
		}
	}
}

// fill collects a batch until it is full, has lingered, or a flush wants it sent. It returns false when the epoch ends.
func (p *Producer) fill(l *lane, b *batch) (flushed chan<- struct{}, ok bool) {
	var linger <-chan time.Time
	b.unhold(l)
	for len(b.messages) < p.cfg.MaxMessages && b.held == nil {
		if linger == nil && len(b.messages) > 0 {
			t := time.NewTimer(p.cfg.Linger)
			defer t.Stop()
			linger = t.C
		}
		select {
		case q := <-l.in:
			switch {
			case q.flushed != nil:
				return q.flushed, true
			case len(b.messages) > 0 && b.size+len(q.Event) > p.cfg.MaxBytes:
				b.held = &q // the first of the next batch
			default:
				b.add(l, q)
			}
		case <-linger:
			return nil, true
		case <-p.ctx.Done():
			return nil, false
		}
	}
	return nil, true
}

// deliver resends one batch until it is answered. The messages are the same slice each time: nothing renumbers,
// reorders or joins them, because the log may have taken the batch whose answer was lost.
func (p *Producer) deliver(l *lane, messages []Message) ([]Receipt, error) {
	for attempt := 1; ; attempt++ {
		receipts, err := l.sink.Append(p.ctx, messages)
		if err == nil && len(receipts) != 0 && len(receipts) != len(messages) {
			return nil, fmt.Errorf("partition %d: %d receipts for %d messages", l.partition, len(receipts), len(messages))
		}
		if err == nil {
			return receipts, nil
		}
		err = fmt.Errorf("partition %d: messages %d to %d: %w", l.partition, messages[0].Seq, messages[len(messages)-1].Seq, err)
		if errors.Is(err, ErrSinkStopped) || p.ctx.Err() != nil {
			return nil, err
		}
		wait, again := p.cfg.Retry(attempt, err)
		if !again {
			return nil, fmt.Errorf("given up after %d attempts: %w", attempt, err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-p.ctx.Done():
			t.Stop()
			return nil, err
		}
	}
}

// batch is what a lane collects and sends; its slices are used again.
type batch struct {
	messages []Message
	done     []func(*Message, Receipt)
	size     int   // bytes of events
	weight   int64 // to give back to the lane's semaphore
	held     *parcel
}

func (b *batch) add(l *lane, q parcel) {
	q.Seq = l.next
	l.next++
	b.messages = append(b.messages, q.Message)
	b.done = append(b.done, q.done)
	b.size += len(q.Event)
	b.weight += q.weight
}

func (b *batch) unhold(l *lane) {
	if b.held != nil {
		b.add(l, *b.held)
		b.held = nil
	}
}

func (b *batch) acknowledge(receipts []Receipt) {
	for i, done := range b.done {
		if done == nil {
			continue
		}
		var r Receipt
		if len(receipts) > 0 {
			r = receipts[i]
		}
		done(&b.messages[i], r)
	}
}

// reset lets the events go: what is acknowledged must not stay in memory until the next batch is full.
func (b *batch) reset() {
	clear(b.messages)
	clear(b.done)
	b.messages, b.done, b.size, b.weight = b.messages[:0], b.done[:0], 0, 0
}
