package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// server is a data directory with everything in it at work: writers, index, interfaces.
type server struct {
	d        *dataDir
	draining atomic.Bool
}

// newServer opens all cells and their logs, and begins to index.
func newServer(ctx context.Context, d *dataDir) (*server, error) {
	cells, err := d.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range cells {
		for shard := range c.shards {
			if _, err := c.events(ctx, shard); err != nil {
				return nil, err
			}
		}
	}
	return &server{d: d}, nil
}

// close ends what newServer began. The data directory is its holder's to close.
func (s *server) close() {}

// public is what listens for HTTP.
func (s *server) public() *http.Server {
	return &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.NotFoundHandler()}
}

// local is what listens on the socket: the same, commands, and the word to stop.
func (s *server) local(stop func()) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+stopPath, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		stop()
	})
	mux.Handle(commandPath, commands{s.d})
	return &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: mux}
}
