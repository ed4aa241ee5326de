-- The record lines, by leaf, as they were hashed: a proof needs no payload. They are ten times as long as what is filtered
-- by, so they lie apart, a few in a block: reading one costs reading thirty, and no filter reads any.
CREATE TABLE IF NOT EXISTS records
(
    log        LowCardinality(String) COMMENT 'origin of the events log',
    leaf_index UInt64 COMMENT 'of the leaf in that log' CODEC(Delta(8), LZ4),
    time       Int64 COMMENT 'of the event, milliseconds since 1970' CODEC(Delta(8), LZ4),
    uid        String COMMENT 'metadata.uid' CODEC(ZSTD),
    record     String COMMENT 'payload line {"salt":…,"event":…}, exact bytes; empty where the event was erased' CODEC(ZSTD)
)
ENGINE = MergeTree
ORDER BY (log, leaf_index)
-- Parts are merged up to a size only: a look-up by leaf needs one of them, however many there are, and merging copies
-- every record.
SETTINGS index_granularity = 32, non_replicated_deduplication_window = 10000, auto_statistics_types = '', merge_selector_base = 12,
    max_bytes_to_merge_at_max_space_in_pool = 536870912;
