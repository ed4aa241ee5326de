package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// user is the one that we are. Its password is the only way in.
const user = "domicile"

// rights are what the user may do: everything with tables, and nothing with files, other servers, other users and
// backups. `clickhouse local` would read any file of the machine; a query that somebody smuggles in must not.
const rights = "SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, CREATE FUNCTION, " +
	"DROP DATABASE, DROP TABLE, DROP VIEW, DROP FUNCTION, TRUNCATE, OPTIMIZE, KILL QUERY, SYSTEM, INTROSPECTION"

// tableEngines are those of databases and tables that keep their data in the engine's own folder.
var tableEngines = []string{"Atomic", "MergeTree", "ReplacingMergeTree", "AggregatingMergeTree", "SummingMergeTree", "CollapsingMergeTree",
	"VersionedCollapsingMergeTree", "Memory", "Null", "Set", "Join", "Buffer", "Merge", "View", "MaterializedView"}

// places are the files and folders below the folder that an engine was given.
type places struct{ root string }

func (p places) data() string  { return filepath.Join(p.root, "data") }       // ClickHouse's own
func (p places) run() string   { return filepath.Join(p.root, "run") }        // written anew at each start; 0700
func (p places) log() string   { return filepath.Join(p.root, "engine.log") } // of the engine
func (p places) lock() string  { return filepath.Join(p.run(), "lock") }
func (p places) conf() string  { return filepath.Join(p.run(), "config.xml") }
func (p places) users() string { return filepath.Join(p.run(), "users.xml") }
func (p places) files() string { return filepath.Join(p.run(), "files") } // what file() may read: nothing

// make makes the folders, closed to others: what is in the tables is event data.
func (p places) make() error {
	for _, folder := range []string{p.root, p.data(), p.run(), p.files()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("folder of the engine: %w", err)
		}
	}
	if err := os.Chmod(p.run(), 0o700); err != nil {
		return fmt.Errorf("folder of the engine: %w", err)
	}
	return os.Chmod(p.data(), 0o700)
}

// A setting is one element of the configuration, a path through elements being joined by slashes.
type setting struct{ path, value string }

// settings say how the engine runs: for a machine with few cores that it shares with the ledger, and for tables of tens
// of millions of rows. Queries may use all cores.
func settings(p places, memory int64) []setting {
	const mib = 1 << 20
	num := func(n int64) string { return strconv.FormatInt(n, 10) }
	// A part of the memory, as much as tables of this size can use. ClickHouse's own defaults are parts of the machine's
	// memory, and a cache does not shrink because a query needs memory: together these are a quarter.
	part := func(n int64) string { return num(min(memory/n, 256*mib)) }
	return []setting{
		{"users_config", p.users()},
		{"logger/log", p.log()}, // the level is an argument
		{"logger/console", "0"},
		{"logger/size", num(10 * mib)},
		{"logger/count", "3"},
		// A query that fails is logged with its text, and what people search for is personal data. The client gets
		// the message anyway.
		{"logger/levels/executeQuery", "none"},
		{"logger/levels/TCPHandler", "none"},
		{"user_files_path", p.files()},
		{"max_server_memory_usage", num(memory)},
		{"mark_cache_size", part(16)},
		{"index_mark_cache_size", part(32)},
		{"primary_index_cache_size", part(16)},
		{"text_index_postings_cache_size", part(32)},
		{"text_index_header_cache_size", part(64)},
		{"text_index_tokens_cache_size", part(64)},
		{"query_condition_cache_size", part(64)},
		{"compiled_expression_cache_size", part(128)},
		{"uncompressed_cache_size", "0"},
		{"index_uncompressed_cache_size", "0"},
		{"mmap_cache_size", "0"},
		{"vector_similarity_index_cache_size", "0"},
		{"parquet_metadata_cache_size", "0"},
		{"iceberg_metadata_files_cache_size", "0"},
		{"paimon_metadata_files_cache_size", "0"},
		{"point_in_polygon_cache_size", "0"},
		// Merges: two at a time, each on one thread; two waiting.
		{"background_pool_size", "2"},
		{"background_merges_mutations_concurrency_ratio", "2"},
		{"background_schedule_pool_size", "4"},
		{"background_common_pool_size", "2"},
		{"background_move_pool_size", "1"},
		{"background_fetches_pool_size", "1"},
		{"background_buffer_flush_schedule_pool_size", "1"},
		{"background_message_broker_schedule_pool_size", "1"},
		{"background_distributed_schedule_pool_size", "1"},
		{"max_thread_pool_free_size", "16"},
		// These must fit the pool of four places, or no table can be made.
		{"merge_tree/number_of_free_entries_in_pool_to_execute_mutation", "1"},
		{"merge_tree/number_of_free_entries_in_pool_to_lower_max_size_of_merge", "2"},
		{"merge_tree/number_of_free_entries_in_pool_to_execute_optimize_entire_partition", "1"},
	}
}

