-- The uids of all events of the cell, kept as long as the leaves: here the ledger looks up whether an event was there
-- before. Neither uid nor content can be read back from it.
CREATE TABLE IF NOT EXISTS uids
(
    uid_key    FixedString(16) COMMENT 'first 16 bytes of SHA-256 of metadata.uid; zeros where the event was erased' CODEC(NONE),
    log        LowCardinality(String) COMMENT 'origin of the events log',
    leaf_index UInt64 COMMENT 'of the leaf in that log',
    content    FixedString(16) COMMENT 'first 16 bytes of the hash of what makes the event the event it is' CODEC(NONE)
)
ENGINE = MergeTree
ORDER BY uid_key
SETTINGS index_granularity = 128, non_replicated_deduplication_window = 10000, auto_statistics_types = '';
