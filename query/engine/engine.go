package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// DefaultMemory is the limit on the engine's memory where the configuration says nothing.
const DefaultMemory = 2 << 30

// leastMemory is what the engine needs to start and merge.
const leastMemory = 512 << 20

// ErrInUse: another engine works on the folder.
var ErrInUse = errors.New("another engine works on this folder")

// ErrClosed: the engine was closed.
var ErrClosed = errors.New("the engine is closed")

// A Config says which engine to run, and how.
type Config struct {
	Dir         string        // holds everything of the engine; made if missing
	Program     Program       // what Find gave
	MemoryLimit int64         // bytes that the engine may use; 0: DefaultMemory
	StartLimit  time.Duration // for a start to succeed; 0: a minute
	Grace       time.Duration // for the process to end when asked to; 0: five seconds
	Logger      *slog.Logger  // starts and ends, never data; nil: nowhere

	ports func() (string, error) // finds the port for one start
}

// An Engine keeps a process of the engine running until it is closed.
type Engine struct {
	config   Config
	places   places
	password string
	log      *slog.Logger

	cancel context.CancelFunc // asks supervise to end
	done   chan struct{}      // closed when it has

	mu       sync.Mutex
	lock     *os.File // nil once closed
	current  *child   // nil while there is none that answers
	down     error    // why there is none
	restarts int
}

// Start starts an engine and returns when it answers. The context bounds the start only; the engine runs until Close.
// If it does not come up nothing is left running, and the error says what the process said. Another engine on the same
// folder: ErrInUse.
func Start(ctx context.Context, config Config) (*Engine, error) {
	if config.MemoryLimit == 0 {
		config.MemoryLimit = DefaultMemory
	}
	if config.MemoryLimit < leastMemory {
		return nil, fmt.Errorf("memory of the engine: %d MiB, at least %d MiB are needed", config.MemoryLimit>>20, leastMemory>>20)
	}
	if config.StartLimit == 0 {
		config.StartLimit = time.Minute
	}
	if config.Grace == 0 {
		config.Grace = 5 * time.Second
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.ports == nil {
		config.ports = freePort
	}
	if config.Program.Path == "" {
		return nil, ErrNoEngine
	}
	root, err := filepath.Abs(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("folder of the engine: %w", err)
	}
	e := &Engine{config: config, places: places{root}, log: config.Logger, password: rand.Text(), done: make(chan struct{})}
	if err := e.places.make(); err != nil {
		return nil, err
	}
	if e.lock, err = lockFile(e.places.lock()); err != nil {
		return nil, err
	}
	if err := writeConfig(e.places, config.MemoryLimit, e.password); err != nil {
		e.lock.Close()
		return nil, err
	}
	first, err := e.firstChild(ctx)
	if err != nil {
		e.lock.Close()
		return nil, err
	}
	e.current = first
	var supervised context.Context
	supervised, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go e.supervise(supervised, first)
	return e, nil
}

// firstChild tries a few times: the port may be taken, and the process of a killed server may still hold the data for a
// moment.
func (e *Engine) firstChild(ctx context.Context) (*child, error) {
	const attempts = 4
	ctx, cancel := e.limit(ctx)
	defer cancel()
	for failures := 1; ; failures++ {
		c, err := e.oneChild(ctx)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil || failures == attempts || !wait(ctx, pause(failures, mathrand.Float64())) {
			return nil, err
		}
		e.log.Warn("the engine did not start, trying again", "error", err)
	}
}

// oneChild starts one process and returns it when it answers a query of ours.
func (e *Engine) oneChild(ctx context.Context) (*child, error) {
	ctx, cancel := e.limit(ctx)
	defer cancel()
	port, err := e.config.ports()
	if err != nil {
		return nil, err
	}
	c, err := startChild(ctx, e.config.Program, e.places, port)
	if err != nil {
		return nil, err
	}
	if err := e.answers(ctx, c.addr); err != nil {
		c.stop(0)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("the engine listens and does not answer: %w", err)
	}
	e.log.Info("the engine answers", "program", e.config.Program.String(), "address", c.addr, "pid", c.cmd.Process.Pid)
	return c, nil
}

// limit bounds a start.
func (e *Engine) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, e.config.StartLimit, fmt.Errorf("no answer within %v", e.config.StartLimit))
}

