package ledger_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	. "domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

func checkOf(v *Verdict, id string) Check {
	for _, c := range v.Checks {
		if c.ID == id {
			return c
		}
	}
	return Check{}
}

func maskAllBut(t testing.TB, line []byte, pointers ...string) []byte {
	t.Helper()
	record, err := ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	return Mask(record, func(p string) bool {
		for _, want := range pointers {
			if p == want {
				return true
			}
		}
		return false
	}).Append(nil)
}

func TestVerifyBundle(t *testing.T) {
	w := ledgertest.Witness(t, "witness.example/1")
	cell := ledgertest.NewCell(t, "eu", 20)
	other := ledgertest.NewCell(t, "us", 20)
	control, events := ledgertest.Policy(t, cell.Control, w), ledgertest.Policy(t, cell.Origin)
	witnessedEvents := ledgertest.Policy(t, cell.Origin, w)
	foreign := ledgertest.Policy(t, other.Control)
	both := Policy{Logs: append(append([]TrustedLog{}, foreign.Logs...), ledgertest.Policy(t, cell.Control).Logs...), Quorum: "none"}

	for _, tt := range []struct {
		name     string
		edit     func(b *ProofBundle)
		policies []Policy
		want     Result
		failed   string // the check that fails
	}{
		{"record, control policy", nil, []Policy{control}, ResultVerified, ""},
		{"record, both policies", nil, []Policy{events, control}, ResultVerified, ""},
		{"record, events policy only", nil, []Policy{events}, ResultVerified, ""},
		{"record, policy of many logs", nil, []Policy{both}, ResultVerified, ""},
		{"a foreign policy does no harm", nil, []Policy{foreign, control}, ResultVerified, ""},
		{"no policy", nil, nil, ResultInconclusive, ""},
		{"a foreign policy only", nil, []Policy{foreign}, ResultInconclusive, ""},
		{"events policy given and not met", nil, []Policy{control, witnessedEvents}, ResultFailed, CheckLog},
		{"control quorum not met", func(b *ProofBundle) { b.Anchor.Proof = cell.EntryProof(t, 2) }, []Policy{control}, ResultFailed, CheckAnchorLog},
		{"no anchor, events policy", func(b *ProofBundle) { b.Anchor = nil }, []Policy{events}, ResultVerified, ""},
		{"no anchor, control policy", func(b *ProofBundle) { b.Anchor = nil }, []Policy{control}, ResultInconclusive, ""},
		{"no anchor, events witnesses", func(b *ProofBundle) { b.Anchor, b.Proof = nil, cell.EventProof(t, 7, 20, w) }, []Policy{witnessedEvents}, ResultVerified, ""},
		{"view", func(b *ProofBundle) {
			b.View, b.Record = maskAllBut(t, b.Record, "/time", "/cloud/provider", "/cloud/region", "/metadata/uid"), nil
		}, []Policy{control}, ResultVerified, ""},
		{"view that hides all", func(b *ProofBundle) { b.View, b.Record = maskAllBut(t, b.Record), nil }, []Policy{control}, ResultVerified, ""},
		{"record of another event", func(b *ProofBundle) { b.Record = cell.Lines[8] }, []Policy{control}, ResultFailed, CheckContent},
		{"record with another salt", func(b *ProofBundle) { b.Record = ledgertest.Line("x", ledgertest.Event(7)) }, []Policy{control}, ResultFailed, CheckContent},
		{"one byte of the record", func(b *ProofBundle) { b.Record = bytes.Replace(b.Record, []byte("user0"), []byte("user1"), 1) }, []Policy{control}, ResultFailed, CheckContent},
		{"white space in the record", func(b *ProofBundle) { b.Record = bytes.Replace(b.Record, []byte(`,"time"`), []byte(`, "time"`), 1) }, []Policy{control}, ResultFailed, CheckContent},
		{"view with another value", func(b *ProofBundle) {
			b.View = bytes.Replace(maskAllBut(t, b.Record, "/time", "/cloud/region"), []byte("eu-central-1"), []byte("eu-central-2"), 1)
			b.Record = nil
		}, []Policy{control}, ResultFailed, CheckContent},
		{"leaf of another event", func(b *ProofBundle) { b.Leaf, b.Record = cell.Events.Leaves[8], cell.Lines[8] }, []Policy{control}, ResultFailed, CheckInclusion},
		{"leaf with another region", func(b *ProofBundle) { b.Leaf = bytes.Replace(b.Leaf, []byte("central-1"), []byte("central-2"), 1) }, []Policy{control}, ResultFailed, CheckLeaf},
		{"index of another leaf", func(b *ProofBundle) { b.Index = 8 }, []Policy{control}, ResultFailed, CheckInclusion},
		{"index and proof of another leaf", func(b *ProofBundle) { b.Index, b.Proof = 8, cell.EventProof(t, 8, 20) }, []Policy{control}, ResultFailed, CheckInclusion},
		{"proof at another size than the entry", func(b *ProofBundle) { b.Proof = cell.EventProof(t, 7, 19) }, []Policy{control}, ResultFailed, CheckAnchorEntry},
		{"a tree of the same size that the control log never saw", func(b *ProofBundle) {
			fork := *cell
			fork.Events = ledgertest.Tree{}
			for i, leaf := range cell.Events.Leaves {
				if i == 9 {
					leaf = cell.Events.Leaves[0]
				}
				fork.Events.Add(t, leaf)
			}
			b.Proof = fork.EventProof(t, 7, 20)
		}, []Policy{control, events}, ResultFailed, CheckAnchorEntry},
		{"entry of another log", func(b *ProofBundle) {
			b.Anchor = &Anchor{Entry: other.Entries.Leaves[2], Proof: other.EntryProof(t, 2)}
		}, []Policy{control, foreign}, ResultFailed, CheckAnchorEntry},
		{"entry that no control log holds", func(b *ProofBundle) {
			b.Anchor.Entry = bytes.Replace(b.Anchor.Entry, []byte(`"hits":0`), []byte(`"hits":1`), 1)
		}, []Policy{control}, ResultFailed, CheckAnchorInclusion},
		{"key entry for a batch entry", func(b *ProofBundle) {
			b.Anchor = &Anchor{Entry: cell.Entries.Leaves[1], Proof: cell.EntryProof(t, 1, w)}
		}, []Policy{control}, ResultFailed, CheckAnchorEntry},
		{"signature of another log's key", func(b *ProofBundle) {
			key, _ := ledgertest.Key(t, other.Control)
			b.Anchor.Proof = bytes.Replace(b.Anchor.Proof, []byte("\n— "+cell.Control), []byte("\n— "+key.Name()), 1)
		}, []Policy{control}, ResultFailed, CheckAnchorLog},
		{"extra line in the proof", func(b *ProofBundle) {
			b.Proof = bytes.Replace(b.Proof, []byte("\nindex"), []byte("\nextra AAAA\nindex"), 1)
		}, []Policy{control}, ResultFailed, CheckInclusion},
		{"control log as origin", func(b *ProofBundle) { b.Origin = cell.Control }, []Policy{control}, ResultFailed, CheckForm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := cell.Bundle(t, 7, w)
			if tt.edit != nil {
				tt.edit(b)
			}
			v := VerifyBundle(b.Append(nil), tt.policies)
			text, _ := json.MarshalIndent(v, "", " ")
			if v.Result != tt.want {
				t.Fatalf("result %s, want %s: %s", v.Result, tt.want, text)
			}
			if tt.failed != "" && checkOf(v, tt.failed).Status != Failed {
				t.Fatalf("check %s did not fail: %s", tt.failed, text)
			}
			for _, c := range v.Checks {
				if c.Status != Passed && c.Detail == "" {
					t.Errorf("check %s does not say why it is %s", c.ID, c.Status)
				}
			}
			if (v.Result == ResultInconclusive) != (v.Hint != "") {
				t.Errorf("hint %q", v.Hint)
			}
		})
	}
}

