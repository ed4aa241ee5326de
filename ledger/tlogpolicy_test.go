package ledger_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	. "domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

func TestPolicyRoundTrip(t *testing.T) {
	_, logKey := ledgertest.Key(t, testControl)
	_, eventsKey := ledgertest.Key(t, testEvents)
	w := func(n string) string { return ledgertest.Witness(t, n).VKey() }
	file := "# who to believe\n\n" +
		"log " + logKey + "\n" +
		"\tlog  " + eventsKey + " https://logs.example/eu/events/0 \n" +
		"witness w1 " + w("w.example/1") + " https://w.example/\n" +
		"witness w2 " + w("w.example/2") + "\n" +
		"witness ẅ3 " + w("w.example/3") + "\n" +
		"group both all w1 w2\n" +
		"group one any both ẅ3\n" +
		"quorum one\n"
	p, err := ParsePolicy([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := Policy{
		Logs:      []TrustedLog{{logKey, ""}, {eventsKey, "https://logs.example/eu/events/0"}},
		Witnesses: []PolicyWitness{{"w1", w("w.example/1"), "https://w.example/"}, {"w2", w("w.example/2"), ""}, {"ẅ3", w("w.example/3"), ""}},
		Groups:    []PolicyGroup{{"both", 2, []string{"w1", "w2"}}, {"one", 1, []string{"both", "ẅ3"}}},
		Quorum:    "one",
	}
	if !reflect.DeepEqual(p, want) {
		t.Fatalf("got %+v\nwant %+v", p, want)
	}
	again, err := ParsePolicy(p.Append(nil))
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Fatalf("written and read again: %+v, %v", again, err)
	}
	if got := p.Origins(); !reflect.DeepEqual(got, []string{testControl, testEvents}) {
		t.Fatalf("origins %q", got)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	_, logKey := ledgertest.Key(t, testControl)
	w1, w2 := ledgertest.Witness(t, "w.example/1").VKey(), ledgertest.Witness(t, "w.example/2").VKey()
	for name, bad := range map[string]string{
		"no quorum":                 "log " + logKey + "\n",
		"two quorums":               "quorum none\nquorum none\n",
		"quorum below its use":      "quorum w1\nwitness w1 " + w1 + "\n",
		"quorum undefined":          "quorum w1\n",
		"unknown keyword":           "logs " + logKey + "\nquorum none\n",
		"surplus item":              "log " + logKey + " url more\nquorum none\n",
		"comment behind items":      "log " + logKey + " # ours\nquorum none\n",
		"carriage return":           "quorum none\r\n",
		"log twice":                 "log " + logKey + "\nlog " + logKey + "\nquorum none\n",
		"log key of a witness":      "log " + w1 + "\nquorum none\n",
		"witness key of a log":      "witness w1 " + logKey + "\nquorum w1\n",
		"mistyped log key":          "log " + strings.Replace(logKey, "eu", "us", 1) + "\nquorum none\n",
		"witness key twice":         "witness w1 " + w1 + "\nwitness w2 " + w1 + "\nquorum none\n",
		"name twice":                "witness w1 " + w1 + "\nwitness w1 " + w2 + "\nquorum none\n",
		"group name is a witness's": "witness w1 " + w1 + "\ngroup w1 any w1\nquorum none\n",
		"witness named none":        "witness none " + w1 + "\nquorum none\n",
		"member none":               "witness w1 " + w1 + "\ngroup g any none\nquorum g\n",
		"member undefined":          "witness w1 " + w1 + "\ngroup g any w1 w2\nwitness w2 " + w2 + "\nquorum g\n",
		"member of itself":          "witness w1 " + w1 + "\ngroup g any g\nquorum g\n",
		"member twice":              "witness w1 " + w1 + "\ngroup g 2 w1 w1\nquorum g\n",
		"member of two groups":      "witness w1 " + w1 + "\nwitness w2 " + w2 + "\ngroup g any w1\ngroup h any w1 w2\nquorum h\n",
		"threshold 0":               "witness w1 " + w1 + "\ngroup g 0 w1\nquorum g\n",
		"threshold too large":       "witness w1 " + w1 + "\ngroup g 2 w1\nquorum g\n",
		"threshold 01":              "witness w1 " + w1 + "\ngroup g 01 w1\nquorum g\n",
		"no members":                "witness w1 " + w1 + "\ngroup g any\nquorum g\n",
	} {
		if p, err := ParsePolicy([]byte(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", name, p)
		}
	}
}

func TestPolicyVerify(t *testing.T) {
	_, logKey := ledgertest.Key(t, testControl)
	signer := func(names string) (s []note.Signer) {
		for _, n := range strings.Fields(names) {
			s = append(s, ledgertest.Witness(t, "w.example/"+n))
		}
		return s
	}
	policy := func(tail string) Policy {
		file := "log " + logKey + "\n"
		for _, n := range []string{"1", "2", "3", "4"} {
			file += "witness w" + n + " " + ledgertest.Witness(t, "w.example/"+n).VKey() + "\n"
		}
		p, err := ParsePolicy([]byte(file + tail))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	c := Checkpoint{testControl, 12, Hash{7}}
	for name, tc := range map[string]struct {
		tail, cosigners string
		met             bool
	}{
		"none, none there":           {"quorum none\n", "", true},
		"none, one there":            {"quorum none\n", "1", true},
		"single witness":             {"quorum w2\n", "2", true},
		"single witness, another":    {"quorum w2\n", "1 3 4", false},
		"any of three":               {"group g any w1 w2 w3\nquorum g\n", "3", true},
		"any, only outside":          {"group g any w1 w2 w3\nquorum g\n", "4", false},
		"all of three":               {"group g all w1 w2 w3\nquorum g\n", "1 2 3", true},
		"all, one missing":           {"group g all w1 w2 w3\nquorum g\n", "1 2 4", false},
		"2 of 3":                     {"group g 2 w1 w2 w3\nquorum g\n", "1 3", true},
		"2 of 3, one":                {"group g 2 w1 w2 w3\nquorum g\n", "1", false},
		"nested":                     {"group g any w1 w2\ngroup h any w3 w4\ngroup q all g h\nquorum q\n", "2 3", true},
		"nested, one side":           {"group g any w1 w2\ngroup h any w3 w4\ngroup q all g h\nquorum q\n", "1 2", false},
		"stranger counts for nought": {"group g any w1\nquorum g\n", "stranger", false},
		"stranger does no harm":      {"group g any w1\nquorum g\n", "stranger 1", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy(tc.tail)
			signed := ledgertest.Sign(t, c, signer(tc.cosigners)...)
			got, _, err := p.Verify(signed, testControl)
			if tc.met != (err == nil) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err != nil && !errors.Is(err, ErrQuorum) {
				t.Fatalf("not ErrQuorum: %v", err)
			}
			if err == nil && got != c {
				t.Fatalf("got %+v", got)
			}
		})
	}

	p := policy("group g 2 w1 w2 w3\nquorum g\n")
	signed := ledgertest.Sign(t, c, signer("stranger 3 1")...)
	opened, err := p.Open(signed, testControl)
	if err != nil {
		t.Fatal(err)
	}
	if !opened.Satisfied || len(opened.Cosignatures) != 2 || opened.Cosignatures[0].Witness != "w3" ||
		opened.Cosignatures[0].Time.Unix() != ledgertest.CosignTime.Unix() || !reflect.DeepEqual(opened.Unknown, []string{"w.example/stranger"}) {
		t.Fatalf("opened: %+v", opened)
	}
	if _, _, err := p.Verify(signed, testEvents); err == nil || errors.Is(err, ErrUnknownLog) {
		t.Fatalf("the checkpoint of another log: %v", err)
	}
	foreign := ledgertest.Sign(t, Checkpoint{testEvents, 1, Hash{}})
	if _, _, err := p.Verify(foreign, testEvents); !errors.Is(err, ErrUnknownLog) {
		t.Fatalf("a log that the policy does not list: %v", err)
	}
	other, _ := ledgertest.Key(t, testEvents)
	forged, err := note.Sign(&note.Note{Text: string(c.Append(nil))}, other)
	if err != nil {
		t.Fatal(err)
	}
	none := policy("quorum none\n")
	if _, _, err := none.Verify(forged, testControl); err == nil {
		t.Fatal("a checkpoint signed by another log's key was accepted")
	}
	if _, _, err := new(Policy).Verify(signed, testControl); err == nil {
		t.Fatal("the zero policy accepted a checkpoint")
	}
	// A bad cosignature by a known witness spoils the note, even where the quorum is met without it.
	lines := bytes.SplitAfter(ledgertest.Sign(t, c, signer("1 2 3")...), []byte("\n"))
	otherwise := bytes.SplitAfter(ledgertest.Sign(t, Checkpoint{testControl, 13, Hash{7}}, signer("1 2 3")...), []byte("\n"))
	lines[7] = otherwise[7]
	if _, _, err := p.Verify(bytes.Join(lines, nil), testControl); err == nil || errors.Is(err, ErrQuorum) {
		t.Fatalf("a cosignature of another checkpoint: %v", err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	_, logKey := ledgertest.Key(f, testControl)
	w := ledgertest.Witness(f, "w.example/1").VKey()
	f.Add([]byte("log " + logKey + "\nwitness w " + w + " u\ngroup g any w\nquorum g\n"))
	f.Add([]byte("quorum none"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := ParsePolicy(file)
		if err != nil {
			return
		}
		again, err := ParsePolicy(p.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), p.Append(nil)) {
			t.Fatalf("%q became %+v, %v", file, again, err)
		}
	})
}
