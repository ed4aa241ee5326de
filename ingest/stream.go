package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
)

// ClassDefault is the retention class of events for which no rule names another.
const ClassDefault = "default"

// Message is one event on its way from a collector to a log.
//
// Collector, Epoch, Partition and Seq are the stream numbering: a collector counts what it sends from 0 for every
// partition and epoch, so that the log can tell a repeat from a hole. The other fields but Event let a log shard
// build the leaf without parsing the event.
type Message struct {
	Collector string // 32 hex digits or a configured name
	Epoch     string // 32 hex digits, random for each Producer
	Partition int
	Seq       uint64

	UID      string
	Time     int64  // ms since 1970
	Provider string // aws, azure, gcp
	Region   string // "aws:eu-central-1", "azure:global", "gcp:unknown"
	Account  string
	Class    string // retention class
	Event    []byte // OCSF event, encoded as a record asks; nobody changes it once it is sent
}

// Receipt says what became of a message. Log is the log's origin; it is empty when the stream answers before the log
// has the event, as a broker between them does, and then nothing else is known but that the message is durable.
type Receipt struct {
	Outcome Outcome
	Log     string
	UID     string // of the leaf, where it differs from the message's: the second event under one uid
	Index   uint64 // of the leaf; of the one that was there already for a Duplicate
	Indexed bool   // the index is known: it is not for a Rejected message and may not be for a Duplicate
}

// Outcome is what became of a message that a log has answered.
type Outcome int

// The outcomes.
const (
	Committed Outcome = iota // it is a leaf now
	Duplicate                // a repeat of an event, or of a message, that the log has
	Rejected                 // the log refuses it; the sink has put it into quarantine, durably, before it answered
)

// Stream takes the events of one cell. The contract, checked by package streamtest for every implementation:
//
//   - An event goes to partition PartitionOf(uid). Within a partition messages keep the order of Send and are numbered
//     from 0 without holes, for each epoch anew.
//   - At most one batch of a partition is unanswered. When its outcome is an error or unknown it is resent, the same
//     messages under the same numbers, and nothing later of that partition is sent before it is answered.
//   - done is called once for each acknowledged message, in order within a partition, never for another. What is
//     acknowledged is durable.
//   - Send blocks while the buffers are full: that is the back-pressure that a source feels.
//   - A stream that gives up resending ends its epoch: Send and Flush then return ErrEpochEnded, and nothing that was
//     not acknowledged is sent any more. A new epoch needs a new stream.
//
// All methods may be called from several goroutines.
type Stream interface {
	// Send hands one event over and returns once it is buffered. The stream fills in the numbering.
	Send(ctx context.Context, m Message, done func(*Message, Receipt)) error
	// Flush returns when everything sent before the call is acknowledged and its done calls have returned.
	Flush(ctx context.Context) error
	// Close ends the epoch and waits for the stream's goroutines. What is not acknowledged by then is dropped: call
	// Flush first to keep it. It returns the reason when the epoch had ended before.
	Close() error
}

// Sink takes the batches of one partition, one at a time: the log writer of a shard, or the producer of a topic.
type Sink interface {
	// Append returns nil only when every message of the batch is durable: committed to the log or recognized as a
	// repeat. Any other outcome is an error and may have persisted the batch all the same; the same batch follows
	// again. An error that wraps ErrSinkStopped says that resending is of no use (the writer is fenced).
	// There are as many receipts as messages, in their order, or none. The batch must not be kept after the return.
	Append(ctx context.Context, batch []Message) ([]Receipt, error)
}

// ErrSinkStopped is wrapped by a sink that will never take a batch again.
var ErrSinkStopped = errors.New("sink stopped")

// ErrEpochEnded is wrapped by what a stream returns after it gave up.
var ErrEpochEnded = errors.New("epoch ended")

// PartitionOf is the partition of an event: the first four bytes, big-endian, of the SHA-256 of its uid, modulo the
// number of partitions. The same event is thus always seen by the same log shard, which can tell a repeat.
func PartitionOf(uid string, partitions int) int {
	h := sha256.Sum256([]byte(uid))
	return int(binary.BigEndian.Uint32(h[:4]) % uint32(partitions))
}

var (
	collectorName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	epochName     = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// checkNames holds collector and epoch to what a commit header can carry.
func checkNames(collector, epoch string) error {
	if !collectorName.MatchString(collector) {
		return fmt.Errorf("collector id %q: want 1 to 64 letters, digits, dots, dashes or underscores", collector)
	}
	if !epochName.MatchString(epoch) {
		return fmt.Errorf("epoch %q of collector %s: want 32 lower-case hex digits", epoch, collector)
	}
	return nil
}
