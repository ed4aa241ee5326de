package ledger

import (
	"errors"
	"fmt"
	"strconv"

	"domicile.dev/domicile/internal/rawjson"
)

// MaxReceiptBytes bounds a receipt in JSON.
const MaxReceiptBytes = 4 << 10

// A Receipt says where an entry stands in a control log. It travels with every answer that holds event data, so that
// whoever got the data can check later that this was logged (docs/claims.md, Receipts):
//
//	{"v":1,"origin":"…","emitter":"…","epoch":"<32 hex>","seq":0,"index":7,"hash":"<base64>"}
type Receipt struct {
	Origin  string // of the control log
	Emitter string
	Epoch   string
	Seq     uint64
	Index   uint64
	Hash    Hash // RFC 6962 leaf hash of the entry
}

// ReceiptOf is the receipt of an entry that stands at an index of a control log; raw are its bytes.
func ReceiptOf(origin string, index uint64, e Entry, raw []byte) Receipt {
	c := e.Common()
	return Receipt{origin, c.Emitter, c.Epoch, c.Seq, index, LeafHash(raw)}
}

// Append appends the receipt in JSON, without white space.
func (r Receipt) Append(dst []byte) []byte {
	dst = rawjson.AppendString(append(dst, `{"v":1,"origin":`...), r.Origin)
	dst = rawjson.AppendString(append(dst, `,"emitter":`...), r.Emitter)
	dst = rawjson.AppendString(append(dst, `,"epoch":`...), r.Epoch)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), r.Seq, 10)
	dst = strconv.AppendUint(append(dst, `,"index":`...), r.Index, 10)
	dst = append(append(dst, `,"hash":"`...), FormatHash(r.Hash)...)
	return append(dst, `"}`...)
}

// MarshalJSON implements json.Marshaler.
func (r Receipt) MarshalJSON() ([]byte, error) { return r.Append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler; it is ParseReceipt.
func (r *Receipt) UnmarshalJSON(src []byte) error {
	parsed, err := ParseReceipt(src)
	if err == nil {
		*r = parsed
	}
	return err
}

// ParseReceipt reads a receipt: every member there once, none besides, each of its kind. Order and white space are free,
// since nothing hashes a receipt.
func ParseReceipt(src []byte) (r Receipt, err error) {
	if len(src) > MaxReceiptBytes {
		return r, fmt.Errorf("receipt is %d bytes long, at most %d are allowed", len(src), MaxReceiptBytes)
	}
	text := func(dst *string, kind textKind) func([]byte) error {
		return func(value []byte) error {
			s, err := unquote(value)
			if err == nil && !kind.ok(string(s)) {
				err = fmt.Errorf("is not %s", kind.name)
			}
			*dst = string(s)
			return err
		}
	}
	number := func(dst *uint64) func([]byte) error {
		return func(value []byte) (err error) {
			*dst, err = parseDecimal(string(value))
			return err
		}
	}
	err = members(src, []member{
		{name: "v", read: func(v []byte) error {
			if string(v) != "1" {
				return fmt.Errorf("version %s is unknown to this verifier, expected 1", clip(string(v)))
			}
			return nil
		}},
		{name: "origin", read: text(&r.Origin, entryOrigin)},
		{name: "emitter", read: text(&r.Emitter, entryID)},
		{name: "epoch", read: text(&r.Epoch, entryEpoch)},
		{name: "seq", read: number(&r.Seq)},
		{name: "index", read: number(&r.Index)},
		{name: "hash", read: func(value []byte) error {
			s, err := unquote(value)
			if err == nil {
				r.Hash, err = ParseHash(string(s))
			}
			return err
		}},
	})
	if err == nil {
		if o, originErr := ParseOrigin(r.Origin); originErr != nil || !o.Control {
			err = errors.New(`member "origin": is not a control log's`)
		}
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

// FindReceipts collects the receipts in a file, each once: the file is a receipt, or an answer of the API that has some
// at receipt, receipts or below cells, or a sequence of such values (NDJSON). Anything else in it is passed over.
func FindReceipts(src []byte) (found []Receipt, err error) {
	seen := make(map[Receipt]bool)
	for pos := rawjson.Space(src, 0); pos < len(src); pos = rawjson.Space(src, pos) {
		end, err := rawjson.Value(src, pos)
		if err != nil {
			return nil, fmt.Errorf("receipts: %w", err)
		}
		err = findReceipts(src[pos:end], true, func(r Receipt) {
			if !seen[r] {
				seen[r] = true
				found = append(found, r)
			}
		})
		if err != nil {
			return nil, err
		}
		pos = end
	}
	return found, nil
}

// findReceipts looks at one valid JSON value. outer says that it is no cell within an answer.
func findReceipts(value []byte, outer bool, yield func(Receipt)) error {
	if value[0] != '{' {
		return nil
	}
	parse := func(value []byte) error {
		if string(value) == "null" { // of a cell that did not answer
			return nil
		}
		r, err := ParseReceipt(value)
		if err == nil {
			yield(r)
		}
		return err
	}
	each := func(value []byte, do func([]byte) error) error {
		if value[0] != '[' {
			return nil
		}
		list := rawjson.Elements(value)
		for list.Next() {
			if err := do(list.Value); err != nil {
				return err
			}
		}
		return list.Err()
	}
	isReceipt := map[string]bool{}
	o := rawjson.Members(value)
	for o.Next() {
		var err error
		switch name := string(o.Name); {
		case name == "receipt":
			err = parse(o.Value)
		case name == "receipts":
			err = each(o.Value, parse)
		case name == "cells" && outer:
			err = each(o.Value, func(cell []byte) error { return findReceipts(cell, false, yield) })
		default:
			isReceipt[name] = true
		}
		if err != nil {
			return err
		}
	}
	if outer && isReceipt["emitter"] && isReceipt["epoch"] {
		return parse(value)
	}
	return o.Err()
}
