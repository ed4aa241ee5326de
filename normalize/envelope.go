package normalize

import (
	"bytes"
	"encoding/base64"
	"io"

	"domicile.dev/domicile/internal/rawjson"
)

// maxPacking is how many packings may stand inside each other: a Pub/Sub message of a CloudWatch message of a file.
const maxPacking = 4

// unpacker hands out the records that stand packed inside another value: an EventBridge event, a Pub/Sub message, the
// message of a log. The record's bytes are what the packing holds, unescaped or decoded: it is the record that the
// provider wrote, byte for byte, whichever way it came.
type unpacker struct {
	inner *Reader
	outer Raw
	empty bool // inner has yielded nothing so far
}

// begin opens a packing.
func (u *unpacker) begin(outer Raw, k *kind, depth int) error {
	packed, reason := k.unpack(outer.Bytes)
	if reason == "" && depth >= maxPacking {
		reason = TooDeep
	}
	if reason != "" {
		return &RecordError{Reason: reason, Bytes: outer.Bytes, Offset: outer.Offset, Form: outer.Form, Detail: "packing: " + k.name}
	}
	if packed == nil { // recognized as holding no record, a heartbeat
		return nil
	}
	u.outer, u.empty = outer, true
	u.inner = &Reader{src: bytes.NewReader(packed), packing: k.name, depth: depth + 1}
	if !bytes.HasPrefix(packed, gzipMagic) {
		u.inner.opened, u.inner.buf, u.inner.err = true, packed, io.EOF
	}
	return nil
}

// next returns the next record of the packing; false if none is open, or it is done.
func (u *unpacker) next() (Raw, bool, error) {
	if u.inner == nil {
		return Raw{}, false, nil
	}
	raw, err := u.inner.Next()
	if err == io.EOF {
		u.inner = nil
		if !u.empty {
			return Raw{}, false, nil
		}
		return Raw{}, true, &RecordError{Reason: NotAnEvent, Bytes: u.outer.Bytes, Offset: u.outer.Offset, Form: u.outer.Form, Detail: "an empty packing"}
	}
	u.empty = false
	raw.Offset = u.outer.Offset
	if bad, ok := err.(*RecordError); ok {
		bad.Offset = u.outer.Offset
		if len(bad.Bytes) == 0 { // compressed bytes that cannot be undone
			bad.Bytes = u.outer.Bytes
		}
	}
	return raw, true, err
}

// detail unpacks an EventBridge event.
func detail(outer []byte) ([]byte, Reason) {
	return member(outer, "detail")
}

// logMessage unpacks an event of a CloudWatch Logs subscription. CloudWatch sends a control message of the same form to
// see whether the destination is there; it holds no record.
func logMessage(outer []byte) ([]byte, Reason) {
	text, reason := memberText(outer, "message")
	if bytes.HasPrefix(text, []byte("CWL CONTROL MESSAGE")) {
		return nil, ""
	}
	return text, reason
}

// awsLogs unpacks what Lambda and Kinesis get: a CloudWatch Logs message, gzip, base64.
func awsLogs(outer []byte) ([]byte, Reason) { return memberBase64(outer, "awslogs", "data") }

// cloudTrailEvent unpacks an event of CloudTrail's LookupEvents.
func cloudTrailEvent(outer []byte) ([]byte, Reason) { return memberText(outer, "CloudTrailEvent") }

// pubSubMessage unpacks a Pub/Sub push request, or a pulled message.
func pubSubMessage(outer []byte) ([]byte, Reason) { return memberBase64(outer, "message", "data") }

// member returns the value at a path of names.
func member(outer []byte, path ...string) ([]byte, Reason) {
	var t rawjson.Tree
	if err := t.Parse(outer, rawjson.MaxDepth); err != nil {
		return nil, reasonOf(err)
	}
	n := int32(0)
	for _, name := range path {
		if t.Kind(n) != rawjson.KindObject {
			return nil, BadEnvelope
		}
		if n = t.Member(n, name); n == rawjson.None {
			return nil, BadEnvelope
		}
	}
	return t.Raw(n), ""
}

// memberText returns the text of the string at a path of names. An escape that stands for no character (a lone
// surrogate) cannot be undone, so the packing is kept instead.
func memberText(outer []byte, path ...string) ([]byte, Reason) {
	value, reason := member(outer, path...)
	if reason != "" {
		return nil, reason
	}
	if len(value) < 2 || value[0] != '"' {
		return nil, BadEnvelope
	}
	text, clean := rawjson.AppendUnescaped(nil, value[1:len(value)-1])
	if !clean || len(bytes.TrimSpace(text)) == 0 {
		return nil, BadEnvelope
	}
	return text, ""
}

func memberBase64(outer []byte, path ...string) ([]byte, Reason) {
	text, reason := memberText(outer, path...)
	if reason != "" {
		return nil, reason
	}
	decoded, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(decoded) == 0 {
		return nil, BadEnvelope
	}
	return decoded, ""
}
