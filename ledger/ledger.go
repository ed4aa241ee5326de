// Package ledger holds the formats of the audit ledger and everything that verifies them: records and their field
// commitments, leaves, masked views, payloads, commits, control entries, checkpoints, proofs and proof bundles.
//
// Bytes come in, values or errors go out. The package does no I/O, starts no goroutines and takes keys, salts and
// times as arguments, so the writer, the auditor's tool and a test run exactly the same code. Bytes that are hashed
// are hashed as they are stored: nothing here re-encodes a record to compare it. Formats that have one spelling
// (leaves, commit headers, control entries) are checked by re-encoding the parsed values and comparing the bytes.
//
// docs/formats.md describes every format; the numbers of the domain separation bytes are listed there and below.
package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
)

// Hash is a SHA-256 value. Objects show it in hex, trees in standard base64.
type Hash = [sha256.Size]byte

// The first byte of everything that is hashed. 0x00 and 0x01 are RFC 6962's leaf and node.
const (
	domainLeaf       = 0x00
	domainSalt       = 0x10 // block_j = H(0x10 ‖ salt ‖ uint32 j)
	domainField      = 0x11 // h_i = H(0x11 ‖ salt_i ‖ value_i)
	domainCommitment = 0x12
	domainSet        = 0x13 // leaves of the set root of a control entry
	domainContent    = 0x14 // what makes two deliveries the same event
)

// LeafHash is the RFC 6962 hash of a leaf's bytes (section 2.1: SHA-256(0x00 ‖ leaf)).
func LeafHash(leaf []byte) Hash {
	var short [1 + 512]byte
	if len(leaf) < len(short) {
		short[0] = domainLeaf
		return sha256.Sum256(short[:1+copy(short[1:], leaf)])
	}
	return sha256.Sum256(append([]byte{domainLeaf}, leaf...))
}

// Salt and hash encodings of the formats: base64url without padding for salts, standard base64 for hashes, both strict
// (a second spelling of the same bytes is refused).
var (
	saltEncoding = base64.RawURLEncoding.Strict()
	hashEncoding = base64.StdEncoding.Strict()
)

// ParseHash reads a hash in standard base64, as leaves, commits and checkpoints hold it.
func ParseHash(s string) (h Hash, err error) {
	b, err := hashEncoding.DecodeString(s)
	// encoding/base64 passes over line breaks; the length leaves no room for them.
	if err != nil || len(b) != len(h) || len(s) != hashEncoding.EncodedLen(len(h)) {
		return h, fmt.Errorf("%q is not a SHA-256 hash in base64", clip(s))
	}
	return Hash(b), nil
}

// FormatHash writes a hash in standard base64.
func FormatHash(h Hash) string { return hashEncoding.EncodeToString(h[:]) }

// AppendBundle appends one leaf to a C2SP entry bundle (tlog-tiles: big-endian uint16 length, then the bytes). A leaf
// is at most 65,535 bytes long; a longer one is a programming error of the caller.
func AppendBundle(dst, leaf []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(leaf)))
	return append(dst, leaf...)
}

// ParseBundle cuts a C2SP entry bundle into its leaves, which share its memory.
func ParseBundle(bundle []byte) (leaves [][]byte, err error) {
	for pos := 0; pos < len(bundle); {
		if len(bundle)-pos < 2 {
			return nil, fmt.Errorf("entry bundle ends inside the length of leaf %d", len(leaves))
		}
		n := int(binary.BigEndian.Uint16(bundle[pos:]))
		pos += 2
		if len(bundle)-pos < n {
			return nil, fmt.Errorf("entry bundle ends inside leaf %d", len(leaves))
		}
		leaves = append(leaves, bundle[pos:pos+n:pos+n])
		pos += n
	}
	return leaves, nil
}

// Printable keeps a string from outside from steering a terminal: what is no printable character becomes a dot.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '\u00b7'
		}
		return r
	}, s)
}

// clip shortens a string from outside for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
