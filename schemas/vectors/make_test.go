package vectors

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

// maker makes the vectors. Good ones get their expectations from the Go implementation; the Python one, which shares
// nothing with it, has to agree.
type maker struct {
	t     testing.TB
	index Index
	files map[string][]byte
}

func makeVectors(t testing.TB) (Index, map[string][]byte) {
	m := &maker{t: t, index: Index{V: 1}, files: make(map[string][]byte)}
	m.records()
	m.views()
	m.leaves()
	m.commits()
	m.proofsAndBundles()
	m.receipts()
	names := make(map[string]bool)
	for _, c := range m.index.Cases {
		if names[c.Name] {
			t.Fatalf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
	}
	text, err := json.MarshalIndent(m.index, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	m.files["index.json"] = append(text, '\n')
	return m.index, m.files
}

func (m *maker) add(c Case, input []byte) {
	switch {
	case c.File != "":
		m.files[c.File] = input
	case utf8.Valid(input):
		c.Input = string(input)
	default:
		c.InputBase64 = base64.StdEncoding.EncodeToString(input)
	}
	m.index.Cases = append(m.index.Cases, c)
}

func replace(s []byte, old, by string) []byte {
	if !bytes.Contains(s, []byte(old)) {
		panic(fmt.Sprintf("%q is not in %q", old, s))
	}
	return bytes.Replace(s, []byte(old), []byte(by), 1)
}

// slug is a file name made of a case's name.
func slug(name string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
}

func salted(event string) []byte { return ledgertest.Line("vectors", []byte(event)) }

func (m *maker) records() {
	good := []struct{ name, why, event string }{
		{"event", "an ordinary event", string(ledgertest.Event(0))},
		{"empty", "an event without members has no fields", `{}`},
		{"one field", "salt_0 is the first half of block_0", `{"a":1}`},
		{"three fields", "salt_1 is the second half of block_0, salt_2 the first of block_1", `{"a":1,"b":2,"c":3}`},
		{"three names deep", "objects are cut down to three names, the fourth stays in the value", `{"a":{"b":{"c":{"d":{"e":1}}}}}`},
		{"empty objects and arrays", "nothing to cut: the value is the field", `{"a":{},"b":[],"c":{"d":{}}}`},
		{"arrays stay whole", "members in arrays follow no rule of names or order", `{"a":[{"Z":1,"a":2,"a":3}]}`},
		{"free-form members", "unmapped, data and their kind are never cut, wherever they stand", `{"a":{"data":{"Z":1,"A":{"b":2}}},"unmapped":{"Ü":1,"A":2}}`},
		{"slash before letters", "pointers are in the order of the bytes of the event", `{"a":{"b":1},"a0":2,"a_":3}`},
		{"numbers as written", "no number is decoded", `{"a":1e400,"b":-0.0,"c":123456789012345678901234567890}`},
		{"strings as written", "escapes stay as they are: a value is its bytes", `{"a":"\u00e9\/\ud83d\ude00","b":"é/😀","c":"\ud800"}`},
		{"depth 64", "the deepest event", `{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`},
		{"name of 64 bytes", "the longest name", `{"` + strings.Repeat("n", 64) + `":1}`},
	}
	for _, g := range good {
		line := salted(g.event)
		record, err := ledger.ParseRecord(line)
		if err != nil {
			m.t.Fatalf("record %s: %v", g.name, err)
		}
		c := Case{Name: "record: " + g.name, Kind: "record", Why: g.why, Valid: true, Commitment: ledger.FormatHash(record.Commitment())}
		shown := ledger.Mask(record, func(string) bool { return true }).Fields
		hidden := ledger.Mask(record, func(string) bool { return false }).Fields
		for i, f := range record.Fields {
			c.Fields = append(c.Fields, Field{f.Pointer, string(f.Value),
				base64.RawURLEncoding.EncodeToString(shown[i].Salt[:]), ledger.FormatHash(hidden[i].Hash)})
		}
		m.add(c, line)
	}
	line := salted(`{"a":{"b":1},"c":"d"}`)
	for _, b := range []struct {
		name, why string
		line      []byte
	}{
		{"white space between members", "a second spelling of the same event", replace(line, `,"c"`, `, "c"`)},
		{"white space in a value", "white space inside whole values counts too", salted(`{"a":[1, 2]}`)},
		{"white space around", "the line is the record, nothing else", append(bytes.Clone(line), ' ')},
		{"descending members", "members that are cut stand in ascending order", salted(`{"b":1,"a":2}`)},
		{"descending members inside", "at every level that is cut", salted(`{"a":{"c":1,"b":2}}`)},
		{"member twice", "strictly ascending", salted(`{"a":1,"a":2}`)},
		{"member object twice", "two objects of one name would hide members", salted(`{"a":{"b":1},"a":{"c":2}}`)},
		{"upper-case name", "names are lower case", salted(`{"A":1}`)},
		{"escaped name", "a name has one spelling", salted(`{"\u0061":1}`)},
		{"empty name", "a name has a byte at least", salted(`{"":1}`)},
		{"name of 65 bytes", "one too many", salted(`{"` + strings.Repeat("n", 65) + `":1}`)},
		{"depth 65", "one too many", salted(`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`)},
		{"not UTF-8", "such input is quarantined before it becomes a record", salted("{\"a\":\"\xff\"}")},
		{"encoded surrogate", "CESU-8 is not UTF-8", salted("{\"a\":\"\xed\xa0\x80\"}")},
		{"control character", "JSON does not allow it in a string", salted("{\"a\":\"\x01\"}")},
		{"leading zero", "not a JSON number", salted(`{"a":01}`)},
		{"event is an array", "an event is an object", salted(`[1]`)},
		{"cut short", "the end is missing", line[:len(line)-1]},
		{"members of the line exchanged", "the line's own members have one order", []byte(`{"event":{},"salt":"` + string(line[9:52]) + `"}`)},
		{"salt of 31 bytes", "a salt has 32", replace(line, string(line[9:52]), string(line[9:50]))},
		{"salt with padding", "base64url without padding", replace(line, string(line[9:52]), string(line[9:52])+"=")},
		{"salt with loose bits", "base64 has one spelling", replace(line, string(line[9:52]), string(line[9:51])+"_")},
		{"member besides", "salt and event, nothing more", append(bytes.Clone(line[:len(line)-1]), `,"x":1}`...)},
		{"empty line", "the line of an erased record: nothing to check a leaf against", nil},
	} {
		m.add(Case{Name: "record: bad: " + b.name, Kind: "record", Why: b.why}, b.line)
	}
}

func mask(t testing.TB, line []byte, shown ...string) []byte {
	record, err := ledger.ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Mask(record, func(p string) bool { return slices.Contains(shown, p) }).Append(nil)
}

func (m *maker) views() {
	line := salted(`{"a":{"b":"x","c":2},"data":{"Z":1},"e":{}}`)
	all := mask(m.t, line, "/a/b", "/a/c", "/data", "/e")
	some := mask(m.t, line, "/a/c")
	record, err := ledger.ParseRecord(line)
	if err != nil {
		m.t.Fatal(err)
	}
	of := "; the record's commitment is " + ledger.FormatHash(record.Commitment())
	for _, g := range []struct {
		name, why string
		view      []byte
	}{
		{"all shown", "a view of everything commits to what the record does", all},
		{"one shown", "hidden fields stand with their hashes", some},
		{"none shown", "a view may hide everything", mask(m.t, line)},
		{"no fields", "of an empty event", mask(m.t, salted(`{}`))},
		{"laid out anew", "nothing hashes the view itself", bytes.ReplaceAll(some, []byte(","), []byte(" ,\n\t"))},
		{"other value", "a view that claims another value is well-formed, and commits to something else" + of, replace(all, `"2"`, `"3"`)},
		{"other salt", "so is one with another salt" + of, replace(some, `["/a/c","`, `["/a/c","A`)},
		{"field left out", "a field that is missing changes the commitment" + of, bytes.Replace(some, some[bytes.Index(some, []byte(`,["/e"`)):], []byte(`]}`), 1)},
		{"field added", "so does one that was never there" + of, replace(some, `]]}`, `],["/f","`+ledger.FormatHash(ledger.Hash{})+`"]]}`)},
	} {
		if g.name == "other salt" {
			v, err := ledger.ParseView(some)
			if err != nil {
				m.t.Fatal(err)
			}
			v.Fields[1].Salt[0] ^= 1
			g.view = v.Append(nil)
		}
		v, err := ledger.ParseView(g.view)
		if err != nil {
			m.t.Fatalf("view %s: %v", g.name, err)
		}
		m.add(Case{Name: "view: " + g.name, Kind: "view", Why: g.why, Valid: true, Commitment: ledger.FormatHash(v.Commitment())}, g.view)
	}
	hash := `"` + ledger.FormatHash(ledger.Hash{}) + `"`
	const salt = `"AAAAAAAAAAAAAAAAAAAAAA"`
	for _, b := range []struct{ name, why, fields string }{
		{"descending pointers", "pointers stand in the order of the event's bytes", `["/b",` + hash + `],["/a",` + hash + `]`},
		{"pointer twice", "two values of one field", `["/a",` + salt + `,"1"],["/a",` + salt + `,"2"]`},
		{"pointer inside another", "a field and its parent cannot both be fields", `["/a",` + hash + `],["/a/b",` + hash + `]`},
		{"value undercut", "an object that a record would have cut into its members", `["/a",` + salt + `,"{\"b\":1}"]`},
		{"value overcut", "a member that a record never cuts", `["/data/b",` + salt + `,"1"]`},
		{"four names", "one deeper than records are cut", `["/a/b/c/d",` + hash + `]`},
		{"pointer without slash", "not a pointer", `["a",` + hash + `]`},
		{"upper-case pointer", "no record has such a name", `["/A",` + hash + `]`},
		{"white space in a value", "no record holds such a value", `["/a",` + salt + `,"[1, 2]"]`},
		{"value is no JSON", "no record holds such a value", `["/a",` + salt + `,"1 2"]`},
		{"value is missing", "no record holds such a value", `["/a",` + salt + `,""]`},
		{"salt of 15 bytes", "a field's salt has 16", `["/a","AAAAAAAAAAAAAAAAAAAA","1"]`},
		{"salt with loose bits", "base64 has one spelling", `["/a","AAAAAAAAAAAAAAAAAAAAAB","1"]`},
		{"hash with loose bits", "base64 has one spelling", `["/a",` + strings.Replace(hash, "A=", "B=", 1) + `]`},
		{"hash without padding", "standard base64", `["/a",` + strings.Replace(hash, "=", "", 1) + `]`},
		{"pointer only", "neither value nor hash", `["/a"]`},
		{"four parts", "one too many", `["/a",` + salt + `,"1","2"]`},
		{"number for a string", "parts are strings", `["/a",` + salt + `,1]`},
		{"lone surrogate", "stands for no bytes", `["/a",` + salt + `,"\"\ud800\""]`},
	} {
		m.add(Case{Name: "view: bad: " + b.name, Kind: "view", Why: b.why}, []byte(`{"v":1,"fields":[`+b.fields+`]}`))
	}
	for _, b := range []struct{ name, why, view string }{
		{"version 2", "unknown", `{"v":2,"fields":[]}`},
		{"fields twice", "members stand once", `{"v":1,"fields":[],"fields":[]}`},
		{"unknown member", "nothing besides", `{"v":1,"fields":[],"x":1}`},
	} {
		m.add(Case{Name: "view: bad: " + b.name, Kind: "view", Why: b.why}, []byte(b.view))
	}
}

func (m *maker) leaves() {
	hash := sha256.Sum256([]byte("commitment"))
	for _, g := range []struct {
		name, why string
		leaf      ledger.Leaf
	}{
		{"region", "an ordinary leaf", ledger.Leaf{Hour: 492324, Region: "aws:eu-central-1", Commitment: hash}},
		{"global", "an event of no region", ledger.Leaf{Hour: 492324, Region: "azure:global", Commitment: hash}},
		{"unknown", "an event whose region no table knows", ledger.Leaf{Hour: 492324, Region: "gcp:unknown", Commitment: hash}},
		{"before 1970", "hours are rounded down", ledger.Leaf{Hour: -1, Region: "aws:global", Commitment: hash}},
	} {
		text := g.leaf.Append(nil)
		m.add(Case{Name: "leaf: " + g.name, Kind: "leaf", Why: g.why, Valid: true, Commitment: ledger.FormatHash(hash),
			Hour: g.leaf.Hour, Region: g.leaf.Region, LeafHash: ledger.FormatHash(ledger.LeafHash(text))}, text)
	}
	good := ledger.Leaf{Hour: 12, Region: "aws:eu-central-1", Commitment: hash}.Append(nil)
	for _, b := range []struct{ name, why, old, by string }{
		{"white space", "a leaf has one encoding", `,"region"`, `, "region"`},
		{"leading zero", "a number has one spelling", `:12,`, `:012,`},
		{"plus sign", "a number has one spelling", `:12,`, `:+12,`},
		{"minus zero", "a number has one spelling", `:12,`, `:-0,`},
		{"exponent", "a number has one spelling", `:12,`, `:12e0,`},
		{"hour beyond 64 bits", "not an hour", `:12,`, `:9223372036854775808,`},
		{"no provider", "provider:region", `aws:`, ``},
		{"upper case", "regions are lower case", `aws`, `AWS`},
		{"escape", "no escapes", `aws`, `\u0061ws`},
		{"another member", "none besides", `,"commit"`, `,"x":1,"commit"`},
		{"short commitment", "32 bytes", string(good[len(good)-8 : len(good)-2]), ``},
		{"version 2", "unknown", `"v":1`, `"v":2`},
	} {
		m.add(Case{Name: "leaf: bad: " + b.name, Kind: "leaf", Why: b.why}, replace(good, b.old, b.by))
	}
}

func (m *maker) commits() {
	origin := "ledger.example/eu/events/0"
	_, vkey := ledgertest.Key(m.t, origin)
	var tree ledgertest.Tree
	header := ledger.Header{
		V: 1, Prev: ledger.NoPrev, Origin: origin, VKey: vkey, Stream: ledger.StreamRef{Known: true},
		Writer: "00112233445566778899aabbccddeeff", Store: "dir:00112233445566778899aabbccddeeff:42", Time: ledgertest.Start,
		Root: ledger.FormatHash(tree.Root(m.t, 0)), Rules: hex.EncodeToString(make([]byte, 32)),
	}
	object := func(h ledger.Header, leaves ...[]byte) []byte {
		line, err := h.Line()
		if err != nil {
			m.t.Fatal(err)
		}
		var bundle []byte
		for _, l := range leaves {
			bundle = ledger.AppendBundle(bundle, l)
		}
		return ledger.AppendCommit(nil, line, bundle)
	}
	add := func(name, why string, data []byte) *ledger.Commit {
		c, err := ledger.ParseCommit(data)
		if err != nil {
			m.t.Fatalf("commit %s: %v", name, err)
		}
		v := Case{Name: "commit: " + name, Kind: "commit", Why: why, File: fmt.Sprintf("commit/%d.commit", c.Header.Seq), Valid: true,
			HeaderHash: fmt.Sprintf("%x", sha256.Sum256(c.Line)), Size: c.Header.Size, Root: c.Header.Root}
		for _, l := range c.Leaves {
			v.Leaves = append(v.Leaves, string(l))
		}
		m.add(v, data)
		return c
	}
	c := add("0", "commit 0 has the log's key and stream and no leaves", object(header))
	next := func(c *ledger.Commit, leaves ...[]byte) ledger.Header {
		h := c.Header
		h.VKey, h.Stream = "", ledger.StreamRef{}
		h.Seq, h.Prev, h.Time = h.Seq+1, fmt.Sprintf("%x", sha256.Sum256(c.Line)), h.Time+1000
		h.First, h.Size, h.Payloads = h.Size, h.Size+uint64(len(leaves)), nil
		for _, l := range leaves {
			tree.Add(m.t, l)
		}
		h.Root = ledger.FormatHash(tree.Root(m.t, h.Size))
		if len(leaves) > 0 {
			sum := sha256.Sum256(fmt.Appendf(nil, "payload %d", h.Seq))
			h.Payloads = []ledger.Payload{{Class: "default", First: h.First, Records: uint64(len(leaves)),
				Key: ledger.PayloadKey(h.First, sum), SHA256: hex.EncodeToString(sum[:]), Bytes: 4711}}
		}
		return h
	}
	leaf := func(i int) []byte { return ledgertest.Leaf(m.t, ledgertest.Line("commit", ledgertest.Event(i))) }
	c = add("1", "a commit with leaves", object(next(c, leaf(0), leaf(1), leaf(2)), leaf(0), leaf(1), leaf(2)))
	positions := next(c)
	positions.Positions = []ledger.Position{{Cluster: "kafka", Topic: "domicile.eu.events.1", Partition: 0, Next: 12}}
	positions.Collectors = []ledger.Collector{{ID: "c1", Epoch: "0123456789abcdef0123456789abcdef", Next: 12}}
	c = add("2", "a commit without leaves advances positions alone", object(positions))
	h := next(c, leaf(3))
	good := object(h, leaf(3))
	c = add("3", "the chain goes on", good)
	moved := next(c)
	moved.MovedTo = "s3:bucket/prefix"
	add("4", "a log's last commit names the store in which it goes on", object(moved))

	for _, b := range []struct {
		name, why string
		data      []byte
	}{
		{"white space in the header", "a header has one encoding", replace(good, `,"seq"`, `, "seq"`)},
		{"members exchanged", "a header has one order", replace(replace(good, `"v":1,`, ``), `"prev"`, `"v":1,"prev"`)},
		{"member missing", "all present", replace(good, `"duplicates":0,`, ``)},
		{"unknown member", "none besides", replace(good, `"hits":0`, `"hits":0,"x":1`)},
		{"null for a list", "an empty list is []", replace(good, `"ahead":[]`, `"ahead":null`)},
		{"vkey in a later commit", "commit 0 only", replace(good, `"writer"`, `"vkey":"x","writer"`)},
		{"range that does not fit its leaves", "one leaf too few", object(h)},
		{"surplus leaf", "one leaf too many", object(h, leaf(3), leaf(4))},
		{"leaf cut short", "the bundle ends inside a leaf", good[:len(good)-1]},
		{"byte after the end", "half a length", append(bytes.Clone(good), 0)},
		{"payloads that do not tile the range", "a record without payload", replace(good, `"records":1`, `"records":2`)},
		{"payload key of another hash", "the key follows from the hash", replace(good, `"sha256":"`, `"sha256":"0000`)},
		{"control character", "printable ASCII only", replace(good, `"store":"dir`, `"store":"\u0001dir`)},
		{"header without leaves' line feed", "the header line ends in a line feed", bytes.TrimRight(object(next(c)), "\n")},
	} {
		m.add(Case{Name: "commit: bad: " + b.name, Kind: "commit", Why: b.why, File: "commit/" + slug("bad "+b.name) + ".commit"}, b.data)
	}
}
