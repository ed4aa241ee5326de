// Package vectors embeds test vectors of the ledger's formats, good and bad, for every implementation of them.
// index.json lists them; README.md says how to read it.
package vectors

import "embed"

// Files holds index.json and the files that it names.
//
//go:embed index.json policy bundle commit proof receipt
var Files embed.FS

// Index is index.json.
type Index struct {
	V     int    `json:"v"` // 1
	Cases []Case `json:"cases"`
}

// A Case is one input and what a conforming implementation makes of it. Members that say nothing are left out.
type Case struct {
	Name string `json:"name"` // unique
	Kind string `json:"kind"` // record, view, leaf, commit, proof, bundle or receipt
	Why  string `json:"why"`  // what the case is about

	Input       string   `json:"input,omitempty"`        // the input's bytes as UTF-8,
	InputBase64 string   `json:"input_base64,omitempty"` // or where they are not UTF-8,
	File        string   `json:"file,omitempty"`         // or in a file
	Leaf        string   `json:"leaf,omitempty"`         // proof: the leaf that it is about
	Policies    []string `json:"policies,omitempty"`     // proof, bundle, receipt: files of what the verifier trusts
	Log         string   `json:"log,omitempty"`          // receipt: folder of the open store in which the control log is

	Valid bool `json:"valid"` // the input is to be accepted: what follows holds

	Commitment string   `json:"commitment,omitempty"`  // record, view, leaf: base64
	Fields     []Field  `json:"fields,omitempty"`      // record: how it is cut
	Hour       int64    `json:"hour,omitempty"`        // leaf
	Region     string   `json:"region,omitempty"`      // leaf
	LeafHash   string   `json:"leaf_hash,omitempty"`   // leaf: RFC 6962, base64
	HeaderHash string   `json:"header_hash,omitempty"` // commit: hex, what the next commit's prev holds
	Leaves     []string `json:"leaves,omitempty"`      // commit
	Index      uint64   `json:"index,omitempty"`       // proof
	Size       uint64   `json:"size,omitempty"`        // proof, commit
	Root       string   `json:"root,omitempty"`        // proof, commit: base64

	Exit   *int   `json:"exit,omitempty"`   // bundle, receipt: exit code of domicile-verify event or receipt
	Failed string `json:"failed,omitempty"` // bundle, receipt: id of a check that fails
}

// A Field is a part of a record with the values that lead to its commitment.
type Field struct {
	Pointer string `json:"pointer"`
	Value   string `json:"value"`
	Salt    string `json:"salt"` // base64url
	Hash    string `json:"hash"` // base64
}