func (e *Engine) answers(ctx context.Context, addr string) error {
	options := e.Options()
	options.DialContext = func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, addr) }
	conn, err := clickhouse.Open(options)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Ping(ctx)
}

// supervise waits for the end of the process and starts the next one, until the context ends.
func (e *Engine) supervise(ctx context.Context, c *child) {
	defer close(e.done)
	failures, since := 0, time.Now()
	for {
		if c != nil {
			select {
			case <-ctx.Done():
				e.set(nil, ErrClosed)
				c.stop(e.config.Grace)
				return
			case <-c.ended:
			}
			err := fmt.Errorf("%w: see %s", c.end(), e.places.log())
			e.set(nil, err)
			e.log.Error("the engine has ended, starting it again", "error", err)
			if time.Since(since) > time.Minute {
				failures = 0
			}
			failures++
		}
		if !wait(ctx, pause(failures, mathrand.Float64())) {
			e.set(nil, ErrClosed)
			return
		}
		var err error
		if c, err = e.oneChild(ctx); err != nil {
			c = nil
			failures++
			if ctx.Err() == nil {
				e.set(nil, err)
				e.log.Error("the engine did not start, trying again", "error", err, "failures", failures)
			}
			continue
		}
		since = time.Now()
		e.mu.Lock()
		e.restarts++
		e.mu.Unlock()
		e.set(c, nil)
	}
}

func (e *Engine) set(c *child, down error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current, e.down = c, down
}

// pause is how long to wait before the next start after so many failures in a row: doubling from 100 ms to 30 s, less
// up to half of it by chance (in [0,1)), so that several engines on one machine do not start in step.
func pause(failures int, chance float64) time.Duration {
	const first, longest = 100 * time.Millisecond, 30 * time.Second
	full := math.Min(float64(first)*math.Pow(2, float64(max(failures, 1)-1)), float64(longest))
	return time.Duration(full * (1 - chance/2))
}

// wait returns false if the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Options tell clickhouse-go how to reach the engine. They hold the password, and dial wherever the engine listens at
// that time: a pool made from them survives restarts. The caller may change the copy that it gets.
func (e *Engine) Options() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol: clickhouse.Native,
		Addr:     []string{"embedded:0"}, // a name for messages
		Auth:     clickhouse.Auth{Database: "default", Username: user, Password: e.password},
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
			addr, err := e.address()
			if err != nil {
				return nil, err
			}
			return dial(ctx, addr)
		},
	}
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", addr)
}

func (e *Engine) address() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil {
		return "", fmt.Errorf("the embedded engine is not running: %w", e.down)
	}
	return e.current.addr, nil
}

// Addr is host:port where the engine listens now, empty while it does not. It changes with every restart.
func (e *Engine) Addr() string {
	addr, _ := e.address()
	return addr
}

// Ready is nil while the engine runs, else it says why not.
func (e *Engine) Ready() error {
	_, err := e.address()
	return err
}

// Restarts is how often the engine was started again and answered.
func (e *Engine) Restarts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Program is what runs.
func (e *Engine) Program() Program { return e.config.Program }

// Dir is the folder of everything that the engine has, absolute.
func (e *Engine) Dir() string { return e.places.root }

// PID is the id of the engine's process, 0 while there is none that answers.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil {
		return 0
	}
	return e.current.cmd.Process.Pid
}

// Close ends the engine: it is asked to end, and killed after the grace. No process is left when Close returns. It may
// be called more than once.
func (e *Engine) Close() error {
	e.cancel()
	<-e.done
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lock == nil {
		return nil
	}
	err := e.lock.Close()
	e.lock = nil
	return err
}

// lockFile claims the folder for this process. The kernel gives the claim up with the process, so nothing is left over.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("folder of the engine: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, path)
		}
		return nil, fmt.Errorf("folder of the engine: %s: %w", path, err)
	}
	return file, nil
}
