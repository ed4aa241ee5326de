package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var values = []struct {
	in    string
	valid bool
}{
	{`null`, true}, {`true`, true}, {`false`, true}, {` 0 `, true}, {`-0`, true}, {`1.5e+10`, true}, {`"a"`, true}, {`[]`, true}, {`{}`, true},
	{`{"a":[1,{"b":"c\"\\\/\b\f\n\r\t\u00e9"}],"":null}`, true}, {"[\n1\r\t, 2 ]", true}, {`"\ud800"`, true}, {`"\ud83d\ude80"`, true}, {`"é🚀"`, true},
	{``, false}, {` `, false}, {`nul`, false}, {`tru e`, false}, {`01`, false}, {`-`, false}, {`1.`, false}, {`.5`, false}, {`1e`, false}, {`+1`, false},
	{`NaN`, false}, {`'a'`, false}, {`"a`, false}, {`"\x"`, false}, {`"\u12"`, false}, {`"\u12g4"`, false}, {"\"\n\"", false}, {"\"\x00\"", false}, {"\"\xff\"", false},
	{"\"\xed\xa0\x80\"", false}, {`[1,]`, false}, {`[1 2]`, false}, {`[`, false}, {`]`, false}, {`{"a"}`, false}, {`{"a":}`, false}, {`{"a":1,}`, false},
	{`{a:1}`, false}, {`{"a":1 "b":2}`, false}, {`{} {}`, false}, {"\ufeff{}", false}, {`/*c*/1`, false}, {`"abcdefgh`, false}, {`"abcdefg\`, false},
}

func TestValid(t *testing.T) {
	for _, c := range values {
		if err := (Form{}).Valid([]byte(c.in)); (err == nil) != c.valid {
			t.Errorf("%q: %v", c.in, err)
		}
		var tree Tree
		if err := tree.Parse([]byte(c.in), MaxDepth); (err == nil) != c.valid {
			t.Errorf("%q as a tree: %v", c.in, err)
		}
	}
}

func TestCompact(t *testing.T) {
	for in, valid := range map[string]bool{`{"a":[1,"b c"]}`: true, `{"a": 1}`: false, ` 1`: false, `[1, 2]`: false, `1 `: false} {
		if err := (Form{Compact: true}).Valid([]byte(in)); (err == nil) != valid {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// What is wrong can be told apart.
func TestCauses(t *testing.T) {
	deep := strings.Repeat("[", 1<<20)
	for _, c := range []struct {
		in    string
		cause error
	}{
		{deep, ErrDepth}, {strings.Repeat(`{"a":`, 1<<18), ErrDepth}, {"[\"\xff\"]", ErrUTF8}, {`{"a":1,"b":2,"a":3}`, ErrDuplicate},
		{`{"a":1,"\u0061":2}`, ErrDuplicate}, {`[{"x":{"a":1,"a":1}}]`, ErrDuplicate}, {`{"\ud800":1,"\udc00":2}`, ErrDuplicate},
		{`{"abcdefghi":1,"abcdefghi":2}`, ErrDuplicate}, {`{"a":`, ErrEnd}, {`{"a":"b`, ErrEnd}, {`[1`, ErrEnd}, {`{"a"`, ErrEnd}, {``, ErrEnd},
		{`{"a":"\u12`, ErrEnd}, {`{"a":1]`, nil}, {`x`, nil},
	} {
		var tree Tree
		err := tree.Parse([]byte(c.in), 60)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%.40q: %v, want %v", c.in, err, c.cause)
		}
	}
	var tree Tree
	for in, ok := range map[string]bool{`[[]]`: true, `[[[]]]`: false, `[[{}]]`: false, `1`: true} {
		if err := tree.Parse([]byte(in), 2); (err == nil) != ok {
			t.Errorf("%s within depth 2: %v", in, err)
		}
	}
}

func TestTree(t *testing.T) {
	var tree Tree
	src := ` {"b":[true,{"x":null}],"a":"q\u0041","abcdefgh2":-1.50,"abcdefgh1":false,"":{}} `
	for range 2 { // a tree is used again
		if err := tree.Parse([]byte(src), 10); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, kid := range tree.Kids(0) {
			names = append(names, string(tree.Name(kid)))
		}
		if got := strings.Join(names, " "); got != " a abcdefgh1 abcdefgh2 b" {
			t.Errorf("members in the order %q", got)
		}
		if a := tree.Member(0, "a"); string(tree.Text(a)) != "qA" || string(tree.Raw(a)) != `"q\u0041"` || tree.Kind(a) != KindString || tree.Parent(a) != 0 {
			t.Errorf("a is %s", tree.Raw(a))
		}
		if n := tree.Member(0, "abcdefgh2"); tree.Kind(n) != KindNumber || string(tree.Text(n)) != "-1.50" {
			t.Errorf("abcdefgh2 is %s", tree.Raw(n))
		}
		if n := tree.Member(0, "abcdefgh3"); n != None {
			t.Errorf("a member that is not there: %d", n)
		}
		list := tree.Member(0, "b")
		if kids := tree.Kids(list); len(kids) != 2 || tree.Kind(kids[0]) != KindTrue || tree.Member(kids[1], "x") == None || tree.Depth != 3 {
			t.Errorf("b is %s", tree.Raw(list))
		}
	}
}

func TestLoneSurrogates(t *testing.T) {
	for in, lone := range map[string]bool{
		`"\ud83d\ude80"`: false, `"\ud83d"`: true, `"\ude80\ud83d"`: true, `"\ud83d\ud83d\ude80"`: true, `"\ud83dx"`: true, `{"\ud800":1}`: true, `"\\ud800"`: false,
	} {
		var tree Tree
		if err := tree.Parse([]byte(in), 5); err != nil || tree.Lone != lone {
			t.Errorf("%s: lone %v, %v", in, tree.Lone, err)
		}
		if _, clean := AppendCanonical(nil, []byte(in)); clean == lone {
			t.Errorf("%s: clean %v", in, clean)
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		` { "b" : 1.0 , "a" : [ "\u0041\/" , -0 ] } `:     `{"a":["A/",-0],"b":1.0}`,
		`{"a":1,"a":2,"A":3}`:                             `{"A":3,"a":1,"a":2}`,
		`"\u001f\u007f\u2028\b\f\n\r\t\"\\"`:              "\"\\u001f\u007f\u2028\\b\\f\\n\\r\\t\\\"\\\\\"",
		`{"é":1,"z":2,"\u00e9x":3,"\ud83d\ude80":4}`:      `{"z":2,"é":1,"éx":3,"🚀":4}`,
		`{"aaaaaaaab":1,"aaaaaaaa":2,"aaaaaaaa\u0000":3}`: `{"aaaaaaaa":2,"aaaaaaaa\u0000":3,"aaaaaaaab":1}`,
		`not json`: `not json`,
	} {
		if got, _ := AppendCanonical(nil, []byte(in)); string(got) != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	// Many members, and many levels: sorted, and in linear time.
	var wide, deep bytes.Buffer
	for i := range 1000 {
		wide.WriteString(map[bool]string{true: "{", false: ","}[i == 0] + `"` + strings.Repeat("k", i%7) + string(rune('a'+i%26)) + strings.Repeat("x", i) + `":1`)
		if i < MaxDepth {
			deep.WriteString(`{"b":1,"a":`)
		}
	}
	deep.WriteString("0" + strings.Repeat("}", MaxDepth))
	for _, in := range []string{wide.String() + "}", deep.String()} {
		got, clean := AppendCanonical(nil, []byte(in))
		again, _ := AppendCanonical(nil, got)
		if !clean || len(got) != len(in) || !bytes.Equal(got, again) {
			t.Errorf("%.60s: %v", got, clean)
		}
	}
}

func TestQuotedIsString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\\n\x00\x1f\x7fé\u2028🚀 ")), 0, 80, -1).Draw(t, "text")
		prefix := make([]byte, rapid.IntRange(0, 9).Draw(t, "length"), rapid.IntRange(9, 40).Draw(t, "capacity"))
		got := AppendQuoted(prefix, []byte(text))
		if want := AppendString(prefix, text); !bytes.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
		var back string
		if err := json.Unmarshal(got[len(prefix):], &back); err != nil || back != text {
			t.Fatalf("%q reads as %q: %v", got, back, err)
		}
	})
}

// FuzzValue compares with encoding/json, and the package's parts with each other.
func FuzzValue(f *testing.F) {
	for _, c := range values {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		err := Form{}.Valid(src)
		if theirs := json.Valid(src) && utf8.Valid(src); (err == nil) != theirs && !errors.Is(err, ErrDepth) {
			t.Fatalf("%q: %v, encoding/json says %v", src, err, theirs)
		}
		loose, strict := Tree{AllowDuplicates: true}, Tree{}
		if got := loose.Parse(src, MaxDepth); (got == nil) != (err == nil) {
			t.Fatalf("%q: %v as a tree, %v as a value", src, got, err)
		}
		if got := strict.Parse(src, MaxDepth); err == nil && got != nil && !errors.Is(got, ErrDuplicate) || err != nil && got == nil {
			t.Fatalf("%q: %v as a tree, %v as a value", src, got, err)
		}
		canonical, clean := AppendCanonical(nil, src)
		if err != nil {
			if clean || !bytes.Equal(canonical, src) {
				t.Fatalf("%q became %q", src, canonical)
			}
			return
		}
		if err := (Form{Compact: true}).Valid(canonical); err != nil {
			t.Fatalf("%q became %q: %v", src, canonical, err)
		}
		again, _ := AppendCanonical(nil, canonical)
		if !bytes.Equal(again, canonical) {
			t.Fatalf("%q, then %q", canonical, again)
		}
		if strict.Parse(src, MaxDepth) == nil && clean {
			var a, b any
			if json.Unmarshal(src, &a) == nil && json.Unmarshal(canonical, &b) == nil {
				x, _ := json.Marshal(a)
				y, _ := json.Marshal(b)
				if !bytes.Equal(x, y) {
					t.Fatalf("%q became %q", src, canonical)
				}
			}
		}
	})
}
