package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// UIDHash is what duplicate windows and partitions know a uid by.
func UIDHash(uid string) Hash { return sha256.Sum256([]byte(uid)) }

// notContent says of a field that two deliveries of one event may differ in it: the provider's bytes (member order and
// white space do not count), the identity that was derived, when and by whom it was processed, and what was concluded.
func notContent(pointer string) bool {
	switch pointer {
	case "/raw_data", "/raw_data_size",
		"/metadata/uid",
		"/metadata/processed_time", "/metadata/processed_time_dt",
		"/metadata/logged_time", "/metadata/logged_time_dt",
		"/metadata/loggers",
		"/enrichments",
		"/observables":
		return true
	}
	return strings.HasPrefix(pointer, "/raw_data_hash")
}

// ContentHash is the hash of what makes an event the event it is (docs/formats.md, Duplicates): two deliveries of one
// event have the same.
//
//	H(0x14 ‖ (uint16 len(pointer) ‖ pointer ‖ uint32 len(value) ‖ value) for each field that counts)
func ContentHash(fields []Field) Hash {
	buf := make([]byte, 0, 2048)
	buf = append(buf, domainContent)
	for _, f := range fields {
		if notContent(f.Pointer) {
			continue
		}
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(f.Pointer)))
		buf = append(buf, f.Pointer...)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(f.Value)))
		buf = append(buf, f.Value...)
	}
	return sha256.Sum256(buf)
}
