package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"domicile.dev/domicile/schemas"
)

// A migration is one numbered file of schemas/clickhouse.
type migration struct {
	version    uint32
	name       string
	sha256     string
	statements []string
}

// migrations reads the files that come with this program, in the order of their numbers.
func migrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "clickhouse/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	list := make([]migration, 0, len(names))
	for i, path := range names {
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, "clickhouse/"), ".sql")
		digits, _, ok := strings.Cut(name, "_")
		version, err := strconv.ParseUint(digits, 10, 32)
		if !ok || len(digits) != 4 || err != nil || version != uint64(i+1) {
			return nil, fmt.Errorf("migration %s: its name must begin with %04d_", path, i+1)
		}
		sum := sha256.Sum256(text)
		m := migration{version: uint32(version), name: name, sha256: hex.EncodeToString(sum[:])}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if statement = withoutComments(statement); statement != "" {
				m.statements = append(m.statements, statement)
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// withoutComments takes lines that are comments out of a statement.
func withoutComments(statement string) string {
	var kept []string
	for line := range strings.SplitSeq(statement, "\n") {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			kept = append(kept, line)
		}
	}
	return strings.TrimSuffix(strings.Join(kept, "\n"), ";")
}

// migrate applies what the database lacks. Each migration is noted after its statements have run, and these can run
// again, so that one that was interrupted is completed by the next start. What a newer program made is refused: its
// rows may mean something else.
func (x *Index) migrate(ctx context.Context) error {
	known, err := migrations(schemas.ClickHouse)
	if err != nil {
		return err
	}
	const made = `CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, sha256 String, applied DateTime64(3, 'UTC'))
		ENGINE = MergeTree ORDER BY version COMMENT 'what was done to the tables of this database'`
	if err := x.conn.Exec(ctx, made); err != nil {
		return explain("database "+x.database, err)
	}
	applied, err := x.applied(ctx)
	if err != nil {
		return err
	}
	for version, sum := range applied {
		if version == 0 || version > uint32(len(known)) {
			return fmt.Errorf("database %s: %w: a newer program made them (migration %d, this one knows %d): use that one, or another database",
				x.database, ErrSchema, version, len(known))
		}
		if m := known[version-1]; m.sha256 != sum {
			return fmt.Errorf("database %s: %w: migration %s was applied in another form: drop the database, it is made again from the ledger",
				x.database, ErrSchema, m.name)
		}
	}
	for _, m := range known {
		if applied[m.version] != "" {
			continue
		}
		for _, statement := range m.statements {
			if err := x.conn.Exec(ctx, statement); err != nil {
				return explain("migration "+m.name, err)
			}
		}
		const noted = "INSERT INTO migrations (version, name, sha256, applied) SELECT {version:UInt32}, {name:String}, {sha256:String}, now64(3)"
		err := x.conn.Exec(ctx, noted, clickhouse.Named("version", m.version), clickhouse.Named("name", m.name), clickhouse.Named("sha256", m.sha256))
		if err != nil {
			return explain("migration "+m.name, err)
		}
	}
	return nil
}

func (x *Index) applied(ctx context.Context) (map[uint32]string, error) {
	rows, err := x.conn.Query(ctx, "SELECT version, sha256 FROM migrations")
	if err != nil {
		return nil, explain("database "+x.database, err)
	}
	defer rows.Close()
	applied := make(map[uint32]string)
	for rows.Next() {
		var version uint32
		var sum string
		if err := rows.Scan(&version, &sum); err != nil {
			return nil, explain("database "+x.database, err)
		}
		applied[version] = sum
	}
	return applied, explain("database "+x.database, rows.Err())
}
