package index

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// A table is held against the ledger by counting: the leaves of a log are numbered without a gap, so a table that has
// every one of them once has, of each bucket of leaf indexes, a known number of rows with a known sum of hashes. What a
// bucket lacks or has twice shows; what its rows say is Audit's to judge.

// bucketLeaves is how many leaves are counted together.
const bucketLeaves = 1 << 16

// A span is leaf indexes [first, size).
type span struct{ first, size uint64 }

// coverage is what a table holds of a log.
type coverage struct {
	size   uint64 // rows of [0, size) are there, each once, but for broken
	broken []span // where rows are missing or there twice; ascending, apart
}

// bucket is the rows of a table whose leaf index is in one bucket.
type bucket struct {
	number, rows, sum, last uint64
}

// covered counts the rows that a table has of a log.
func (x *Index) covered(ctx context.Context, table, origin string) (coverage, error) {
	what := "counting the rows of " + table
	const query = "SELECT intDiv(leaf_index, {size:UInt64}) AS bucket, count(), sum(intHash64(leaf_index)), max(leaf_index) FROM %s WHERE log = {log:String} GROUP BY bucket ORDER BY bucket"
	rows, err := x.conn.Query(ctx, fmt.Sprintf(query, table), clickhouse.Named("size", uint64(bucketLeaves)), clickhouse.Named("log", origin))
	if err != nil {
		return coverage{}, explain(what, err)
	}
	defer rows.Close()
	var buckets []bucket
	for rows.Next() {
		var b bucket
		if err := rows.Scan(&b.number, &b.rows, &b.sum, &b.last); err != nil {
			return coverage{}, explain(what, err)
		}
		buckets = append(buckets, b)
	}
	return judge(buckets), explain(what, rows.Err())
}

// judge says what buckets, which ascend, amount to.
func judge(buckets []bucket) (c coverage) {
	for i, b := range buckets {
		start := b.number * bucketLeaves
		if start > c.size { // whole buckets are missing
			c.broken = join(c.broken, span{c.size, start})
		}
		end := start + bucketLeaves
		if i == len(buckets)-1 {
			end = b.last + 1 // the last bucket is as full as it is
		}
		if b.rows != end-start || b.sum != hashSum(start, end) {
			c.broken = join(c.broken, span{start, end})
		}
		c.size = end
	}
	return c
}

func join(list []span, s span) []span {
	if n := len(list); n > 0 && list[n-1].size == s.first {
		list[n-1].size = s.size
		return list
	}
	return append(list, s)
}

// hashSum is the sum of intHash64 of the indexes [first, size).
func hashSum(first, size uint64) (sum uint64) {
	for i := first; i < size; i++ {
		sum += intHash64(i)
	}
	return sum
}

// intHash64 is ClickHouse's function of that name.
func intHash64(n uint64) uint64 {
	n ^= 0x4CF2D2BAAE6DA887
	n ^= n >> 33
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	n *= 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}

// commitAt finds the first commit whose size is above a leaf index.
func commitAt(ctx context.Context, r *log.Reader, head *ledger.Header, index uint64) (*ledger.Header, error) {
	low, high := uint64(0), head.Seq
	for low < high {
		middle := low + (high-low)/2
		header, err := r.Header(ctx, middle)
		if err != nil {
			return nil, err
		}
		if header.Size > index {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return r.Header(ctx, low)
}

// clear takes the rows of leaves [first, size) out of a table.
func (x *Index) clear(ctx context.Context, table, origin string, s span) error {
	const query = "DELETE FROM %s WHERE log = {log:String} AND leaf_index >= {first:UInt64} AND leaf_index < {size:UInt64}"
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2}))
	err := x.conn.Exec(ctx, fmt.Sprintf(query, table), clickhouse.Named("log", origin), clickhouse.Named("first", s.first), clickhouse.Named("size", s.size))
	return explain(fmt.Sprintf("taking rows of leaves %d to %d of %s out of %s", s.first, s.size, origin, table), err)
}

// stopTimeout is how long inserts that were left behind may take to end.
const stopTimeout = 5 * time.Second

// stop ends inserts of a log that an earlier process or connection left behind: they would come after the count. One
// that still waits for rows of somebody who is gone may go on waiting: when they come it finds that it was ended.
func (x *Index) stop(ctx context.Context, origin string) error {
	const what = "ending inserts that were left behind"
	prefix := clickhouse.Named("prefix", x.queryPrefix(origin))
	for give := time.Now().Add(stopTimeout); ; {
		var left uint64
		if err := x.conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE startsWith(query_id, {prefix:String})", prefix).Scan(&left); err != nil {
			return explain(what, err)
		}
		if left == 0 || time.Now().After(give) {
			return nil
		}
		if err := x.conn.Exec(ctx, "KILL QUERY WHERE startsWith(query_id, {prefix:String}) ASYNC", prefix); err != nil {
			return explain(what, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond): // there is nothing to wait for that would say it
		}
	}
}

// holds reports how many rows a table has of some leaves, and whether that is each of them once.
func (x *Index) holds(ctx context.Context, table, origin string, s span) (rows uint64, complete bool, err error) {
	const query = "SELECT count(), sum(intHash64(leaf_index)) FROM %s WHERE log = {log:String} AND leaf_index >= {first:UInt64} AND leaf_index < {size:UInt64}"
	var sum uint64
	err = x.conn.QueryRow(ctx, fmt.Sprintf(query, table), clickhouse.Named("log", origin), clickhouse.Named("first", s.first), clickhouse.Named("size", s.size)).Scan(&rows, &sum)
	return rows, rows == s.size-s.first && sum == hashSum(s.first, s.size), explain("counting the rows of "+table, err)
}

// started is when the server began to run, in seconds of its own clock.
func (x *Index) started(ctx context.Context) (at int64, err error) {
	err = x.conn.QueryRow(ctx, "SELECT toInt64(toUnixTimestamp(now())) - toInt64(uptime())").Scan(&at)
	return at, explain("asking the server since when it runs", err)
}
