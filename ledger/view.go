package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"domicile.dev/domicile/internal/rawjson"
)

// A View shows some fields of a record and hides the others behind their hashes; it commits to the same value as the
// record, so it verifies against the same leaf. Nobody can show two people different values of one field, or leave a
// field out.
type View struct {
	Fields []ViewField
}

// A ViewField is a field with its value and salt, or with its hash only.
type ViewField struct {
	Pointer   string
	Disclosed bool
	Salt      [16]byte // if disclosed
	Value     []byte   // if disclosed
	Hash      Hash     // if hidden
}

// Mask makes the view of a record that discloses the fields for which disclose returns true.
func Mask(r *Record, disclose func(pointer string) bool) *View {
	var c Committer
	var salts fieldSalts
	v := &View{Fields: make([]ViewField, 0, len(r.Fields))}
	for _, f := range r.Fields {
		salt := salts.next(&r.Salt)
		if disclose(f.Pointer) {
			v.Fields = append(v.Fields, ViewField{Pointer: f.Pointer, Disclosed: true, Salt: *salt, Value: f.Value})
		} else {
			v.Fields = append(v.Fields, ViewField{Pointer: f.Pointer, Hash: c.hashField(salt, f.Value)})
		}
	}
	return v
}

// Append appends the view as JSON:
//
//	{"v":1,"fields":[["<pointer>","<salt, base64url>","<value bytes as a JSON string>"],["<pointer>","<hash, base64>"],…]}
func (v *View) Append(dst []byte) []byte {
	dst = append(dst, `{"v":1,"fields":[`...)
	for i, f := range v.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `["`...), f.Pointer...), `","`...)
		if f.Disclosed {
			dst = saltEncoding.AppendEncode(dst, f.Salt[:])
			dst = append(dst, `",`...)
			dst = rawjson.AppendString(dst, f.Value)
		} else {
			dst = hashEncoding.AppendEncode(dst, f.Hash[:])
			dst = append(dst, '"')
		}
		dst = append(dst, ']')
	}
	return append(dst, `]}`...)
}

// ParseView reads a view and refuses what no record can have given: pointers out of order, a field inside another, a
// disclosed value that should have been cut, a cut one that should have stayed whole, anything malformed.
func ParseView(src []byte) (*View, error) {
	fields, err := viewFields(src)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	v := new(View)
	a := rawjson.Elements(fields)
	for a.Next() {
		if len(v.Fields) == MaxFields {
			return nil, fmt.Errorf("view: more than %d fields", MaxFields)
		}
		f, err := parseViewField(a.Value)
		if err != nil {
			return nil, fmt.Errorf("view: field %d: %w", len(v.Fields), err)
		}
		if n := len(v.Fields); n > 0 {
			if before := v.Fields[n-1].Pointer; before >= f.Pointer {
				return nil, fmt.Errorf("view: pointers %s and %s are not in ascending order", before, f.Pointer)
			} else if strings.HasPrefix(f.Pointer, before+"/") {
				return nil, fmt.Errorf("view: %s lies inside %s", f.Pointer, before)
			}
		}
		v.Fields = append(v.Fields, f)
	}
	if err := a.Err(); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return v, nil
}

// viewFields checks the frame of a view and returns its list of fields.
func viewFields(src []byte) (fields []byte, err error) {
	if err := (rawjson.Form{MaxDepth: 3}).Valid(src); err != nil {
		return nil, err
	}
	o := rawjson.Members(bytes.TrimSpace(src))
	for _, want := range []string{"v", "fields"} {
		if !o.Next() || string(o.Name) != want {
			return nil, fmt.Errorf("member %q missing", want)
		}
		if want == "v" && string(o.Value) != "1" {
			return nil, errors.New("version is not 1")
		}
	}
	fields = o.Value
	if o.Next() {
		return nil, fmt.Errorf("unknown member %q", clip(string(o.Name)))
	}
	return fields, nil
}

func parseViewField(src []byte) (f ViewField, err error) {
	var parts [][]byte
	a := rawjson.Elements(src)
	for a.Next() {
		if len(parts) == 3 || a.Value[0] != '"' {
			return f, errors.New("is not two or three strings")
		}
		s, clean := rawjson.AppendUnescaped(nil, a.Value[1:len(a.Value)-1])
		if !clean {
			return f, errors.New("holds a lone surrogate")
		}
		parts = append(parts, s)
	}
	if err := a.Err(); err != nil {
		return f, err
	}
	if len(parts) < 2 {
		return f, errors.New("is not two or three strings")
	}
	f.Pointer = string(parts[0])
	names, err := pointerNames(f.Pointer)
	if err != nil {
		return f, err
	}
	if len(parts) == 2 {
		f.Hash, err = ParseHash(string(parts[1]))
		return f, err
	}
	f.Disclosed, f.Value = true, parts[2]
	if salt, err := saltEncoding.DecodeString(string(parts[1])); err != nil || len(salt) != len(f.Salt) || len(parts[1]) != saltEncoding.EncodedLen(len(f.Salt)) {
		return f, fmt.Errorf("%s: salt is not 16 bytes in base64url", f.Pointer)
	} else {
		f.Salt = [16]byte(salt)
	}
	form := rawjson.Form{Compact: true, MaxDepth: MaxEventDepth - len(names)}
	if err := form.Valid(f.Value); err != nil {
		return f, fmt.Errorf("%s: value: %w", f.Pointer, err)
	}
	if len(names) < maxNames && !wholeMembers[names[len(names)-1]] && f.Value[0] == '{' && len(f.Value) > 2 {
		return f, fmt.Errorf("%s: an object that should have been cut into its members", f.Pointer)
	}
	return f, nil
}

// pointerNames cuts a pointer and checks that a record can have such a field.
func pointerNames(pointer string) ([]string, error) {
	rest, ok := strings.CutPrefix(pointer, "/")
	names := strings.Split(rest, "/")
	if !ok || len(names) > maxNames {
		return nil, fmt.Errorf("pointer %q does not have one to three names", clip(pointer))
	}
	for i, name := range names {
		if !validName(name) {
			return nil, fmt.Errorf("pointer %q: a name does not match [a-z0-9_]{1,64}", clip(pointer))
		}
		if i < len(names)-1 && wholeMembers[name] {
			return nil, fmt.Errorf("pointer %q: %s is never cut", clip(pointer), name)
		}
	}
	return names, nil
}

// Commitment is the commitment that the record of the view has.
func (v *View) Commitment() Hash {
	var c Committer
	c.begin(len(v.Fields))
	for i := range v.Fields {
		f := &v.Fields[i]
		if h := f.Hash; !f.Disclosed {
			c.add(f.Pointer, h)
		} else {
			c.add(f.Pointer, c.hashField(&f.Salt, f.Value))
		}
	}
	return c.sum()
}

// Get looks a field up, as Leaf.CheckFields asks.
func (v *View) Get(pointer string) (value []byte, hidden, present bool) {
	for i := range v.Fields {
		if f := &v.Fields[i]; f.Pointer == pointer {
			return f.Value, !f.Disclosed, true
		}
	}
	return nil, false, false
}
