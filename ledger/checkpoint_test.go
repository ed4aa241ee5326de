package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	. "domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

const (
	testControl = "ledger.example/eu/control"
	testEvents  = "ledger.example/eu/events/0"
)

func TestCheckpointRoundTrip(t *testing.T) {
	for _, size := range []uint64{0, 1, 256, MaxTreeSize} {
		want := Checkpoint{testEvents, size, sha256.Sum256([]byte{1})}
		signer, vkey := ledgertest.Key(t, testEvents)
		signed, err := SignCheckpoint(want, signer)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := OpenCheckpoint(signed, testEvents, note.VerifierList(verifier))
		if err != nil || got != want {
			t.Fatalf("size %d: got %+v, %v", size, got, err)
		}
		if len(n.Sigs) != 1 || n.Sigs[0].Name != testEvents {
			t.Fatalf("signatures: %+v", n.Sigs)
		}
		if got, err := ParseCheckpoint(signed, ""); err != nil || got != want {
			t.Fatalf("any origin: got %+v, %v", got, err)
		}
		if _, err := ParseCheckpoint(signed, testControl); err == nil {
			t.Fatal("another log's checkpoint was taken")
		}
	}
}

func TestSignCheckpointRefuses(t *testing.T) {
	signer, _ := ledgertest.Key(t, testEvents)
	for name, c := range map[string]Checkpoint{
		"key of another log": {Origin: testControl},
		"no origin":          {},
		"origin with space":  {Origin: "a b"},
		"size beyond int64":  {Origin: testEvents, Size: MaxTreeSize + 1},
	} {
		if _, err := SignCheckpoint(c, signer); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	sig := "— w " + base64.StdEncoding.EncodeToString(make([]byte, 68)) + "\n"
	good := "log.example/x\n12\n" + root + "\n\n" + sig
	if _, err := ParseCheckpoint([]byte(good), ""); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":                    "",
		"no signature":             "log.example/x\n12\n" + root + "\n\n",
		"no empty line":            "log.example/x\n12\n" + root + "\n" + sig,
		"extension line":           "log.example/x\n12\n" + root + "\nmore\n\n" + sig,
		"empty extension line":     "log.example/x\n12\n" + root + "\n\n\n" + sig,
		"two lines":                "log.example/x\n12\n\n" + sig,
		"leading zero":             strings.Replace(good, "12", "012", 1),
		"plus sign":                strings.Replace(good, "12", "+12", 1),
		"negative":                 strings.Replace(good, "12", "-12", 1),
		"size with space":          strings.Replace(good, "12", "12 ", 1),
		"size beyond int64":        strings.Replace(good, "12", "9223372036854775808", 1),
		"root too short":           strings.Replace(good, root, root[:40], 1),
		"root with loose end bits": strings.Replace(good, root, root[:42]+"B=", 1),
		"root unpadded":            strings.Replace(good, root, root[:43], 1),
		"no origin":                strings.Replace(good, "log.example/x", "", 1),
		"origin with space":        strings.Replace(good, "log.example/x", "log example", 1),
		"carriage return":          strings.Replace(good, "\n", "\r\n", 1),
		"not UTF-8":                strings.Replace(good, "log", "l\xffg", 1),
		"no final newline":         good[:len(good)-1],
		"byte after the end":       good + "x",
		"the key signs twice":      good + sig,
		"dash for em dash":         strings.Replace(good, "—", "-", 1),
		"signature loose end bits": strings.Replace(good, "A=\n", "B=\n", 1),
		"too long":                 good + strings.Repeat("— w2 AAAAAAAA\n", MaxNoteBytes/10),
	} {
		if c, err := ParseCheckpoint([]byte(bad), ""); err == nil {
			t.Errorf("%s: accepted as %+v", name, c)
		}
	}
}

// Every single-bit change of a signed checkpoint is noticed by whoever has the key.
func TestCheckpointBitFlips(t *testing.T) {
	signed := ledgertest.Sign(t, Checkpoint{testEvents, 300, sha256.Sum256([]byte("root"))})
	_, vkey := ledgertest.Key(t, testEvents)
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(signed) * 8 {
		flipped := bytes.Clone(signed)
		flipped[i/8] ^= 1 << (i % 8)
		if _, _, err := OpenCheckpoint(flipped, testEvents, note.VerifierList(verifier)); err == nil {
			t.Fatalf("bit %d of byte %d (%q) flipped: accepted", i%8, i/8, signed[i/8])
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(ledgertest.Sign(f, Checkpoint{testEvents, 300, Hash{1}}, ledgertest.Witness(f, "w.example/1")))
	f.Add(ledgertest.Sign(f, Checkpoint{testControl, 0, Hash{}}))
	f.Add([]byte("a\n1\n\n— a b\n"))
	f.Fuzz(func(t *testing.T, signed []byte) {
		c, err := ParseCheckpoint(signed, "")
		if err != nil {
			return
		}
		if !bytes.HasPrefix(signed, append(c.Append(nil), '\n')) {
			t.Fatalf("%q was read as %+v, which is written otherwise", signed, c)
		}
		if _, err := note.Open(signed, note.VerifierList()); err == nil {
			t.Fatal("a note without known keys opened")
		} else if _, ok := err.(*note.UnverifiedNoteError); !ok {
			t.Fatalf("note.Open refuses what we take: %v", err)
		}
	})
}
