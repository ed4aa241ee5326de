package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"domicile.dev/domicile/internal/rawjson"
)

// A Leaf is an entry of an events log: what the Merkle tree says of one record. It holds nothing that points at a
// person, so it may cross a border and outlives an erasure.
type Leaf struct {
	Hour       int64  // ⌊time in ms / 3,600,000⌋
	Region     string // provider:region, provider:global or provider:unknown
	Commitment Hash
}

// MillisPerHour converts event times to hours of leaves.
const MillisPerHour = 3_600_000

// HourOf returns the hour of a time in milliseconds since 1970.
func HourOf(millis int64) int64 {
	h := millis / MillisPerHour
	if millis%MillisPerHour < 0 {
		h--
	}
	return h
}

// Append appends the leaf's one encoding.
func (l Leaf) Append(dst []byte) []byte {
	dst = append(dst, `{"v":1,"hour":`...)
	dst = strconv.AppendInt(dst, l.Hour, 10)
	dst = append(dst, `,"region":"`...)
	dst = append(dst, l.Region...)
	dst = append(dst, `","commit":"`...)
	dst = hashEncoding.AppendEncode(dst, l.Commitment[:])
	return append(dst, `"}`...)
}

// ParseLeaf reads a leaf; it is valid only if encoding what was read gives the same bytes.
func ParseLeaf(leaf []byte) (l Leaf, err error) {
	rest, ok := bytes.CutPrefix(leaf, []byte(`{"v":1,"hour":`))
	hour, rest, ok2 := bytes.Cut(rest, []byte(`,"region":"`))
	region, rest, ok3 := bytes.Cut(rest, []byte(`","commit":"`))
	commit, ok4 := bytes.CutSuffix(rest, []byte(`"}`))
	if !ok || !ok2 || !ok3 || !ok4 {
		return l, fmt.Errorf("leaf %q does not have the form of an event leaf", clip(string(leaf)))
	}
	if l.Hour, err = strconv.ParseInt(string(hour), 10, 64); err != nil {
		return l, fmt.Errorf("leaf: hour %q is not a number", clip(string(hour)))
	}
	if l.Region = string(region); !validRegion(l.Region) {
		return l, fmt.Errorf("leaf: region %q is not provider:region", clip(l.Region))
	}
	if l.Commitment, err = ParseHash(string(commit)); err != nil {
		return l, fmt.Errorf("leaf: commit: %w", err)
	}
	if !bytes.Equal(l.Append(nil), leaf) {
		return l, fmt.Errorf("leaf %q is not in its one encoding", clip(string(leaf)))
	}
	return l, nil
}

// Regions that name no place.
const (
	RegionGlobal  = "global"
	RegionUnknown = "unknown"
)

func validRegion(s string) bool {
	provider, region, ok := strings.Cut(s, ":")
	return ok && len(s) <= 128 && regionWord(provider) && regionWord(region)
}

func regionWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return s != ""
}

// CheckFields holds a leaf against the fields of its record: same hour, same provider, and the same region unless the
// leaf says global or unknown. get returns a field's value; hidden is true where a view holds the field but does not
// disclose it, and such a field is not judged.
func (l Leaf) CheckFields(get func(pointer string) (value []byte, hidden, present bool)) error {
	provider, region, _ := strings.Cut(l.Region, ":")
	value, hidden, present := get("/time")
	switch {
	case !present:
		return errors.New("leaf: the record has no /time")
	case !hidden:
		t, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || HourOf(t) != l.Hour {
			return fmt.Errorf("leaf: hour %d is not that of /time %s", l.Hour, clip(string(value)))
		}
	}
	if err := checkString(get, "/cloud/provider", func(s string) bool { return strings.ToLower(s) == provider }); err != nil {
		return fmt.Errorf("leaf: region %s: %w", l.Region, err)
	}
	if region == RegionGlobal || region == RegionUnknown {
		return nil
	}
	if err := checkString(get, "/cloud/region", func(s string) bool { return s == region }); err != nil {
		return fmt.Errorf("leaf: region %s: %w", l.Region, err)
	}
	return nil
}

func checkString(get func(string) ([]byte, bool, bool), pointer string, ok func(string) bool) error {
	value, hidden, present := get(pointer)
	if hidden {
		return nil
	}
	if !present {
		return fmt.Errorf("the record has no %s", pointer)
	}
	if len(value) < 2 || value[0] != '"' {
		return fmt.Errorf("%s is not a string", pointer)
	}
	s := value[1 : len(value)-1]
	if bytes.IndexByte(s, '\\') >= 0 {
		s, _ = rawjson.AppendUnescaped(nil, s)
	}
	if !ok(string(s)) {
		return fmt.Errorf("%s is %q", pointer, clip(string(s)))
	}
	return nil
}

// Get looks a field up for Leaf.CheckFields; nothing of a record is hidden.
func (r *Record) Get(pointer string) (value []byte, hidden, present bool) {
	value, present = r.Field(pointer)
	return value, false, present
}
