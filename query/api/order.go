package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/query"
)

// A proofsOrder is the body of POST /v1/proofs.
type proofsOrder struct {
	refs    []query.Ref
	options query.ProofOptions
	cells   []string
	purpose ledger.AccessPurpose
}

// readProofsOrder reads the body strictly: every member is known and stands once.
func readProofsOrder(body io.Reader) (*proofsOrder, error) {
	src, err := io.ReadAll(body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, err
	}
	if err != nil {
		return nil, badBodyf("The body ended too soon.")
	}
	if err := (rawjson.Form{MaxDepth: 4}).Valid(src); err != nil {
		return nil, badBodyf("%s", err)
	}
	o := &proofsOrder{options: query.ProofOptions{Format: query.FormatBundle}, purpose: ledger.PurposeAudit}
	err = readObject(src, "the body", map[string]func([]byte) error{
		"refs":     func(v []byte) error { return o.readRefs(v) },
		"format":   func(v []byte) error { return readEnum(v, &o.options.Format, query.FormatBundle, query.FormatProof) },
		"disclose": func(v []byte) error { return readStrings(v, query.MaxProofs, &o.options.Disclose) },
		"hide":     func(v []byte) error { return readStrings(v, query.MaxProofs, &o.options.Hide) },
		"cells":    func(v []byte) error { return readStrings(v, maxValues, &o.cells) },
		"purpose":  func(v []byte) error { return readEnum(v, &o.purpose, ledger.AccessPurposes()...) },
	})
	if err != nil {
		return nil, badBodyf("%s", err)
	}
	if o.refs == nil {
		return nil, badBodyf("refs is missing")
	}
	if name, wrong := checkOptions(&o.options); wrong != "" {
		return nil, badBodyf("%s: %s", name, wrong)
	}
	if err := distinct("cells", o.cells); err != nil {
		return nil, badBodyf("%s", problemOf(err).detail)
	}
	return o, nil
}

func (o *proofsOrder) readRefs(src []byte) error {
	return readArray(src, query.MaxProofs, func(i int, v []byte) error {
		ref, seen := query.Ref{}, 0
		err := readObject(v, fmt.Sprintf("[%d]", i), map[string]func([]byte) error{
			"uid": func(v []byte) error { seen |= 1; return readString(v, maxUID, &ref.UID) },
			"log": func(v []byte) error { seen |= 2; return readString(v, ledger.MaxOriginBytes, &ref.Log) },
			"index": func(v []byte) (err error) {
				seen |= 4
				if ref.Index, err = strconv.ParseUint(string(v), 10, 63); err != nil || ref.Index > maxCount {
					return fmt.Errorf("expected a number from 0 to %d", maxCount)
				}
				return nil
			},
		})
		if err != nil {
			return err
		}
		if seen != 1 && seen != 2|4 {
			return fmt.Errorf("[%d]: expected either uid, or log and index", i)
		}
		o.refs = append(o.refs, ref)
		return nil
	})
}

// readObject reads an object of valid JSON whose members are known and stand once.
func readObject(src []byte, what string, members map[string]func([]byte) error) error {
	src = src[rawjson.Space(src, 0):]
	if src[0] != '{' {
		return fmt.Errorf("%s: expected an object", what)
	}
	seen := make(map[string]bool)
	m := rawjson.Members(src)
	for m.Next() {
		name := string(m.Name)
		read, ok := members[name]
		switch {
		case !ok:
			return fmt.Errorf("%s: unknown member %s", what, shown(name))
		case seen[name]:
			return fmt.Errorf("%s: member %s stands twice", what, name)
		}
		seen[name] = true
		if err := read(m.Value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return m.Err()
}

// readArray reads an array of valid JSON with at least one element.
func readArray(src []byte, most int, read func(i int, v []byte) error) error {
	if src[0] != '[' {
		return errors.New("expected an array")
	}
	n := 0
	a := rawjson.Elements(src)
	for ; a.Next(); n++ {
		if n == most {
			return fmt.Errorf("more than %d elements", most)
		}
		if err := read(n, a.Value); err != nil {
			return err
		}
	}
	if n == 0 && a.Err() == nil {
		return errors.New("is empty")
	}
	return a.Err()
}

func readStrings(src []byte, most int, into *[]string) error {
	return readArray(src, most, func(_ int, v []byte) error {
		var s string
		if err := readString(v, maxValueBytes, &s); err != nil {
			return err
		}
		*into = append(*into, s)
		return nil
	})
}

func readString(src []byte, most int, into *string) error {
	if src[0] != '"' {
		return errors.New("expected a string")
	}
	s, clean := rawjson.AppendUnescaped(nil, src[1:len(src)-1])
	switch {
	case !clean || !utf8.Valid(s) || slices.Contains(s, 0):
		return errors.New("is not text")
	case len(s) == 0:
		return errors.New("is empty")
	case len(s) > most:
		return fmt.Errorf("%d bytes long, at most %d", len(s), most)
	}
	*into = string(s)
	return nil
}

func readEnum[T ~string](src []byte, into *T, known ...T) error {
	var s string
	if err := readString(src, 64, &s); err != nil || !slices.Contains(known, T(s)) {
		return fmt.Errorf("expected one of %v", known)
	}
	*into = T(s)
	return nil
}
