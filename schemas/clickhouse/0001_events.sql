-- One row for each leaf of the cell's events logs, in the order in which answers come: by time.
--
-- Everything here is derived from the ledger and can be dropped; `domicile index rebuild` makes it again. The record is
-- the payload line as it was hashed, so that a proof needs no payload; all other columns are taken out of it.
CREATE TABLE IF NOT EXISTS events
(
    time          Int64 COMMENT 'of the event, milliseconds since 1970' CODEC(Delta(8), LZ4),
    log           LowCardinality(String) COMMENT 'origin of the events log',
    leaf_index    UInt64 COMMENT 'of the leaf in that log' CODEC(Delta(8), LZ4),
    commit_seq    UInt64 COMMENT 'commit that holds the leaf' CODEC(Delta(8), ZSTD),
    erased        Bool COMMENT 'nothing is left of the event but its leaf',
    uid           String COMMENT 'metadata.uid' CODEC(ZSTD),
    jurisdiction  Array(LowCardinality(String)) COMMENT 'what the evidence says: one, several, or unknown',
    region        LowCardinality(String) COMMENT 'as the leaf says: aws:eu-central-1',
    provider      LowCardinality(String) COMMENT 'aws, azure, gcp',
    account       LowCardinality(String) COMMENT 'cloud.account.uid',
    class         UInt32 COMMENT 'class_uid',
    class_name    LowCardinality(String),
    activity      UInt32 COMMENT 'activity_id',
    activity_name LowCardinality(String),
    service       LowCardinality(String) COMMENT 'api.service.name',
    operation     LowCardinality(String) COMMENT 'api.operation',
    status        LowCardinality(String),
    actor         Array(String) COMMENT 'names of who did it; the first is the one to show',
    src_ip        String COMMENT 'where it came from: an address, or what the provider says instead' CODEC(ZSTD),
    resource      Array(String) COMMENT 'uids and names of what it was done to' CODEC(ZSTD),
    record        String COMMENT 'payload line {"salt":…,"event":…}, exact bytes' CODEC(ZSTD),

    at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(time, 'UTC') COMMENT 'time, to read',

    INDEX uid uid TYPE bloom_filter GRANULARITY 1,

    -- Leaves of a log in a row: by it the table is compared with the ledger, and one leaf is found.
    PROJECTION by_leaf (SELECT log, leaf_index, time ORDER BY log, leaf_index)
)
ENGINE = MergeTree
ORDER BY (time, log, leaf_index)
SETTINGS index_granularity = 1024, index_granularity_bytes = 10485760, non_replicated_deduplication_window = 10000, lightweight_mutation_projection_mode = 'rebuild';
