package ingest_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/ingest/streamtest"
)

const epoch = "00112233445566778899aabbccddeeff"

func producer(t testing.TB, cfg ingest.ProducerConfig, sinks ...ingest.Sink) *ingest.Producer {
	t.Helper()
	if cfg.Collector == "" {
		cfg.Collector = "laptop"
	}
	if cfg.Epoch == "" {
		cfg.Epoch = epoch
	}
	p, err := ingest.NewProducer(cfg, sinks...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func immediately(int, error) (time.Duration, bool) { return 0, true }

func TestInProcessStreamKeepsTheContract(t *testing.T) {
	streamtest.Run(t, func(t testing.TB, cfg streamtest.Config) ingest.Stream {
		return producer(t, ingest.ProducerConfig{
			Collector: cfg.Collector, Epoch: cfg.Epoch, MaxMessages: cfg.MaxMessages, Retry: immediately,
		}, cfg.Sinks...)
	})
}

func TestPartitionIsTheFirstFourBytesOfTheHashModuloN(t *testing.T) {
	// printf 'aws:111122223333:a' | sha256sum begins with a3866a4e
	for n, want := range map[int]int{1: 0, 2: 0xa3866a4e % 2, 7: 0xa3866a4e % 7, 64: 0xa3866a4e % 64} {
		if got := ingest.PartitionOf("aws:111122223333:a", n); got != want {
			t.Errorf("of %d partitions: got %d, want %d", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "partitions")
		if p := ingest.PartitionOf(rapid.String().Draw(t, "uid"), n); p < 0 || p >= n {
			t.Fatalf("partition %d of %d", p, n)
		}
	})
}

func TestResentBatchIsTheSameBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &streamtest.Log{Outcome: func(call int) streamtest.Outcome {
			switch call {
			case 0:
				return streamtest.Outcome{Err: errors.New("disk full")}
			case 1:
				return streamtest.Outcome{Persist: true, Err: errors.New("answer lost")}
			}
			return streamtest.Outcome{Persist: true}
		}}
		p := producer(t, ingest.ProducerConfig{MaxMessages: 8, Linger: time.Minute}, log)
		defer p.Close()
		var acks atomic.Int32
		for i := range 12 {
			if err := p.Send(t.Context(), streamtest.Message(i), func(*ingest.Message, ingest.Receipt) { acks.Add(1) }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := acks.Load(); n != 0 {
			t.Errorf("%d messages acknowledged before the sink took them", n)
		}
		// While the first batch is unanswered the rest of the messages wait; they do not join it.
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := log.Batches()
		if len(b) != 4 || len(b[0]) != 8 || len(b[3]) != 4 {
			t.Fatalf("got batches of %d, want 8, 8, 8, 4", lengths(b))
		}
		if !reflect.DeepEqual(b[0], b[1]) || !reflect.DeepEqual(b[0], b[2]) {
			t.Errorf("the batch changed when it was resent:\n%v\n%v\n%v", b[0], b[1], b[2])
		}
		if got := len(log.Accepted()); got != 12 || acks.Load() != 12 {
			t.Errorf("%d accepted, %d acknowledged, want 12 each", got, acks.Load())
		}
	})
}

func lengths(batches [][]ingest.Message) (n []int) {
	for _, b := range batches {
		n = append(n, len(b))
	}
	return n
}

func TestGivingUpEndsTheEpoch(t *testing.T) {
	broken := errors.New("the bucket is gone")
	for name, c := range map[string]struct {
		outcome error
		calls   int
	}{
		"after the last attempt":       {broken, 9},
		"at once when the sink is out": {errors.Join(ingest.ErrSinkStopped, broken), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := &streamtest.Log{Outcome: func(int) streamtest.Outcome { return streamtest.Outcome{Err: c.outcome} }}
				p := producer(t, ingest.ProducerConfig{}, bad)
				err := p.Send(t.Context(), streamtest.Message(0), func(m *ingest.Message, _ ingest.Receipt) {
					t.Errorf("%s was acknowledged", m.UID)
				})
				if err != nil {
					t.Fatal(err)
				}
				for what, err := range map[string]error{"flush": p.Flush(t.Context()), "send": p.Send(t.Context(), streamtest.Message(1), nil), "close": p.Close()} {
					if !errors.Is(err, ingest.ErrEpochEnded) || !errors.Is(err, broken) {
						t.Errorf("%s: got %v, want the end of the epoch and its reason", what, err)
					}
				}
				if got := len(bad.Batches()); got != c.calls {
					t.Errorf("the sink was called %d times, want %d", got, c.calls)
				}
			})
		})
	}
}

