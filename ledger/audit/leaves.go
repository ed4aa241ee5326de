package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"domicile.dev/domicile/ledger"
)

// leafReader checks that leaves of an events log are in their one encoding, and tells their regions. Neighbours differ
// in little but the commitment, so what stands before it is parsed once for each kind.
type leafReader struct {
	heads map[string]string // `{"v":1,"hour":…,"region":"…","commit":"` to the region
}

const (
	commitChars = 44
	leafTail    = `"}`
	maxHeads    = 4096
)

var strictBase64 = base64.StdEncoding.Strict()

func (r *leafReader) region(leaf []byte) (string, error) {
	if cut := len(leaf) - commitChars - len(leafTail); cut > 0 {
		if region, ok := r.heads[string(leaf[:cut])]; ok && isHash(leaf[cut:cut+commitChars]) && string(leaf[cut+commitChars:]) == leafTail {
			return region, nil
		}
	}
	l, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return "", err
	}
	if r.heads == nil || len(r.heads) >= maxHeads {
		r.heads = make(map[string]string)
	}
	r.heads[string(leaf[:len(leaf)-commitChars-len(leafTail)])] = l.Region
	return l.Region, nil
}

// isHash reports whether 44 characters are the one base64 spelling of 32 bytes.
func isHash(text []byte) bool {
	var h [33]byte
	n, err := strictBase64.Decode(h[:], text)
	return err == nil && n == 32 && bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') < 0
}

// nextLeaf cuts the first leaf off an entry bundle; ok is false where it is cut short.
func nextLeaf(bundle []byte) (leaf, rest []byte, ok bool) {
	if len(bundle) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(bundle))
	if len(bundle) < n {
		return nil, nil, false
	}
	return bundle[2:n:n], bundle[n:], true
}

// differ says in what a stored bundle differs from the one that the leaves give.
func differBundles(stored, want []byte, first uint64) string {
	for i := uint64(0); ; i++ {
		a, restA, okA := nextLeaf(stored)
		b, restB, okB := nextLeaf(want)
		switch {
		case !okB && len(stored) > 0:
			return fmt.Sprintf("has %d bytes after its last leaf", len(stored))
		case !okB:
			return "differs"
		case !okA && len(stored) == 0:
			return fmt.Sprintf("ends before leaf %d", first+i)
		case !okA:
			return fmt.Sprintf("is cut off within leaf %d", first+i)
		case !bytes.Equal(a, b):
			return fmt.Sprintf("leaf %d is %.100q, the commits say %.100q", first+i, a, b)
		}
		stored, want = restA, restB
	}
}

// differTiles says in what a stored tile of hashes differs from the one that the leaves give.
func differTiles(stored, want []byte) string {
	if len(stored) != len(want) {
		return fmt.Sprintf("is %d bytes long, expected %d", len(stored), len(want))
	}
	for i := 0; i < len(want); i += 32 {
		if a, b := stored[i:i+32], want[i:i+32]; !bytes.Equal(a, b) {
			return fmt.Sprintf("hash %d of %d is %s, the leaves give %s", i/32, len(want)/32,
				base64.StdEncoding.EncodeToString(a), base64.StdEncoding.EncodeToString(b))
		}
	}
	return "differs"
}
