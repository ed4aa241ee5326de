package engine

import (
	"context"
	"errors"
	"io"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Drain opens a connection and returns what asks the engine something, reads the answer to its end and forgets it: what a
// question costs where domicile adds nothing.
func (e *Engine) Drain() (ask func(ctx context.Context, query string) error, closeConn func() error, err error) {
	conn, err := clickhouse.Open(e.Options())
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, query string) error {
		rows, err := conn.Query(ctx, query)
		if errors.Is(err, io.EOF) {
			return nil // what has no answer
		}
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return errors.Join(rows.Err(), rows.Close())
	}, conn.Close, nil
}
