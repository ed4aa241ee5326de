// Package normalize turns what a cloud provider wrote into OCSF 1.8.0 events.
//
// In comes a delivery file, as a stream (Reader): plain or gzip, an envelope of records, an array, or a record a line.
// Out comes, for every record, either an Event (Normalize) or a RecordError that holds the record's bytes and the
// reason; nothing is dropped, and a bad record never harms its neighbours. The event carries the provider's exact bytes
// (raw_data), everything that OCSF has no attribute for (unmapped), and the evidence for its region and jurisdiction
// (enrichments).
//
// The mapping is tables: one file per provider format says which attribute comes from where; region and jurisdiction
// tables are in package schemas. The event is encoded once, as the ledger's record format asks: names ascending, no
// white space. How the provider ordered or spaced its JSON changes nothing but raw_data, its hash and its size.
//
// The package does no I/O of its own, starts no goroutine and keeps no state between events, so a crash loses nothing
// here: what was not handed on is read again.
package normalize

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"domicile.dev/domicile/internal/rawjson"
)

// Limits of the record format (ledger, "Record, fields, commitment") and what follows from them for the input.
const (
	MaxEvent = 4 << 20 // bytes of an event
	// maxRecordDepth leaves room for the levels that the event puts around a record's parts: an event may be 64 deep.
	maxRecordDepth = 60
)

// Raw is one provider record as it was delivered.
type Raw struct {
	Bytes    []byte // exact bytes of the record; from a Reader, valid until its next call
	Offset   int64  // of the first byte, or of the envelope that it was unpacked from, in the uncompressed file
	Form     string // how it was delivered: "cloudtrail/records", "azure-monitor/ndjson", "gcp/array" …
	Provider string // aws, azure, gcp; empty where the record is of no known kind
}

// Options of Normalize. The zero value works: no processing time is written, and the embedded tables are used.
type Options struct {
	Now            func() time.Time // metadata.processed_time, and what "in the future" means
	ProductVersion string           // of domicile, for metadata.loggers
	Places         *Places          // regions and jurisdictions; nil means the tables of package schemas
}

// Header is what the pipeline needs of an event without opening it.
type Header struct {
	UID           string   // metadata.uid, the key for finding duplicates
	Time          int64    // when it happened, ms since the epoch
	Provider      string   // aws, azure, gcp
	Region        string   // as the leaf says it: provider:region, provider:global or provider:unknown
	Account       string   // account, subscription, tenant or project; empty if the record names none
	Jurisdictions []string // sorted ids; empty = unknown. Shared: do not modify
	Rule          string   // which evidence decided region and jurisdiction, see region.go
	RawDigest     [32]byte // SHA-256 of the record's bytes
}

// Event is one normalized event.
type Event struct {
	Header
	JSON []byte // OCSF 1.8.0, valid as the event of a ledger record
}

// future is how far ahead of the clock an event may be dated before it is flagged.
const future = 10 * time.Minute

// builders keeps the buffers of Normalize between calls; it holds nothing of an event.
var builders = sync.Pool{New: func() any { return new(builder) }}

// Normalize maps one record. The error is always a *RecordError that holds the record's bytes. Safe for concurrent use.
func Normalize(raw Raw, opt Options) (Event, error) {
	b := builders.Get().(*builder)
	defer b.release()
	event, out, err := b.normalize(b.head[:0], raw, opt)
	b.head = out
	event.JSON = bytes.Clone(event.JSON)
	return event, err
}

// Append is Normalize for many records in a row: the event's bytes are appended to dst, of which Event.JSON is a part,
// so that a batch of events is one piece of memory. It returns dst, as it was if there is an error.
func Append(dst []byte, raw Raw, opt Options) (Event, []byte, error) {
	b := builders.Get().(*builder)
	defer b.release()
	return b.normalize(dst, raw, opt)
}

func (b *builder) normalize(dst []byte, raw Raw, opt Options) (Event, []byte, error) {
	refuse := func(reason Reason, detail string) (Event, []byte, error) {
		return Event{}, dst, &RecordError{Reason: reason, Bytes: raw.Bytes, Offset: raw.Offset, Form: raw.Form, Detail: detail}
	}
	if len(raw.Bytes) > MaxEvent {
		return refuse(TooLarge, "the record is larger than an event may be")
	}
	if err := b.tree.Parse(raw.Bytes, maxRecordDepth); err != nil {
		return refuse(reasonOf(err), err.Error())
	}
	kind := recognize(&b.tree)
	switch {
	case kind == nil:
		return refuse(UnknownForm, "no known kind of record")
	case kind.unpack != nil:
		return refuse(BadEnvelope, "a record's packing, not a record: "+kind.name)
	case kind.format == nil:
		return refuse(NotAnEvent, "recognized as "+kind.name)
	}
	b.begin(raw, opt, kind.format())
	if reason := b.format.derive(b); reason != "" {
		return refuse(reason, "")
	}
	b.judge()
	out := b.encode(dst)
	event := out[len(dst):]
	if len(event) > MaxEvent {
		return refuse(TooLarge, "the event is larger than a record may hold")
	}
	return Event{Header: b.header(), JSON: event[:len(event):len(event)]}, out, nil
}

// begin resets the builder for a record of format f.
func (b *builder) begin(raw Raw, opt Options, f *format) {
	b.raw, b.opt, b.format = raw.Bytes, opt, f
	b.digest = sha256.Sum256(raw.Bytes)
	b.facts = facts{severity: 1}
	b.flags = b.flags[:0]
	if b.tree.Lone {
		b.flags = append(b.flags, "lone_surrogate")
	}
	b.clock(opt.Now)
	b.places = opt.Places
	if b.places == nil {
		b.places = defaultPlaces()
	}
	n := b.tree.Len()
	if cap(b.state) < n {
		b.state = make([]state, n+n/2)
	}
	b.state = b.state[:n]
	clear(b.state)
	for i := range b.slots[:len(f.paths)] {
		b.slots[i] = rawjson.None
	}
	b.bind(0, &f.trie)
}

// clock reads the time of processing. Its text is kept, for many events share a millisecond.
func (b *builder) clock(now func() time.Time) {
	if now == nil {
		b.now = time.Time{}
		return
	}
	at := now()
	if len(b.nowText) == 0 || at.UnixMilli() != b.now.UnixMilli() {
		b.nowText = at.UTC().AppendFormat(b.nowText[:0], `"2006-01-02T15:04:05.000Z07:00"`)
	}
	b.now = at
}

// judge adds what holds for every format, once the format's derive has spoken.
func (b *builder) judge() {
	if !b.now.IsZero() && b.when.ms > b.now.Add(future).UnixMilli() {
		b.flags = append(b.flags, "time_in_future")
	}
	if b.uid == "" {
		b.scratch = b.tree.AppendCanonical(b.scratch[:0], 0)
		b.uid = b.format.provider + ":" + hexSum(sha256.Sum256(b.scratch))
	}
}

func (b *builder) header() Header {
	return Header{
		UID: b.uid, Time: b.when.ms, Provider: b.format.provider, Region: b.place.leaf, Account: b.account,
		Jurisdictions: b.place.jurisdictions, Rule: b.place.rule, RawDigest: b.digest,
	}
}

func reasonOf(err error) Reason {
	for _, c := range []struct {
		err    error
		reason Reason
	}{
		{rawjson.ErrDepth, TooDeep}, {rawjson.ErrUTF8, InvalidUTF8}, {rawjson.ErrDuplicate, DuplicateMember}, {rawjson.ErrEnd, Truncated},
	} {
		if errors.Is(err, c.err) {
			return c.reason
		}
	}
	return InvalidJSON
}
