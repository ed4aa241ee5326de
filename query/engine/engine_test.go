package engine_test

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/query/engine/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

func TestAnswers(t *testing.T) {
	options := enginetest.Start(t)
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, query := range []string{
		"CREATE TABLE a (n UInt64, s String) ENGINE = MergeTree ORDER BY n",
		"INSERT INTO a SELECT number, toString(number) FROM numbers(100000)",
	} {
		if err := conn.Exec(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	var n, sum uint64
	if err := conn.QueryRow(t.Context(), "SELECT count(), sum(n) FROM a").Scan(&n, &sum); err != nil || n != 100000 || sum != 4999950000 {
		t.Errorf("count %d, sum %d, error %v", n, sum, err)
	}
}
