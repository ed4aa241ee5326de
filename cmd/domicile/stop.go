package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"domicile.dev/domicile/ledger/store"
)

type stopCmd struct {
	dataFlag
	here
}

func (*stopCmd) Help() string {
	return `Example:
  domicile stop

Ends the server that holds the data directory as SIGTERM does, and returns when it has let go of it. Without a server
there is nothing to do.`
}

// stopPath is where a server is told to end, on its socket only.
const stopPath = "/stop"

func (cmd *stopCmd) Run(g *global) error {
	if !servedElsewhere(g.ctx, cmd.Data) {
		_, err := fmt.Fprintf(g.out, "No server holds %s.\n", g.relative(cmd.Data))
		return err
	}
	request, err := http.NewRequestWithContext(g.ctx, http.MethodPost, "http://localhost"+stopPath, nil)
	if err != nil {
		return err
	}
	answer, err := socketClient(cmd.Data).Do(request)
	if err != nil {
		return fmt.Errorf("asking the server to end: %w", err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("asking the server to end: it answered %s", answer.Status)
	}
	// The lock is the last that it lets go of.
	for {
		d, err := cmd.open()
		if err == nil {
			return d.lock.Close()
		}
		if !errors.Is(err, store.ErrLocked) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-g.ctx.Done():
			return fmt.Errorf("the server was told to end and has not yet")
		}
	}
}
