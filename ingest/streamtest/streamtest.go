// Package streamtest is the contract of ingest.Stream as tests. Every stream passes it: the in-process one, whose sinks
// are called directly, and one over a broker, whose consumers call the sinks.
package streamtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"domicile.dev/domicile/ingest"
)

// Config is what a test asks of a stream. Batches are small so that few messages make many.
type Config struct {
	Collector   string
	Epoch       string
	MaxMessages int
	Sinks       []ingest.Sink // one a partition; where the messages must arrive
}

// Open starts a stream whose partitions end in cfg.Sinks. A sink's error must lead to the same messages being handed
// to it again. A stream over a broker hands over what the broker holds, from the first message that the sink has not
// accepted.
type Open func(t testing.TB, cfg Config) ingest.Stream

// Run checks a stream. Each subtest opens streams of its own; a broker's topics must be fresh for each call of open.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Open)
	}{
		{"every message arrives in its partition, in order, numbered from 0", arrival},
		{"the fields of a message arrive as they were sent", fields},
		{"a flush returns after everything sent before is acknowledged", flush},
		{"one batch of a partition is unanswered at a time", oneUnanswered},
		{"a batch that failed is handed over again unchanged", func(t *testing.T, o Open) { resend(t, o, failed) }},
		{"a batch that was persisted but reported as failed keeps its numbers", func(t *testing.T, o Open) { resend(t, o, persistedButFailed) }},
		{"a new epoch counts from 0 again", newEpoch},
		{"a send and a flush end with their context", canceled},
		{"a closed stream takes nothing", closed},
		{"many senders share one numbering", manySenders},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

const (
	collector = "collector-1"
	epoch1    = "000102030405060708090a0b0c0d0e0f"
	epoch2    = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

// patience is how long a test waits for a broker; an in-process stream needs none of it.
const patience = 30 * time.Second

// Log is a sink that keeps what it accepts, as the shard of a log does: a number below its mark is a repeat.
type Log struct {
	Origin string
	// Outcome, if set, decides about each call of Append, counted from 0.
	Outcome func(call int) Outcome

	mu       sync.Mutex
	changed  chan struct{}
	calls    int
	inside   int
	overlaps int
	batches  [][]ingest.Message
	accepted []ingest.Message
	marks    map[string]uint64 // epoch → next number
}

// Outcome is what becomes of a batch.
type Outcome struct {
	Persist bool
	Err     error
}

// Append implements ingest.Sink.
func (l *Log) Append(ctx context.Context, batch []ingest.Message) ([]ingest.Receipt, error) {
	l.mu.Lock()
	l.inside++
	if l.inside > 1 {
		l.overlaps++
	}
	call := l.calls
	l.calls++
	l.batches = append(l.batches, append([]ingest.Message(nil), batch...))
	outcome := Outcome{Persist: true}
	l.mu.Unlock()
	if l.Outcome != nil {
		outcome = l.Outcome(call)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.inside-- }()
	var receipts []ingest.Receipt
	if outcome.Persist {
		receipts = l.persist(batch)
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	if outcome.Err != nil {
		return nil, outcome.Err
	}
	return receipts, nil
}

func (l *Log) persist(batch []ingest.Message) (receipts []ingest.Receipt) {
	if l.marks == nil {
		l.marks = map[string]uint64{}
	}
	for _, m := range batch {
		r := ingest.Receipt{Log: l.Origin, Index: uint64(len(l.accepted)), Indexed: true}
		if m.Seq < l.marks[m.Epoch] {
			r = ingest.Receipt{Log: l.Origin, Outcome: ingest.Duplicate}
		} else {
			l.accepted = append(l.accepted, m)
			l.marks[m.Epoch] = m.Seq + 1
		}
		receipts = append(receipts, r)
	}
	return receipts
}

// Accepted is what the log holds.
func (l *Log) Accepted() []ingest.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]ingest.Message(nil), l.accepted...)
}

// Batches is what the log was handed, call by call.
func (l *Log) Batches() [][]ingest.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]ingest.Message(nil), l.batches...)
}

// await waits until the logs hold n messages together.
func await(t *testing.T, logs []*Log, n int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		total := 0
		var changed chan struct{}
		for _, l := range logs {
			l.mu.Lock()
			total += len(l.accepted)
			if l.changed == nil {
				l.changed = make(chan struct{})
			}
			changed = l.changed
			l.mu.Unlock()
		}
		if total >= n {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond): // of another log
		case <-deadline:
			t.Fatalf("%d of %d messages arrived", total, n)
		}
	}
}

