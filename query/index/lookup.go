package index

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/ledger/log"
)

// lookupKeys is how many uids are asked for in one query.
const lookupKeys = 4096

// lookupTimeout bounds such a query.
const lookupTimeout = 10 * time.Second

// Find implements log.Lookup with the table uids.
func (x *Index) Find(ctx context.Context, origin string, through uint64, uids [][16]byte) ([]log.Found, error) {
	// The feed's own count, not the table's: a row may be there before one of an earlier commit.
	if s := x.State(origin); s.Commits <= through {
		err := fmt.Errorf("%w: %d commits of %s are indexed, and commit %d has to be", log.ErrLookup, s.Commits, origin, through)
		if s.Err != nil {
			err = fmt.Errorf("%w: %w", err, s.Err)
		}
		return nil, err
	}
	var found []log.Found
	for part := range slices.Chunk(uids, lookupKeys) {
		// A server that hangs must not hold up what happened now: events that need a look-up wait, others go on.
		bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
		var err error
		found, err = x.find(bounded, part, found)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", log.ErrLookup, err)
		}
	}
	return found, nil
}

func (x *Index) find(ctx context.Context, uids [][16]byte, found []log.Found) ([]log.Found, error) {
	const what = "looking for uids"
	asked := make(map[key]bool, len(uids))
	hex := make([]string, len(uids))
	for i, k := range uids {
		asked[k] = true
		hex[i] = fmt.Sprintf("%x", k[:])
	}
	const query = "SELECT uid_key, log, leaf_index, content FROM uids WHERE uid_key IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))"
	rows, err := x.conn.Query(ctx, query, clickhouse.Named("keys", hex))
	if err != nil {
		return nil, explain(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		var f log.Found
		var uid, content string
		if err := rows.Scan(&uid, &f.Origin, &f.Index, &content); err != nil {
			return nil, explain(what, err)
		}
		copy(f.UID[:], uid)
		copy(f.Content[:], content)
		if asked[f.UID] {
			found = append(found, f)
		}
	}
	return found, explain(what, rows.Err())
}
