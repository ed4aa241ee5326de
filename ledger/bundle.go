package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"domicile.dev/domicile/internal/rawjson"
)

// MaxProofBundleBytes bounds a proof bundle: the largest event, every byte of it escaped, and then some.
const MaxProofBundleBytes = 32 << 20

// A ProofBundle is everything that somebody needs, besides a trust policy, to check one event without a network:
//
//	{"v":1,"origin":"…","index":7,"leaf":"<bytes>","record":"<line>" or "view":{…},"proof":"<tlog-proof>",
//	 "anchor":{"entry":"<batch entry>","proof":"<tlog-proof in the control log>"}}
//
// The bytes that are hashed stand in JSON strings, so the bundle itself may be laid out anew; nothing hashes it.
type ProofBundle struct {
	Origin string
	Index  uint64
	Leaf   []byte  // exact bytes of the leaf
	Record []byte  // exact payload line; nil where there is a view
	View   []byte  // the view's JSON; nil where there is a record
	Proof  []byte  // tlog-proof of the leaf in the events log
	Anchor *Anchor // nil where the log's own policy is to be met
}

// An Anchor shows that the cell's control log, the one that witnesses look after, binds the tree of the proof.
type Anchor struct {
	Entry []byte // exact bytes of the batch entry
	Proof []byte // tlog-proof of the entry in the control log
}

// Append appends the bundle's JSON. Leaf, record, proofs and entry must be UTF-8, as everything is that their parsers
// take; the view is copied as it is.
func (b *ProofBundle) Append(dst []byte) []byte {
	dst = rawjson.AppendString(append(dst, `{"v":1,"origin":`...), b.Origin)
	dst = strconv.AppendUint(append(dst, `,"index":`...), b.Index, 10)
	dst = rawjson.AppendString(append(dst, `,"leaf":`...), b.Leaf)
	if b.View != nil {
		dst = append(append(dst, `,"view":`...), b.View...)
	} else {
		dst = rawjson.AppendString(append(dst, `,"record":`...), b.Record)
	}
	dst = rawjson.AppendString(append(dst, `,"proof":`...), b.Proof)
	if b.Anchor != nil {
		dst = rawjson.AppendString(append(dst, `,"anchor":{"entry":`...), b.Anchor.Entry)
		dst = rawjson.AppendString(append(dst, `,"proof":`...), b.Anchor.Proof)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// ParseProofBundle reads the frame of a bundle: every member there once, none besides, of the right type. Order and
// white space are free. What the members hold is VerifyBundle's to judge.
func ParseProofBundle(src []byte) (*ProofBundle, error) {
	if len(src) > MaxProofBundleBytes {
		return nil, fmt.Errorf("proof bundle is %d bytes long, at most %d are allowed", len(src), MaxProofBundleBytes)
	}
	b := new(ProofBundle)
	err := members(src, []member{
		{name: "v", read: func(v []byte) error {
			if string(v) != "1" {
				return fmt.Errorf("version %s is unknown to this verifier, expected 1", clip(string(v)))
			}
			return nil
		}},
		{name: "origin", read: func(v []byte) error {
			s, err := unquote(v)
			b.Origin = string(s)
			return err
		}},
		{name: "index", read: func(v []byte) (err error) {
			b.Index, err = parseDecimal(string(v))
			return err
		}},
		{name: "leaf", read: stringInto(&b.Leaf)},
		{name: "record", optional: true, read: stringInto(&b.Record)},
		{name: "view", optional: true, read: func(v []byte) error { b.View = v; return nil }},
		{name: "proof", read: stringInto(&b.Proof)},
		{name: "anchor", optional: true, read: func(v []byte) error {
			b.Anchor = new(Anchor)
			return members(v, []member{
				{name: "entry", read: stringInto(&b.Anchor.Entry)},
				{name: "proof", read: stringInto(&b.Anchor.Proof)},
			})
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("proof bundle: %w", err)
	}
	if (b.Record == nil) == (b.View == nil) {
		return nil, errors.New("proof bundle: expected either a record or a view")
	}
	return b, nil
}

// member is a member of an object whose members are known.
type member struct {
	name     string
	optional bool
	read     func(value []byte) error
}

// members reads an object: each of the known members once, the optional ones at most once, none besides.
func members(src []byte, known []member) error {
	if err := (rawjson.Form{MaxDepth: 8}).Valid(src); err != nil {
		return err
	}
	seen := make(map[string]bool)
	o := rawjson.Members(src[rawjson.Space(src, 0):])
	for o.Next() {
		name := string(o.Name)
		i := slices.IndexFunc(known, func(m member) bool { return m.name == name })
		switch {
		case i < 0:
			return fmt.Errorf("unknown member %q", clip(name))
		case seen[name]:
			return fmt.Errorf("member %q stands twice", name)
		}
		seen[name] = true
		if err := known[i].read(o.Value); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
	}
	if err := o.Err(); err != nil {
		return err
	}
	for _, m := range known {
		if !m.optional && !seen[m.name] {
			return fmt.Errorf("member %q is missing", m.name)
		}
	}
	return nil
}

func stringInto(dst *[]byte) func([]byte) error {
	return func(value []byte) (err error) {
		*dst, err = unquote(value)
		return err
	}
}

// unquote returns the bytes that a validated JSON string stands for, never nil.
func unquote(value []byte) ([]byte, error) {
	if value[0] != '"' {
		return nil, errors.New("is not a string")
	}
	s, clean := rawjson.AppendUnescaped(make([]byte, 0, len(value)), value[1:len(value)-1])
	if !clean {
		return nil, errors.New("holds a lone surrogate")
	}
	return s, nil
}
