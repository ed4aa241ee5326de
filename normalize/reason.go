package normalize

import "fmt"

// Reason is why a record is no event; ids are stable and only added to.
type Reason string

// The reasons.
const (
	InvalidJSON     Reason = "invalid_json"     // not JSON (RFC 8259)
	InvalidUTF8     Reason = "invalid_utf8"     // bytes that are not UTF-8
	DuplicateMember Reason = "duplicate_member" // two members of one object have the same name: which one is meant?
	TooLarge        Reason = "too_large"        // the record, or its event, is over 4 MiB
	TooDeep         Reason = "too_deep"         // nests deeper than 60
	NoTime          Reason = "no_time"          // the record does not say when it happened
	BadTime         Reason = "bad_time"         // it does, in a way that has no certain meaning
	UnknownForm     Reason = "unknown_form"     // JSON, but no known kind of record
	Truncated       Reason = "truncated"        // the file, or the record, ends before it is whole
	Damaged         Reason = "damaged"          // bytes of the file that belong to no record
	NotAnEvent      Reason = "not_an_event"     // of a known kind that is no audit event: a digest, a notification
	BadEnvelope     Reason = "bad_envelope"     // the packing around the record could not be undone
)

// RecordError is a record, or a stretch of a file, that did not become an event. Its bytes are for the quarantine.
type RecordError struct {
	Reason Reason
	Bytes  []byte // as delivered; from a Reader, valid until its next call
	Offset int64  // of Bytes in the uncompressed file
	Form   string // like Raw.Form, as far as it is known
	Detail string // for people; never holds event data
}

func (e *RecordError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("record at byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("record at byte %d: %s: %s", e.Offset, e.Reason, e.Detail)
}