func logs(n int) (ls []*Log, sinks []ingest.Sink) {
	for i := range n {
		l := &Log{Origin: fmt.Sprintf("test/eu/events/%d", i)}
		ls = append(ls, l)
		sinks = append(sinks, l)
	}
	return ls, sinks
}

// Message makes the i-th event of a test.
func Message(i int) ingest.Message {
	return ingest.Message{
		UID: fmt.Sprintf("aws:111122223333:event-%d", i), Time: 1790000000000 + int64(i), Provider: "aws",
		Region: "aws:eu-central-1", Account: "111122223333", Class: ingest.ClassDefault,
		Event: fmt.Appendf(nil, `{"n":%d}`, i),
	}
}

func send(t *testing.T, s ingest.Stream, from, to int, done func(*ingest.Message, ingest.Receipt)) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.Send(context.Background(), Message(i), done); err != nil {
			t.Fatal(err)
		}
	}
}

func mustFlush(t *testing.T, s ingest.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// numbered checks that every partition holds its own events, in order and numbered without holes.
func numbered(t *testing.T, ls []*Log, n int) {
	t.Helper()
	total := 0
	for p, l := range ls {
		next, last := map[string]uint64{}, map[string]int64{}
		for _, m := range l.Accepted() {
			total++
			if m.Partition != p || ingest.PartitionOf(m.UID, len(ls)) != p {
				t.Errorf("%s is in partition %d (says %d), belongs to %d", m.UID, p, m.Partition, ingest.PartitionOf(m.UID, len(ls)))
			}
			if m.Collector != collector || m.Seq != next[m.Epoch] {
				t.Errorf("partition %d: got number %d of %s, epoch %s, want %d", p, m.Seq, m.Collector, m.Epoch, next[m.Epoch])
			}
			if m.Time < last[m.Epoch] {
				t.Errorf("partition %d: %s is out of order", p, m.UID)
			}
			next[m.Epoch], last[m.Epoch] = m.Seq+1, m.Time
		}
	}
	if total != n {
		t.Errorf("%d messages arrived, want %d", total, n)
	}
}

func arrival(t *testing.T, open Open) {
	const n = 500
	ls, sinks := logs(3)
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 16, Sinks: sinks})
	defer s.Close()
	send(t, s, 0, n, nil)
	mustFlush(t, s)
	await(t, ls, n)
	numbered(t, ls, n)
	for p, l := range ls {
		if len(l.Accepted()) == 0 {
			t.Errorf("partition %d got nothing of %d messages", p, n)
		}
	}
}

func fields(t *testing.T, open Open) {
	ls, sinks := logs(1)
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 16, Sinks: sinks})
	defer s.Close()
	want := ingest.Message{
		UID: "gcp:ünïcode \x00 and spaces", Time: -1, Provider: "gcp", Region: "gcp:unknown", Account: "",
		Class: "long", Event: []byte("{\"raw\":\"\\u0000\"}"),
	}
	if err := s.Send(context.Background(), want, nil); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s)
	await(t, ls, 1)
	want.Collector, want.Epoch = collector, epoch1
	if got := ls[0].Accepted()[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func flush(t *testing.T, open Open) {
	const n = 100
	ls, sinks := logs(2)
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 16, Sinks: sinks})
	defer s.Close()
	var mu sync.Mutex
	seen := map[string]int{}
	for round := range 3 {
		send(t, s, round*n, (round+1)*n, func(m *ingest.Message, r ingest.Receipt) {
			mu.Lock()
			defer mu.Unlock()
			seen[m.UID]++
			if r.Log != "" && r.Log != ls[m.Partition].Origin {
				t.Errorf("%s: receipt of %s for partition %d", m.UID, r.Log, m.Partition)
			}
		})
		mustFlush(t, s)
		mu.Lock()
		if len(seen) != (round+1)*n {
			t.Fatalf("round %d: %d acknowledged after the flush, want %d", round, len(seen), (round+1)*n)
		}
		for uid, times := range seen {
			if times != 1 {
				t.Errorf("%s was acknowledged %d times", uid, times)
			}
		}
		mu.Unlock()
	}
	await(t, ls, 3*n)
}

