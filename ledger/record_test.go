package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func nested(open, closing string, n int) string {
	return strings.Repeat(open, n) + "1" + strings.Repeat(closing, n)
}

func TestCutFields(t *testing.T) {
	many := make([]string, MaxFields+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"f%06d":1`, i)
	}
	for _, tt := range []struct {
		name, event string
		want        string // pointers, or the error
	}{
		{"empty event", `{}`, ""},
		{"scalars", `{"a":1,"b":"x","c":null}`, "/a /b /c"},
		{"objects are cut three names deep", `{"a":{"b":{"c":{"d":1}}}}`, "/a/b/c"},
		{"empty objects stay", `{"a":{},"b":{"c":{}}}`, "/a /b/c"},
		{"arrays stay whole", `{"a":[{"z":1,"b":2}]}`, "/a"},
		{"free-form members stay whole", `{"api":{"request":{"data":{"Z z":1,"A":2}}},"unmapped":{"Ü":1,"a":{"b":1}}}`, "/api/request/data /unmapped"},
		{"names below the cut follow no rule", `{"a":{"b":{"c":{"Z":1,"A":2}}}}`, "/a/b/c"},
		{"pointers are in byte order", `{"a":{"b":1},"a_":1,"a0":2}`, "error: members"},
		{"the slash comes before all", `{"a":{"b":1},"a0":1,"a_":2}`, "/a/b /a0 /a_"},
		{"order", `{"b":1,"a":2}`, "error: members"},
		{"duplicate", `{"a":1,"a":2}`, "error: members"},
		{"upper case name", `{"A":1}`, "error: member name"},
		{"escaped name", `{"\u0061":1}`, "error: member name"},
		{"long name", `{"` + strings.Repeat("a", 65) + `":1}`, "error: member name"},
		{"white space", `{"a": 1}`, "error: "},
		{"white space inside a whole value", `{"a":[1, 2]}`, "error: "},
		{"white space before the end", `{"a":1 }`, "error: "},
		{"white space after", `{"a":1}` + "\n", "error: data after"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "error: "},
		{"not an object", `[1]`, "error: "},
		{"cut short", `{"a":{"b":1}`, "error: "},
		{"empty", ``, "error: "},
		{"depth 64", `{"a":` + nested("[", "]", 63) + `}`, "/a"},
		{"depth 65", `{"a":` + nested("[", "]", 64) + `}`, "error: "},
		{"depth 64 under a cut", `{"a":{"b":` + nested("[", "]", 62) + `}}`, "/a/b"},
		{"depth 65 under a cut", `{"a":{"b":` + nested("[", "]", 63) + `}}`, "error: "},
		{"too many fields", `{` + strings.Join(many, ",") + `}`, "error: record: more than 65535"},
		{"too large", `{"a":"` + strings.Repeat("x", MaxEventBytes) + `"}`, "error: record: event of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fields, err := CutFields([]byte(tt.event), nil)
			if want, ok := strings.CutPrefix(tt.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want an error with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range fields {
				got = append(got, f.Pointer)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("cut into %q, want %q", got, tt.want)
			}
		})
	}
}

// drawEvent makes an event that follows the record rules; encoding/json sorts the members of maps.
func drawEvent(t *rapid.T) []byte {
	name := rapid.StringMatching(`[a-z0-9_]{1,6}|data|unmapped`)
	var value func(depth int) any
	value = func(depth int) any {
		if depth == 0 {
			return rapid.String().Draw(t, "s")
		}
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return rapid.Int().Draw(t, "n")
		case 1:
			return []any{value(depth - 1)}
		case 2:
			m := map[string]any{}
			for range rapid.IntRange(0, 4).Draw(t, "members") {
				m[name.Draw(t, "name")] = value(depth - 1)
			}
			return m
		}
		return rapid.String().Draw(t, "s")
	}
	m := map[string]any{}
	for range rapid.IntRange(0, 6).Draw(t, "fields") {
		m[name.Draw(t, "name")] = value(4)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordAndViewsCommitToOneValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var salt [32]byte
		copy(salt[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt"))
		event := drawEvent(t)
		rec, err := ParseRecord(AppendRecord(nil, &salt, event))
		if err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		if string(rec.Event) != string(event) || rec.Salt != salt {
			t.Fatal("the record is not what went in")
		}
		disclosed := map[string]bool{}
		for _, f := range rec.Fields {
			disclosed[f.Pointer] = rapid.Bool().Draw(t, "disclose")
		}
		view := Mask(rec, func(p string) bool { return disclosed[p] })
		again, err := ParseView(view.Append(nil))
		if err != nil {
			t.Fatalf("%s: %v", view.Append(nil), err)
		}
		if again.Commitment() != rec.Commitment() {
			t.Fatal("view and record commit to different values")
		}
		for _, f := range rec.Fields {
			value, hidden, present := again.Get(f.Pointer)
			if !present || hidden == disclosed[f.Pointer] || !hidden && string(value) != string(f.Value) {
				t.Fatalf("%s is not shown as asked", f.Pointer)
			}
		}
		// A view that shows another value, however it is made, commits to something else.
		for i := range again.Fields {
			if f := &again.Fields[i]; f.Disclosed {
				f.Value = append([]byte(nil), f.Value...)
				f.Value[0] ^= 1
				if again.Commitment() == rec.Commitment() {
					t.Fatalf("%s can be given another value", f.Pointer)
				}
				break
			}
		}
	})
}

func TestParseViewRefuses(t *testing.T) {
	const hidden = `"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="`
	const salt = `"AAAAAAAAAAAAAAAAAAAAAA"`
	for name, fields := range map[string]string{
		"descending pointers":       `["/b",` + hidden + `],["/a",` + hidden + `]`,
		"pointer twice":             `["/a",` + hidden + `],["/a",` + hidden + `]`,
		"field inside another":      `["/a",` + hidden + `],["/a/b",` + hidden + `]`,
		"object that must be cut":   `["/a",` + salt + `,"{\"b\":1}"]`,
		"free-form member cut":      `["/unmapped/b",` + hidden + `]`,
		"four names":                `["/a/b/c/d",` + hidden + `]`,
		"no leading slash":          `["a",` + hidden + `]`,
		"empty pointer":             `["",` + hidden + `]`,
		"upper case":                `["/A",` + hidden + `]`,
		"white space in a value":    `["/a",` + salt + `,"[1, 2]"]`,
		"two values":                `["/a",` + salt + `,"1 2"]`,
		"no value":                  `["/a",` + salt + `,""]`,
		"short salt":                `["/a","AAAA","1"]`,
		"padded salt":               `["/a","AAAAAAAAAAAAAAAAAAAAAA==","1"]`,
		"second spelling of a salt": `["/a","AAAAAAAAAAAAAAAAAAAAAB","1"]`,
		"short hash":                `["/a","AAAA"]`,
		"line break in a hash":      `["/a","47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM\npJWZG3hSuFU="]`,
		"line break in a salt":      `["/a","AAAAAAAAAAA\nAAAAAAAAAAA","1"]`,
		"number":                    `["/a",1]`,
		"four parts":                `["/a",` + salt + `,"1","2"]`,
		"lone surrogate":            `["/a",` + salt + `,"\"\ud800\""]`,
	} {
		t.Run(name, func(t *testing.T) {
			if v, err := ParseView([]byte(`{"v":1,"fields":[` + fields + `]}`)); err == nil {
				t.Errorf("accepted as %+v", v)
			}
		})
	}
	for name, view := range map[string]string{
		"version":        `{"v":2,"fields":[]}`,
		"unknown member": `{"v":1,"fields":[],"x":1}`,
		"members twice":  `{"v":1,"fields":[],"fields":[]}`,
		"order":          `{"fields":[],"v":1}`,
		"after the end":  `{"v":1,"fields":[]} 1`,
		"too deep":       `{"v":1,"fields":[[[[1]]]]}`,
		"not an object":  `[]`,
		"empty":          ``,
	} {
		t.Run(name, func(t *testing.T) {
			if v, err := ParseView([]byte(view)); err == nil {
				t.Errorf("accepted as %+v", v)
			}
		})
	}
}

func TestLeafAgreesWithFields(t *testing.T) {
	event := `{"cloud":{"provider":"AWS","region":"eu-central-1"},"time":1700000000000}`
	for _, tt := range []struct {
		name, event, region string
		hour                int64
		ok                  bool
	}{
		{"same", event, "aws:eu-central-1", 472222, true},
		{"global leaf", event, "aws:global", 472222, true},
		{"unknown leaf", event, "aws:unknown", 472222, true},
		{"other region", event, "aws:eu-west-1", 472222, false},
		{"other provider", event, "gcp:unknown", 472222, false},
		{"other hour", event, "aws:eu-central-1", 472223, false},
		{"no time", `{"cloud":{"provider":"AWS"}}`, "aws:global", 472222, false},
		{"no provider", `{"time":1700000000000}`, "aws:global", 472222, false},
		{"no region", `{"cloud":{"provider":"AWS"},"time":1700000000000}`, "aws:eu-central-1", 472222, false},
		{"time as a string", `{"cloud":{"provider":"AWS"},"time":"1700000000000"}`, "aws:global", 472222, false},
		{"before 1970", `{"cloud":{"provider":"AWS"},"time":-1}`, "aws:global", -1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := ParseRecord(AppendRecord(nil, new([32]byte), []byte(tt.event)))
			if err != nil {
				t.Fatal(err)
			}
			l := Leaf{Hour: tt.hour, Region: tt.region, Commitment: rec.Commitment()}
			if err := l.CheckFields(rec.Get); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
			hide := Mask(rec, func(string) bool { return false })
			if err := l.CheckFields(hide.Get); err != nil && rec.Fields != nil && tt.ok {
				t.Errorf("hidden fields judged: %v", err)
			}
			if got, err := ParseLeaf(l.Append(nil)); err != nil || got != l {
				t.Errorf("leaf does not survive: %+v, %v", got, err)
			}
		})
	}
}

func TestParseLeafRefusesOtherSpellings(t *testing.T) {
	good := string(Leaf{Hour: 12, Region: "aws:eu-central-1"}.Append(nil))
	for _, r := range [][2]string{{`"v":1`, `"v": 1`}, {":12", ":012"}, {":12", ":+12"}, {":12", ":1e1"}, {"aws:eu", "AWS:eu"}, {"aws:eu", "aws:é"}, {"}", "} "},
		{"aws:eu-central-1", "aws"}, {"aws:eu-central-1", ""}, {"A=", "B="}, {`,"commit"`, `,"x":1,"commit"`}} {
		if l, err := ParseLeaf([]byte(strings.Replace(good, r[0], r[1], 1))); err == nil {
			t.Errorf("%q for %q accepted as %+v", r[1], r[0], l)
		}
	}
}
