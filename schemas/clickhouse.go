package schemas

import "embed"

// ClickHouse holds the migrations of the index's tables: clickhouse/NNNN_name.sql, applied in the order of their
// numbers, each once. Statements end with a semicolon at the end of a line and name tables without their database. A
// migration that was released is never changed; what it made is changed by the next one.
//
//go:embed clickhouse/*.sql
var ClickHouse embed.FS