func TestOnePartitionThatGivesUpEndsTheEpochOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := &streamtest.Log{}
		bad := &streamtest.Log{Outcome: func(int) streamtest.Outcome { return streamtest.Outcome{Err: ingest.ErrSinkStopped} }}
		p := producer(t, ingest.ProducerConfig{}, good, bad)
		defer p.Close()
		for i := range 10 {
			_ = p.Send(t.Context(), streamtest.Message(i), nil)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, ingest.ErrEpochEnded) {
			t.Errorf("flush: got %v, want %v", err, ingest.ErrEpochEnded)
		}
		synctest.Wait()
		for i := range 10 {
			if err := p.Send(t.Context(), streamtest.Message(i), nil); !errors.Is(err, ingest.ErrEpochEnded) {
				t.Errorf("send %d: got %v, want %v", i, err, ingest.ErrEpochEnded)
			}
		}
	})
}

func TestBuffersAreBounded(t *testing.T) {
	event := make([]byte, 1000)
	for name, c := range map[string]struct {
		cfg  ingest.ProducerConfig
		most int
	}{
		"by messages": {ingest.ProducerConfig{MaxMessages: 10}, 10 + 10},
		"by bytes":    {ingest.ProducerConfig{MaxBytes: 5000}, 5 + 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				log := &streamtest.Log{Outcome: func(int) streamtest.Outcome { <-gate; return streamtest.Outcome{Persist: true} }}
				p := producer(t, c.cfg, log)
				var sent atomic.Int32
				done := make(chan struct{})
				go func() {
					defer close(done)
					for i := range 100 {
						m := streamtest.Message(i)
						m.Event = event
						if err := p.Send(t.Context(), m, nil); err != nil {
							t.Error(err)
						}
						sent.Add(1)
					}
				}()
				time.Sleep(time.Hour) // the fake clock: the sender is blocked for good
				if int(sent.Load()) > c.most {
					t.Errorf("%d messages were taken while the sink was blocked, want at most %d", sent.Load(), c.most)
				}
				close(gate)
				<-done
				if err := p.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := len(log.Accepted()); got != 100 {
					t.Errorf("%d accepted, want 100", got)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestBatchIsSentWhenFullOrOldEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &streamtest.Log{}
		p := producer(t, ingest.ProducerConfig{MaxMessages: 100, MaxBytes: 1000, Linger: 5 * time.Second}, log)
		defer p.Close()
		start := time.Now()
		post := func(bytes int) {
			m := streamtest.Message(0)
			m.Event = make([]byte, bytes)
			if err := p.Send(t.Context(), m, nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		post(400)
		time.Sleep(3 * time.Second)
		post(400)
		if n := len(log.Batches()); n != 0 {
			t.Fatalf("%d batches sent before one is full or old", n)
		}
		post(400) // does not fit
		if n := len(log.Batches()); n != 1 {
			t.Fatalf("%d batches, want the full one", n)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		post(1500) // larger than a batch: stands alone
		post(10)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := lengths(log.Batches()), []int{2, 1, 1, 1}; !reflect.DeepEqual(got, want) {
			t.Errorf("batches of %v after %v, want %v", got, time.Since(start), want)
		}
	})
}

func TestCloseDropsWhatIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan struct{})
		p := producer(t, ingest.ProducerConfig{MaxMessages: 1}, sinkFunc(func(ctx context.Context, _ []ingest.Message) ([]ingest.Receipt, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		for i := range 2 {
			if err := p.Send(t.Context(), streamtest.Message(i), func(m *ingest.Message, _ ingest.Receipt) { t.Errorf("%s acknowledged", m.UID) }); err != nil {
				t.Fatal(err)
			}
		}
		<-started
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

type sinkFunc func(context.Context, []ingest.Message) ([]ingest.Receipt, error)

func (f sinkFunc) Append(ctx context.Context, batch []ingest.Message) ([]ingest.Receipt, error) {
	return f(ctx, batch)
}

func TestReceiptsMustMatchTheBatch(t *testing.T) {
	p := producer(t, ingest.ProducerConfig{}, sinkFunc(func(context.Context, []ingest.Message) ([]ingest.Receipt, error) {
		return make([]ingest.Receipt, 2), nil
	}))
	_ = p.Send(t.Context(), streamtest.Message(0), nil)
	if err := p.Flush(t.Context()); !errors.Is(err, ingest.ErrEpochEnded) {
		t.Errorf("got %v, want %v", err, ingest.ErrEpochEnded)
	}
	p.Close()
}

func TestNamesThatACommitCannotCarryAreRefused(t *testing.T) {
	for name, cfg := range map[string]ingest.ProducerConfig{
		"no collector":      {Epoch: epoch},
		"quote":             {Collector: `a"b`, Epoch: epoch},
		"epoch too short":   {Collector: "a", Epoch: epoch[:31]},
		"epoch in capitals": {Collector: "a", Epoch: "00112233445566778899AABBCCDDEEFF"},
	} {
		if _, err := ingest.NewProducer(cfg, &streamtest.Log{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ingest.NewProducer(ingest.ProducerConfig{Collector: "a", Epoch: epoch}); err == nil {
		t.Error("no partitions: accepted")
	}
}
