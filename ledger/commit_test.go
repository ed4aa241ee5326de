package ledger

import (
	"strings"
	"testing"
)

func exampleCommit(t *testing.T) (Header, []byte) {
	t.Helper()
	leaf := Leaf{Hour: 1, Region: "aws:eu-central-1"}.Append(nil)
	h := Header{
		V: 1, Seq: 7, Prev: strings.Repeat("ab", 32), Origin: "local/eu/events/0",
		Writer: strings.Repeat("0f", 16), Store: "dir:" + strings.Repeat("1", 32) + ":42", Time: 1700000000000,
		First: 10, Size: 12, Root: FormatHash(Hash{1}),
		Payloads: []Payload{
			{Class: "default", First: 10, Records: 1, Key: PayloadKey(10, Hash{}), SHA256: NoPrev, Bytes: 3},
			{Class: "pci", First: 11, Records: 1, Key: PayloadKey(11, Hash{}), SHA256: NoPrev, Bytes: 3},
		},
		Collectors: []Collector{{ID: "c", Epoch: "e", Next: 12}}, Rules: NoPrev,
	}
	return h, AppendBundle(AppendBundle(nil, leaf), leaf)
}

func encodeCommit(t *testing.T, h Header, bundle []byte) []byte {
	t.Helper()
	line, err := h.Line()
	if err != nil {
		t.Fatal(err)
	}
	return AppendCommit(nil, line, bundle)
}

func TestCommitSurvives(t *testing.T) {
	h, bundle := exampleCommit(t)
	object := encodeCommit(t, h, bundle)
	c, err := ParseCommit(object)
	if err != nil {
		t.Fatal(err)
	}
	if again := encodeCommit(t, c.Header, c.Bundle); string(again) != string(object) {
		t.Errorf("read back as\n%s\nwant\n%s", again, object)
	}
	if strings.Contains(string(c.Line), "null") || strings.Contains(string(c.Line), "vkey") || strings.Contains(string(c.Line), "moved_to") {
		t.Errorf("members that must not stand in it: %s", c.Line)
	}
	for _, stream := range []StreamRef{{Known: true}, {Known: true, Topic: "domicile.eu.events.0", Partition: 3}} {
		first := Header{V: 1, Prev: NoPrev, Origin: "local/eu/control", VKey: "k", Stream: stream, Writer: h.Writer, Store: "s", Root: h.Root, Rules: NoPrev}
		c, err := ParseCommit(encodeCommit(t, first, nil))
		if err != nil || c.Header.Stream != stream {
			t.Errorf("commit 0 with stream %+v read as %+v, %v", stream, c, err)
		}
	}
}

func TestParseCommitRefuses(t *testing.T) {
	for name, change := range map[string]func(h *Header, bundle *[]byte){
		"leaf missing":              func(_ *Header, b *[]byte) { *b = (*b)[:len(*b)/2] },
		"leaf too many":             func(_ *Header, b *[]byte) { *b = AppendBundle(*b, nil) },
		"leaf cut":                  func(_ *Header, b *[]byte) { *b = (*b)[:len(*b)-1] },
		"range backwards":           func(h *Header, b *[]byte) { h.First, h.Size, h.Payloads, *b = 12, 10, nil, nil },
		"version":                   func(h *Header, _ *[]byte) { h.V = 2 },
		"prev":                      func(h *Header, _ *[]byte) { h.Prev = "x" },
		"prev in upper case":        func(h *Header, _ *[]byte) { h.Prev = strings.ToUpper(h.Prev) },
		"vkey after commit 0":       func(h *Header, _ *[]byte) { h.VKey = "k" },
		"stream after commit 0":     func(h *Header, _ *[]byte) { h.Stream.Known = true },
		"writer":                    func(h *Header, _ *[]byte) { h.Writer = "me" },
		"store":                     func(h *Header, _ *[]byte) { h.Store = "" },
		"unprintable":               func(h *Header, _ *[]byte) { h.Collectors[0].ID = "é" },
		"quoted":                    func(h *Header, _ *[]byte) { h.Collectors[0].ID = `a"b` },
		"root":                      func(h *Header, _ *[]byte) { h.Root = "AAAA" },
		"rules":                     func(h *Header, _ *[]byte) { h.Rules = "" },
		"payload missing":           func(h *Header, _ *[]byte) { h.Payloads = h.Payloads[:1] },
		"all payloads missing":      func(h *Header, _ *[]byte) { h.Payloads = nil },
		"payload gap":               func(h *Header, _ *[]byte) { h.Payloads = h.Payloads[1:] },
		"payload past the end":      func(h *Header, _ *[]byte) { h.Payloads[1].Records = 2 },
		"payload of none":           func(h *Header, _ *[]byte) { h.Payloads[0].Records = 0 },
		"payload wraps round":       func(h *Header, _ *[]byte) { h.Payloads[1].Records = 1<<64 - 1 },
		"classes out of order":      func(h *Header, _ *[]byte) { h.Payloads[0].Class = "zzz" },
		"payload under another key": func(h *Header, _ *[]byte) { h.Payloads[0].Key = PayloadKey(10, Hash{1}) },
		"control log with payloads": func(h *Header, _ *[]byte) { h.Origin = "local/eu/control" },
		"origin":                    func(h *Header, _ *[]byte) { h.Origin = "local/eu" },
	} {
		t.Run(name, func(t *testing.T) {
			h, bundle := exampleCommit(t)
			change(&h, &bundle)
			if _, err := ParseCommit(encodeCommit(t, h, bundle)); err == nil {
				t.Error("accepted")
			}
		})
	}
	h, bundle := exampleCommit(t)
	good := string(encodeCommit(t, h, bundle))
	for _, r := range [][2]string{{`"v":1`, `"v": 1`}, {`"v":1`, `"V":1`}, {`"v":1`, `"v":1,"v":1`}, {`"seq":7`, `"seq":7.0`}, {`"positions":[]`, `"positions":null`}, {`"ahead":[]`, `"ahead":[],"x":1`}, {"\n", ""}} {
		if _, err := ParseCommit([]byte(strings.Replace(good, r[0], r[1], 1))); err == nil {
			t.Errorf("%q for %q accepted", r[1], r[0])
		}
	}
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, object []byte) {
		c, err := ParseCommit(object)
		if err != nil {
			return
		}
		if again := encodeCommit(t, c.Header, c.Bundle); string(again) != string(object) {
			t.Errorf("accepted %q but encodes it as %q", object, again)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","event":{"cloud":{"provider":"AWS"},"time":1}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRecord(line)
		if err != nil {
			return
		}
		if again := AppendRecord(nil, &r.Salt, r.Event); string(again) != string(line) {
			t.Errorf("accepted %q but encodes it as %q", line, again)
		}
		v, err := ParseView(Mask(r, func(string) bool { return true }).Append(nil))
		if err != nil || v.Commitment() != r.Commitment() {
			t.Errorf("%q: its own view is refused: %v", line, err)
		}
	})
}

func FuzzParseView(f *testing.F) {
	f.Add([]byte(`{"v":1,"fields":[["/a","47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="],["/b","AAAAAAAAAAAAAAAAAAAAAA","1"]]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		if v, err := ParseView(src); err == nil {
			if _, err := ParseView(v.Append(nil)); err != nil {
				t.Errorf("%q accepted, its own encoding refused: %v", src, err)
			}
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	f.Add(Leaf{Region: "aws:global"}.Append(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		if l, err := ParseLeaf(src); err == nil && string(l.Append(nil)) != string(src) {
			t.Errorf("accepted %q", src)
		}
	})
}
