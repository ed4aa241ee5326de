package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
)

type serveCmd struct {
	dataFlag
	here
	Listen string        `help:"Address for HTTP. Only a loopback address is taken: whoever reaches it may ask for everything." env:"DOMICILE_LISTEN" default:"127.0.0.1:8480" placeholder:"HOST:PORT"`
	Drain  time.Duration `help:"How long requests that have begun may take to end once the server is to stop." default:"20s"`
}

func (*serveCmd) Help() string {
	return `Example:
  domicile serve

Serves all cells of the data directory: search, statistics, proofs and the logs themselves over HTTP, and the other
commands, which find the server through a socket in the data directory and work through it.
SIGTERM or Ctrl-C ends it: what has begun is answered, what is committed is published.`
}

// memoryGoal is what a server tries to stay below, in bytes, by collecting garbage earlier. The variable GOMEMLIMIT sets
// another one.
const memoryGoal = 448 << 20

func (cmd *serveCmd) Run(g *global) error {
	if err := onlyLoopback(g.ctx, cmd.Listen); err != nil {
		return err
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(g.err, nil)))
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
	return cmd.with(g, func(d *dataDir) error {
		listener, err := net.Listen("tcp", cmd.Listen)
		if err != nil {
			return fmt.Errorf("%w: another server may be there: use --listen with another port", err)
		}
		defer listener.Close()
		s, err := newServer(g.ctx, d)
		if err != nil {
			return err
		}
		return s.run(g, listener, cmd.Drain)
	})
}

// onlyLoopback refuses an address that others than this machine can reach.
func onlyLoopback(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--listen %s: give an address and a port, such as 127.0.0.1:8480", address)
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", address, err)
	}
	for _, a := range addrs {
		if !a.IP.IsLoopback() {
			return fmt.Errorf("--listen %s: %s can be reached from elsewhere, and the server does not ask who somebody is: use a loopback address such as 127.0.0.1, and a tunnel or an authenticating proxy for others", address, a.IP)
		}
	}
	return nil
}

// listenSocket listens on the socket of a data directory, which this process holds: one that is there was left behind.
func listenSocket(data string) (net.Listener, error) {
	path := socketPath(data)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	short, remove, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer remove()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // not by a name that may be gone
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// run serves until the command is to end, then lets what has begun come to its end.
func (s *server) run(g *global, listener net.Listener, drain time.Duration) error {
	socket, err := listenSocket(s.d.path)
	if err != nil {
		return fmt.Errorf("the socket in the data directory: %w", err)
	}
	defer os.Remove(socketPath(s.d.path))

	ctx, stop := context.WithCancel(g.ctx)
	defer stop()
	working, cancel := context.WithCancelCause(context.WithoutCancel(g.ctx)) // of requests: ends when the drain does
	defer cancel(nil)
	base := func(net.Listener) context.Context { return working }
	public, local := s.public(), s.local(stop)
	public.BaseContext, local.BaseContext = base, base

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { s.watch(ctx); return nil })
	for server, l := range map[*http.Server]net.Listener{public: listener, local: socket} {
		group.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			s.draining.Store(true)
			limit, done := context.WithTimeout(context.WithoutCancel(ctx), drain)
			defer done()
			if err := server.Shutdown(limit); err != nil {
				cancel(errors.New("the server ends"))
				server.Close()
			}
			return nil
		})
	}
	fmt.Fprintf(g.err, "domicile %s serves %s at http://%s\n", version, g.relative(s.d.path), listener.Addr())
	return group.Wait()
}