func oneUnanswered(t *testing.T, open Open) {
	ls, sinks := logs(2)
	gate := make(chan struct{})
	for _, l := range ls {
		l.Outcome = func(int) Outcome { <-gate; return Outcome{Persist: true} }
	}
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 4, Sinks: sinks})
	defer s.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range 100 {
			_ = s.Send(context.Background(), Message(i), nil)
		}
	}()
	for i := 0; ; i++ {
		select {
		case gate <- struct{}{}:
			continue
		case <-sent:
		}
		break
	}
	close(gate)
	mustFlush(t, s)
	await(t, ls, 100)
	for p, l := range ls {
		if l.overlaps > 0 {
			t.Errorf("partition %d: %d batches were handed over while another was unanswered", p, l.overlaps)
		}
	}
	numbered(t, ls, 100)
}

var errDisk = errors.New("no space left")

func failed(call int) Outcome {
	if call%3 != 2 {
		return Outcome{Err: errDisk}
	}
	return Outcome{Persist: true}
}

func persistedButFailed(call int) Outcome {
	if call%3 != 2 {
		return Outcome{Persist: true, Err: errDisk}
	}
	return Outcome{Persist: true}
}

func resend(t *testing.T, open Open, outcome func(int) Outcome) {
	const n = 60
	ls, sinks := logs(2)
	for _, l := range ls {
		l.Outcome = outcome
	}
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 8, Sinks: sinks})
	defer s.Close()
	send(t, s, 0, n, nil)
	mustFlush(t, s)
	await(t, ls, n)
	numbered(t, ls, n)
	for p, l := range ls {
		first := map[uint64]ingest.Message{}
		repeats := 0
		for _, b := range l.Batches() {
			for _, m := range b {
				before, again := first[m.Seq]
				if !again {
					first[m.Seq] = m
					continue
				}
				repeats++
				if !reflect.DeepEqual(before, m) {
					t.Errorf("partition %d: number %d was %+v and is %+v when resent", p, m.Seq, before, m)
				}
			}
		}
		if repeats == 0 {
			t.Errorf("partition %d: nothing was resent", p)
		}
	}
}

func newEpoch(t *testing.T, open Open) {
	const n = 40
	ls, sinks := logs(2)
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 16, Sinks: sinks})
	send(t, s, 0, n, nil)
	mustFlush(t, s)
	await(t, ls, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Collector: collector, Epoch: epoch2, MaxMessages: 16, Sinks: sinks})
	defer s.Close()
	send(t, s, n, 2*n, nil)
	mustFlush(t, s)
	await(t, ls, 2*n)
	numbered(t, ls, 2*n)
}

func canceled(t *testing.T, open Open) {
	ls, sinks := logs(1)
	gate := make(chan struct{})
	ls[0].Outcome = func(int) Outcome { <-gate; return Outcome{Persist: true} }
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 2, Sinks: sinks})
	defer s.Close()
	defer close(gate)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for i := 0; ; i++ { // until the buffers are full: select may still find room
		err := s.Send(ctx, Message(i), nil)
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			t.Fatalf("send: got %v, want %v", err, context.Canceled)
		}
	}
	if err := s.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("flush: got %v, want %v", err, context.Canceled)
	}
}

func closed(t *testing.T, open Open) {
	_, sinks := logs(1)
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 2, Sinks: sinks})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Send(context.Background(), Message(0), nil); !errors.Is(err, ingest.ErrEpochEnded) {
		t.Errorf("send: got %v, want %v", err, ingest.ErrEpochEnded)
	}
	if err := s.Flush(context.Background()); !errors.Is(err, ingest.ErrEpochEnded) {
		t.Errorf("flush: got %v, want %v", err, ingest.ErrEpochEnded)
	}
}

func manySenders(t *testing.T, open Open) {
	const senders, each = 8, 50
	ls, sinks := logs(3)
	s := open(t, Config{Collector: collector, Epoch: epoch1, MaxMessages: 16, Sinks: sinks})
	defer s.Close()
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				m := Message(i*each + j)
				m.Time = 0 // senders have no common order
				if err := s.Send(context.Background(), m, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	mustFlush(t, s)
	await(t, ls, senders*each)
	numbered(t, ls, senders*each)
}
