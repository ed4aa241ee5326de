-- What people filter by: one row for each leaf of the cell's events logs, in the order in which answers come.
--
-- Everything in these tables is derived from the ledger and can be dropped; `domicile index rebuild` makes it again.
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
    class         UInt32 COMMENT 'class_uid' CODEC(ZSTD),
    class_name    LowCardinality(String),
    activity      UInt32 COMMENT 'activity_id' CODEC(ZSTD),
    activity_name LowCardinality(String),
    service       LowCardinality(String) COMMENT 'api.service.name',
    operation     LowCardinality(String) COMMENT 'api.operation',
    status        LowCardinality(String),
    actor         Array(String) COMMENT 'names of who did it; the first is the one to show' CODEC(ZSTD),
    src_ip        String COMMENT 'where it came from: an address, or what the provider says instead' CODEC(ZSTD),
    resource      Array(String) COMMENT 'uids and names of what it was done to' CODEC(ZSTD),
    text          String COMMENT 'what free text is looked for in: the values of the event in lower case, each once, a line each' CODEC(LZ4),

    at DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(time, 'UTC') COMMENT 'time, to read',

    -- Each tells of a thousand rows that a value is in none of them. Expressions are those of the index's conditions.
    INDEX leaf_index leaf_index TYPE minmax GRANULARITY 4,
    INDEX uid uid TYPE bloom_filter GRANULARITY 4,
    INDEX src_ip lower(src_ip) TYPE bloom_filter GRANULARITY 4,
    INDEX actor arrayMap(x -> lower(x), actor) TYPE bloom_filter GRANULARITY 4,
    INDEX resource arrayMap(x -> lower(x), resource) TYPE bloom_filter GRANULARITY 4,
    INDEX text text TYPE tokenbf_v1(8192, 3, 0) GRANULARITY 4
)
ENGINE = MergeTree
ORDER BY (time, log, leaf_index)
-- Not partitioned: an insert into several partitions would not be one step. Merges take many parts at once, because what
-- merging costs is writing every row again.
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, auto_statistics_types = '', merge_selector_base = 12;