func TestVerifyBundleFacts(t *testing.T) {
	w := ledgertest.Witness(t, "witness.example/1")
	cell := ledgertest.NewCell(t, "eu", 20)
	b := cell.Bundle(t, 7, w)
	b.View, b.Record = maskAllBut(t, b.Record, "/metadata/uid", "/time"), nil
	got := VerifyBundle(b.Append(nil), []Policy{ledgertest.Policy(t, cell.Control, w)}).Facts
	want := &Facts{
		Origin: "ledger.example/eu/events/0", Index: 7, UID: "aws:111122223333:00000007",
		Hour: "2026-03-01T12:00:00Z", Region: "aws:eu-central-1", Masked: true, Disclosed: 2, Hidden: 13,
		Size: 20, Root: FormatHash(cell.Events.Root(t, 20)), Witnesses: []string{},
		Anchor: &AnchorFacts{
			Origin: "ledger.example/eu/control", Index: 2, Time: "2026-03-01T13:00:00Z", Size: 3,
			Root: FormatHash(cell.Entries.Root(t, 3)), Witnesses: []string{"w1"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		t.Fatalf("got  %s\nwant %s", a, b)
	}
}

func TestParseProofBundle(t *testing.T) {
	cell := ledgertest.NewCell(t, "eu", 3)
	want := cell.Bundle(t, 1)
	src := want.Append(nil)
	got, err := ParseProofBundle(src)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	// Laid out anew, with other escapes and another order, it is the same bundle.
	var loose map[string]any
	if err := json.Unmarshal(src, &loose); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(loose, " ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseProofBundle(pretty); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("laid out anew: %+v, %v", got, err)
	}
	text := string(src)
	for name, bad := range map[string]string{
		"empty":                    "",
		"not an object":            "[" + text + "]",
		"after the end":            text + "x",
		"version 2":                strings.Replace(text, `"v":1`, `"v":2`, 1),
		"version as a string":      strings.Replace(text, `"v":1`, `"v":"1"`, 1),
		"member twice":             strings.Replace(text, `"v":1`, `"v":1,"v":1`, 1),
		"member missing":           strings.Replace(text, `"v":1,`, ``, 1),
		"unknown member":           strings.Replace(text, `"v":1`, `"v":1,"w":1`, 1),
		"escaped member name":      strings.Replace(text, `"v":1`, `"\u0076":1`, 1),
		"index as a string":        strings.Replace(text, `"index":1`, `"index":"1"`, 1),
		"index as a fraction":      strings.Replace(text, `"index":1`, `"index":1.0`, 1),
		"negative index":           strings.Replace(text, `"index":1`, `"index":-1`, 1),
		"record and view":          strings.Replace(text, `"v":1`, `"v":1,"view":{}`, 1),
		"neither record nor view":  strings.Replace(text, `"record"`, `"unknown"`, 1),
		"lone surrogate":           strings.Replace(text, `"origin":"`, `"origin":"\ud800`, 1),
		"anchor null":              text[:strings.Index(text, `"anchor"`)] + `"anchor":null}`,
		"anchor without its proof": text[:strings.Index(text, `"anchor"`)] + `"anchor":{"entry":""}}`,
		"invalid UTF-8":            strings.Replace(text, "eu", "\xff", 1),
	} {
		if b, err := ParseProofBundle([]byte(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", name, b)
		}
	}
}

// No byte of a bundle can be changed without the verdict failing, except where JSON itself allows another spelling.
func TestVerifyBundleByteFlips(t *testing.T) {
	w := ledgertest.Witness(t, "witness.example/1")
	cell := ledgertest.NewCell(t, "eu", 5)
	policies := []Policy{ledgertest.Policy(t, cell.Control, w), ledgertest.Policy(t, cell.Origin)}
	src := cell.Bundle(t, 3, w).Append(nil)
	want, err := ParseProofBundle(src)
	if err != nil {
		t.Fatal(err)
	}
	for i := range src {
		for _, bit := range []byte{1, 2, 0x20, 0x80} {
			flipped := bytes.Clone(src)
			flipped[i] ^= bit
			if VerifyBundle(flipped, policies).Result == ResultFailed {
				continue
			}
			if got, err := ParseProofBundle(flipped); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("byte %d (%q) changed to %q: not noticed", i, src[i], flipped[i])
			}
		}
	}
}

func FuzzVerifyBundle(f *testing.F) {
	w := ledgertest.Witness(f, "witness.example/1")
	cell := ledgertest.NewCell(f, "eu", 5)
	policies := []Policy{ledgertest.Policy(f, cell.Control, w), ledgertest.Policy(f, cell.Origin)}
	b := cell.Bundle(f, 3, w)
	f.Add(b.Append(nil))
	b.View, b.Record = maskAllBut(f, b.Record, "/time"), nil
	f.Add(b.Append(nil))
	b.Anchor = nil
	f.Add(b.Append(nil))
	f.Add([]byte(`{"v":1,"origin":"a/b/events/0","index":0,"leaf":"","record":"","proof":""}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		v := VerifyBundle(src, policies)
		if v.Result == ResultVerified {
			// Only the events that were logged verify.
			b, err := ParseProofBundle(src)
			if err != nil || b.Index >= 5 || !bytes.Equal(b.Leaf, cell.Events.Leaves[b.Index]) {
				t.Fatalf("verified: %s", src)
			}
		}
		if b, err := ParseProofBundle(src); err == nil {
			again, err := ParseProofBundle(b.Append(nil))
			if err != nil || !reflect.DeepEqual(again, b) {
				t.Fatalf("%s was written again as %s, %v", src, b.Append(nil), err)
			}
		}
	})
}