// userSettings say who may do what. They close the user `default`, which the session of `clickhouse local`
// itself uses and which therefore can have no password: it may start to listen, once.
func userSettings(memory int64, password string) []setting {
	hash := sha256.Sum256([]byte(password))
	list := []setting{
		{"profiles/default/max_memory_usage", strconv.FormatInt(memory/2, 10)}, // of one query: others go on
		{"profiles/session/max_memory_usage", strconv.Itoa(64 << 20)},
		{"profiles/session/constraints/max_memory_usage/const", ""},
		{"quotas/default", ""},
		// To listen is the one question of the session that counts. Whoever else connects as this user has none left, and
		// learns what 1 + 1 is: until 2038, where intervals of the greatest length meet.
		{"quotas/session/interval/duration", strconv.Itoa(math.MaxInt32)},
		{"quotas/session/interval/queries", "1"},
		{"users/default/password", ""},
		{"users/default/networks/ip", "127.0.0.1"},
		{"users/default/profile", "session"},
		{"users/default/quota", "session"},
		{"users/default/grants/query", "GRANT SYSTEM LISTEN ON *.*"},
		{"users/" + user + "/password_sha256_hex", hex.EncodeToString(hash[:])},
		{"users/" + user + "/networks/ip", "127.0.0.1"},
		{"users/" + user + "/profile", "default"},
		{"users/" + user + "/quota", "default"},
		{"users/" + user + "/grants/query", "GRANT " + rights + " ON *.*"},
	}
	for _, name := range tableEngines {
		list = append(list, setting{"users/" + user + "/grants/query", "GRANT TABLE ENGINE ON " + name})
	}
	return list
}

// writeConfig writes both files anew, 0600.
func writeConfig(p places, memory int64, password string) error {
	for name, list := range map[string][]setting{p.conf(): settings(p, memory), p.users(): userSettings(memory, password)} {
		// Not over what is there: it may have another mode.
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("configuration of the engine: %w", err)
		}
		if err := os.WriteFile(name, document(list), 0o600); err != nil {
			return fmt.Errorf("configuration of the engine: %w", err)
		}
	}
	return nil
}

// document writes settings as ClickHouse's XML. Neighbours with a common path share its elements, but the last.
func document(list []setting) []byte {
	var b bytes.Buffer
	b.WriteString("<clickhouse>\n")
	var open []string
	shut := func(depth int) {
		for len(open) > depth {
			fmt.Fprintf(&b, "</%s>\n", open[len(open)-1])
			open = open[:len(open)-1]
		}
	}
	for _, s := range list {
		path := strings.Split(s.path, "/")
		above, last := path[:len(path)-1], path[len(path)-1]
		common := 0
		for common < len(open) && common < len(above) && open[common] == above[common] {
			common++
		}
		shut(common)
		for _, name := range above[common:] {
			fmt.Fprintf(&b, "<%s>\n", name)
			open = append(open, name)
		}
		fmt.Fprintf(&b, "<%s>", last)
		_ = xml.EscapeText(&b, []byte(s.value)) // a buffer takes everything
		fmt.Fprintf(&b, "</%s>\n", last)
	}
	shut(0)
	b.WriteString("</clickhouse>\n")
	return b.Bytes()
}
