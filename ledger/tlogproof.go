package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

const (
	proofHeader    = "c2sp.org/tlog-proof@v1"
	maxProofHashes = 63 // a tree of MaxTreeSize leaves has no longer path
	maxExtraBytes  = 64 << 10
)

// Proof says that a leaf stands at an index of the tree that a checkpoint heads (c2sp.org/tlog-proof).
type Proof struct {
	Index      uint64
	Hashes     []Hash // from the leaf's sibling up (RFC 6962, section 2.1.1)
	Checkpoint []byte // the signed note
	Extra      []byte // opaque and not vouched for by anything; nil where there is none
}

// Append appends the proof in the text form of c2sp.org/tlog-proof@v1.
func (p *Proof) Append(dst []byte) []byte {
	dst = append(dst, proofHeader+"\n"...)
	if p.Extra != nil {
		dst = append(base64.StdEncoding.AppendEncode(append(dst, "extra "...), p.Extra), '\n')
	}
	dst = append(strconv.AppendUint(append(dst, "index "...), p.Index, 10), '\n')
	for _, h := range p.Hashes {
		dst = append(base64.StdEncoding.AppendEncode(dst, h[:]), '\n')
	}
	return append(append(dst, '\n'), p.Checkpoint...)
}

// ParseProof reads the text form. The checkpoint in it is cut off as it stands and not looked into.
func ParseProof(text []byte) (*Proof, error) {
	if len(text) > MaxNoteBytes+2*maxExtraBytes {
		return nil, fmt.Errorf("tlog-proof is %d bytes long, at most %d are allowed", len(text), MaxNoteBytes+2*maxExtraBytes)
	}
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok {
		return nil, errors.New("tlog-proof has no empty line before its checkpoint")
	}
	lines := strings.Split(string(head), "\n")
	if lines[0] != proofHeader {
		return nil, fmt.Errorf("tlog-proof does not start with the line %q", proofHeader)
	}
	lines = lines[1:]
	p := &Proof{Checkpoint: checkpoint}
	if len(lines) > 0 {
		if b64, ok := strings.CutPrefix(lines[0], "extra "); ok {
			extra, err := base64.StdEncoding.Strict().DecodeString(b64)
			if err != nil || strings.Contains(b64, "\r") || len(extra) > maxExtraBytes {
				return nil, fmt.Errorf("tlog-proof: the extra line is not base64 of at most %d bytes", maxExtraBytes)
			}
			p.Extra = append([]byte{}, extra...)
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("tlog-proof has no index line")
	}
	number, ok := strings.CutPrefix(lines[0], "index ")
	if !ok {
		return nil, errors.New("tlog-proof has no index line")
	}
	var err error
	if p.Index, err = parseDecimal(number); err != nil {
		return nil, fmt.Errorf("tlog-proof: index: %w", err)
	}
	lines = lines[1:]
	if len(lines) > maxProofHashes {
		return nil, fmt.Errorf("tlog-proof has %d hashes, no tree needs more than %d", len(lines), maxProofHashes)
	}
	for i, line := range lines {
		h, err := parseHash(line)
		if err != nil {
			return nil, fmt.Errorf("tlog-proof: hash %d: %w", i+1, err)
		}
		p.Hashes = append(p.Hashes, h)
	}
	return p, nil
}

// VerifyInclusion checks that the leaf with this RFC 6962 hash stands at p.Index of the tree that c heads. Where c comes
// from is the caller's care: usually Policy.Verify of p.Checkpoint.
func (p *Proof) VerifyInclusion(leafHash Hash, c Checkpoint) error {
	path := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		path[i] = p.Hashes[i][:]
	}
	if p.Index >= c.Size {
		return fmt.Errorf("index %d is not within the %d leaves of %s", p.Index, c.Size, c.Origin)
	}
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, p.Index, c.Size, leafHash[:], path)
	if err != nil {
		return fmt.Errorf("inclusion proof of leaf %d at size %d: %w", p.Index, c.Size, err)
	}
	if !bytes.Equal(root, c.Root[:]) {
		return fmt.Errorf("inclusion proof of leaf %d at size %d leads to root %s, the checkpoint says %s", p.Index, c.Size,
			FormatHash(Hash(root)), FormatHash(c.Root))
	}
	return nil
}
