// Package index keeps a cell's events searchable in ClickHouse: a derived copy of the ledger that can be dropped and made
// again.
//
// Commits come in, in their order, from the readers of the cell's events logs; each becomes one row a leaf in the table
// events (what people filter by, and the record line as it was hashed) and one in the table uids (what the ledger knows
// events by). Questions are answered with record lines, which whoever relies on them holds against their leaves.
//
// A row is never there before its commit, and every leaf has exactly one row however often server or engine are killed:
// inserts are atomic, carry tokens that ClickHouse takes once, and on start, and after every failure, the tables are
// counted against the ledger leaf by leaf; what is missing is filled in, what is there twice is taken out. While
// ClickHouse is away the ledger goes on and the feed waits.
package index

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// Config is what an Index needs.
type Config struct {
	Options  *clickhouse.Options // how to reach the server
	Database string              // domicile_eu; made if it is missing

	// Access logs an internal read of event data before it begins; nothing is read where it fails. nil logs nothing,
	// which only tests may do.
	Access func(ctx context.Context, op ledger.AccessOp) (*log.Access, error)

	Clock func() time.Time // nil means time.Now
}

// An Index is one cell's tables. It is safe for concurrent use.
type Index struct {
	cfg      Config
	conn     driver.Conn
	database string

	mu    sync.Mutex
	feeds map[string]*FeedState // by origin

	// swap is held for reading while rows go into the tables, and for writing while a rebuild exchanges them.
	swap  sync.RWMutex
	swaps uint64 // exchanges so far; guarded by swap

	// upkeep is held by a rebuild or an audit: one at a time.
	upkeep sync.Mutex
}

var databaseName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,50}$`)

// Open connects to ClickHouse, makes the database if it is missing and brings its tables up to date. It fails with
// ErrUnavailable if ClickHouse is away, and with ErrSchema if a newer program made the tables.
func Open(ctx context.Context, cfg Config) (*Index, error) {
	if !databaseName.MatchString(cfg.Database) {
		return nil, fmt.Errorf("index: %q cannot be the name of a database: lower-case letters, digits and _", cfg.Database)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	x := &Index{cfg: cfg, database: cfg.Database, feeds: make(map[string]*FeedState)}
	if err := x.createDatabase(ctx); err != nil {
		return nil, err
	}
	options := *cfg.Options
	options.Auth.Database = cfg.Database
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	x.conn = conn
	if err := x.migrate(ctx); err != nil {
		return nil, closing(err, conn)
	}
	return x, nil
}

// createDatabase makes the database, over a connection of its own because one to a database that is not there fails.
func (x *Index) createDatabase(ctx context.Context) error {
	options := *x.cfg.Options
	options.Auth.Database = ""
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+x.database)
	return closing(explain("making database "+x.database, err), conn)
}

// Close ends the connections. Feeds end with their contexts, before.
func (x *Index) Close() error { return x.conn.Close() }

// queryID names an insert of a log so that a later process finds what this one left behind.
func (x *Index) queryID(origin string) string {
	var random [8]byte
	rand.Read(random[:])
	return x.queryPrefix(origin) + hex.EncodeToString(random[:])
}

func (x *Index) queryPrefix(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return "domicile-" + x.database + "-" + hex.EncodeToString(sum[:4]) + "-"
}

// access logs an internal read before it begins, and returns what ends it.
func (x *Index) access(ctx context.Context, op ledger.AccessOp) (done func(records, bytes uint64) error, err error) {
	if x.cfg.Access == nil {
		return func(uint64, uint64) error { return nil }, nil
	}
	access, err := x.cfg.Access(ctx, op)
	if err != nil {
		return nil, fmt.Errorf("the read of event data cannot be logged, so there is none: %w", err)
	}
	return func(records, bytes uint64) error {
		// A read that was cut off happened all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return access.Done(ctx, records, bytes, nil)
	}, nil
}

func closing(err error, conn driver.Conn) error {
	if closed := conn.Close(); err == nil && closed != nil {
		return fmt.Errorf("index: %w", closed)
	}
	return err
}
