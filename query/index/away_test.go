package index

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/query/engine"
	"domicile.dev/domicile/query/engine/enginetest"
)

// A wire is the network between an index and its engine, which a test can cut.
type wire struct {
	dial func(ctx context.Context, addr string) (net.Conn, error)

	mu    sync.Mutex
	away  bool
	conns []net.Conn
}

func (w *wire) connect(ctx context.Context, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	conn, err := w.dial(ctx, addr)
	if err == nil {
		w.conns = append(w.conns, conn)
	}
	return conn, err
}

func (w *wire) cut(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
	if away {
		for _, c := range w.conns {
			c.Close()
		}
		w.conns = nil
	}
}

func TestEngineAwayAndBack(t *testing.T) {
	c := newCell(t, 1)
	options := enginetest.Start(t)
	w := &wire{dial: options.DialContext}
	if w.dial == nil {
		w.dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", options.Addr[0])
		}
	}
	options.DialContext = w.connect
	w.cut(true)
	if _, err := Open(t.Context(), Config{Options: options, Database: options.Auth.Database}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("opened while the engine is away: %v", err)
	}
	w.cut(false)
	x, err := Open(t.Context(), Config{Options: options, Database: options.Auth.Database})
	c.must(err)
	defer x.Close()
	wake := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- x.Feed(ctx, c.reader(0), wake) }()
	c.append(0, calls(0, 10)...)
	wake <- struct{}{}
	await(t, "10 leaves", func() bool { return x.State(origin(0)).Indexed == 10 })
	for round := range 3 {
		w.cut(true)
		c.append(0, calls(10*(round+1), 10)...) // the ledger goes on
		wake <- struct{}{}
		await(t, "word that the engine is away", func() bool { return errors.Is(x.State(origin(0)).Err, ErrUnavailable) })
		if s := x.State(origin(0)); s.Indexed != uint64(10*(round+1)) || s.Since.IsZero() {
			t.Errorf("state while the engine is away: %+v", s)
		}
		if _, err := x.Search(t.Context(), Filter{}, Page{Limit: 1}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("searched while the engine is away: %v", err)
		}
		if _, _, err := x.Stats(t.Context(), Filter{}, Grouping{Limit: 1}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("counted while the engine is away: %v", err)
		}
		w.cut(false)
		await(t, "leaves after it is back", func() bool { s := x.State(origin(0)); return s.Err == nil && s.Indexed == uint64(10*(round+2)) })
	}
	cancel()
	c.must(<-ended)
	c.wantWhole(x)
}

// TestKilledAtRandomMoments kills the engine and what feeds it while rows go in. Every leaf has one row afterwards.
func TestKilledAtRandomMoments(t *testing.T) {
	kills := 8
	if testing.Short() {
		kills = 3
	}
	if os.Getenv(need.LongVariable) == "1" {
		kills = 40
	}
	c := newCell(t, 1)
	config := engine.Config{Dir: filepath.Join(t.TempDir(), "engine"), Program: enginetest.Program(t)}
	own, err := engine.Start(t.Context(), config)
	c.must(err)
	defer func() { c.must(own.Close()) }()
	open := func() *Index {
		for give := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			x, err := Open(t.Context(), Config{Options: own.Options(), Database: "killed"})
			if err == nil {
				return x
			}
			if !errors.Is(err, ErrUnavailable) || time.Now().After(give) {
				t.Fatal(err)
			}
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	n := 0
	more := func(events int) {
		c.append(0, calls(n, events)...)
		n += events
	}
	more(3000)
	round := func(i int) {
		x := open()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wake, ended := make(chan struct{}, 1), make(chan error)
		go func() { ended <- x.Feed(ctx, c.reader(0), wake) }()
		feeding := make(chan struct{})
		go func() {
			defer close(feeding)
			for range 5 {
				more(1 + n%37)
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}()
		time.Sleep(time.Duration(random.Int64N(int64(150 * time.Millisecond))))
		if i%3 != 2 {
			if pid := own.PID(); pid > 0 {
				c.must(syscall.Kill(pid, syscall.SIGKILL))
			}
		}
		if i%3 != 0 { // the server dies with the engine, or alone
			cancel()
		}
		<-feeding
		if i%3 == 0 {
			await(t, "all leaves", func() bool { return x.State(origin(0)).Indexed == uint64(n) })
			cancel()
		}
		<-ended
		x.Close()
		if i%10 == 9 {
			c.append(0, calls(n, 2000)...) // something to catch up with
			n += 2000
		}
	}
	for i := range kills {
		if i%5 == 4 { // or it waits ever longer before it starts again
			c.must(own.Close())
			own, err = engine.Start(t.Context(), config)
			c.must(err)
		}
		round(i)
	}
	x := open()
	defer x.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- x.Feed(ctx, c.reader(0), nil) }()
	await(t, "all leaves in the end", func() bool { return x.State(origin(0)).Indexed == uint64(n) })
	cancel()
	c.must(<-ended)
	c.wantWhole(x)
	t.Logf("%d kills, %d leaves", kills, n)
}
