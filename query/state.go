package query

import (
	"context"
	"errors"

	"domicile.dev/domicile/ledger"
)

// A State is what a cell's answer stands on.
type State struct {
	Jurisdiction string
	Control      LogState
	Logs         []LogState // events logs, by shard
	IndexError   string     // why nothing can be searched now, and what to do; "" when it can
}

// A LogState is a log at its newest published checkpoint. It is never older than one that was answered before.
type LogState struct {
	Origin     string
	Checkpoint ledger.Checkpoint
	Note       []byte // the signed note

	// Of events logs: how many leaves the index holds, from the first on, and how many of the checkpoint's it lacks.
	Indexed, Behind uint64
	IndexError      string // why the index does not go on; "" when it does
}

// State describes the cell's logs. It reads no event data.
func (c *Cell) State(ctx context.Context) (State, error) {
	return State{}, errors.New("not built yet")
}
