package vectors

import (
	"bytes"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
)

func (m *maker) proofsAndBundles() {
	t := m.t
	w1, w2 := ledgertest.Witness(t, "witness.example/1"), ledgertest.Witness(t, "witness.example/2")
	cell := ledgertest.NewCell(t, "eu", 300)
	us := ledgertest.NewCell(t, "us", 300)
	policy := func(name, origin string, witnesses ...*ledger.Cosigner) string {
		p := ledgertest.Policy(t, origin, witnesses...)
		m.files["policy/"+name+".policy"] = p.Append(nil)
		return "policy/" + name + ".policy"
	}
	control := policy("control", cell.Control, w1, w2)
	events := policy("events", cell.Origin)
	witnessed := policy("events-witnessed", cell.Origin, w1)
	foreign := policy("foreign", us.Control)
	key, _ := ledgertest.Key(t, cell.Origin)

	// Proofs: of event 7, signed by the events log.
	good := cell.EventProof(t, 7, 300)
	sign := func(text string, signer note.Signer) []byte {
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	reheaded := func(checkpoint []byte) []byte {
		p := cell.Events.Prove(t, 7, 300)
		p.Checkpoint = checkpoint
		return p.Append(nil)
	}
	text := string(cell.Events.Checkpoint(t, cell.Origin, 300).Append(nil))
	other, _ := ledgertest.Key(t, us.Origin)
	for _, p := range []struct {
		name, why string
		proof     []byte
		policies  []string
		valid     bool
	}{
		{"good", "an event in a tree of 300 leaves", good, []string{events}, true},
		{"cosigned", "with a cosignature, which the policy asks for", cell.EventProof(t, 7, 300, w1), []string{witnessed}, true},
		{"unknown cosigner", "a signature by a key that the policy does not know is ignored", cell.EventProof(t, 7, 300, w2), []string{events}, true},
		{"extra line", "tlog-proof allows an extra line, which is not vouched for", replace(good, "\nindex", "\nextra AAAA\nindex"), []string{events}, true},
		{"bad: quorum not met", "the policy asks for a witness", good, []string{witnessed}, false},
		{"bad: wrong index", "the path of leaf 7 is not that of leaf 8", replace(good, "index 7", "index 8"), []string{events}, false},
		{"bad: index with zero", "a number has one spelling", replace(good, "index 7", "index 07"), []string{events}, false},
		{"bad: proof of another leaf", "index and path fit each other and another leaf", cell.EventProof(t, 8, 300), []string{events}, false},
		{"bad: hash too few", "a shortened path", bytes.Join(append(bytes.SplitAfter(good, []byte("\n"))[:2:2], bytes.SplitAfter(good, []byte("\n"))[3:]...), nil), []string{events}, false},
		{"bad: hash too many", "a lengthened path", replace(good, "index 7\n", "index 7\n"+ledger.FormatHash(ledger.Hash{})+"\n"), []string{events}, false},
		{"bad: wrong root", "a checkpoint of another tree, signed all the same", reheaded(ledgertest.Sign(t, ledger.Checkpoint{Origin: cell.Origin, Size: 300, Root: ledger.Hash{1}})), []string{events}, false},
		{"bad: wrong size", "a checkpoint of another size, signed all the same", reheaded(ledgertest.Sign(t, ledger.Checkpoint{Origin: cell.Origin, Size: 200, Root: cell.Events.Root(t, 300)})), []string{events}, false},
		{"bad: wrong signature", "the root changed after signing", replace(good, text, string(ledger.Checkpoint{Origin: cell.Origin, Size: 300, Root: ledger.Hash{1}}.Append(nil))), []string{events}, false},
		{"bad: signed by another key", "the key of another log", reheaded(sign(text, other)), []string{events}, false},
		{"bad: extension line", "checkpoints have three lines of text", reheaded(sign(text+"extension\n", key)), []string{events}, false},
		{"bad: size with zero", "a number has one spelling", reheaded(sign(strings.Replace(text, "\n300\n", "\n0300\n", 1), key)), []string{events}, false},
		{"bad: root with loose bits", "base64 has one spelling", reheaded(sign(looseBits(text), key)), []string{events}, false},
		{"bad: origin of another log", "signed by this log's key", reheaded(sign(strings.Replace(text, "/eu/", "/us/", 1), key)), []string{events}, false},
		{"bad: no policy", "nothing says whose signature to believe", good, []string{foreign}, false},
	} {
		c := Case{Name: "proof: " + p.name, Kind: "proof", Why: p.why, File: "proof/" + slug(p.name) + ".tlog-proof",
			Leaf: string(cell.Events.Leaves[7]), Policies: p.policies, Valid: p.valid}
		if p.valid {
			c.Index, c.Size, c.Root = 7, 300, ledger.FormatHash(cell.Events.Root(t, 300))
		}
		m.add(c, p.proof)
	}

	// Bundles: of event 7, anchored, cosigned by w1.
	shown := []string{"/class_uid", "/cloud/provider", "/cloud/region", "/metadata/uid", "/time"}
	view := mask(t, cell.Lines[7], shown...)
	bundle := func(edit func(b *ledger.ProofBundle)) []byte {
		b := cell.Bundle(t, 7, w1)
		if edit != nil {
			edit(b)
		}
		return b.Append(nil)
	}
	withView := func(v []byte) func(*ledger.ProofBundle) {
		return func(b *ledger.ProofBundle) { b.View, b.Record = v, nil }
	}
	plain := bundle(nil)
	for _, p := range []struct {
		name, why string
		bundle    []byte
		policies  []string
		exit      int
		failed    string
	}{
		{"record", "a whole record, anchored: the control log's policy suffices", plain, []string{control}, 0, ""},
		{"both policies", "every policy that is given is held against", plain, []string{control, events}, 0, ""},
		{"view", "some fields shown", bundle(withView(view)), []string{control}, 0, ""},
		{"view that hides all", "nothing is shown: only that an event of that leaf exists", bundle(withView(mask(t, cell.Lines[7]))), []string{control}, 0, ""},
		{"no anchor", "the events log's policy decides", bundle(func(b *ledger.ProofBundle) { b.Anchor = nil }), []string{events}, 0, ""},
		{"laid out anew", "white space and order of the bundle are free", []byte("\n" + strings.Replace(string(plain), `{"v":1,"origin"`, "{ \"v\" : 1 ,\n\t\"origin\"", 1) + " "), []string{control}, 0, ""},
		{"other escapes", "strings stand for bytes, however they are escaped", bytes.ReplaceAll(plain, []byte(`eu`), []byte(`\u0065u`)), []string{control}, 0, ""},
		{"no policy", "nothing says whose signature to believe", plain, nil, 2, ""},
		{"foreign policy", "the policy is another log's", plain, []string{foreign}, 2, ""},
		{"no anchor and control policy", "the control log does not vouch for this bundle", bundle(func(b *ledger.ProofBundle) { b.Anchor = nil }), []string{control}, 2, ""},
		{"bad: events policy not met", "an additional policy asks for a witness", plain, []string{control, witnessed}, 1, "events-log"},
		{"bad: control quorum not met", "no witness cosigned the control log", bundle(func(b *ledger.ProofBundle) { b.Anchor.Proof = cell.EntryProof(t, 2) }), []string{control}, 1, "control-log"},
		{"bad: record changed", "one value differs", bundle(func(b *ledger.ProofBundle) { b.Record = replace(b.Record, "GetObject", "PutObject") }), []string{control}, 1, "content"},
		{"bad: record of another event", "swapped", bundle(func(b *ledger.ProofBundle) { b.Record = cell.Lines[8] }), []string{control}, 1, "content"},
		{"bad: white space in the record", "the record is its bytes", bundle(func(b *ledger.ProofBundle) { b.Record = replace(b.Record, `,"time"`, `, "time"`) }), []string{control}, 1, "content"},
		{"bad: members of the record exchanged", "the record is its bytes", bundle(func(b *ledger.ProofBundle) {
			b.Record = replace(b.Record, `"provider":"AWS","region":"eu-central-1"`, `"region":"eu-central-1","provider":"AWS"`)
		}), []string{control}, 1, "content"},
		{"bad: view claims another value", "another operation", bundle(withView(replace(mask(t, cell.Lines[7], "/api/operation", "/time"), "GetObject", "PutObject"))), []string{control}, 1, "content"},
		{"bad: view leaves a field out", "an absent field", bundle(withView(cutField(view, 1))), []string{control}, 1, "content"},
		{"bad: view with a field twice", "duplicated pointer", bundle(withView(doubleField(view))), []string{control}, 1, "content"},
		{"bad: view with fields exchanged", "reordered pointers", bundle(withView(exchangeFields(view))), []string{control}, 1, "content"},
		{"bad: view undercut", "an object that records cut", bundle(withView(undercut(t, cell.Lines[7]))), []string{control}, 1, "content"},
		{"bad: swapped leaf", "the leaf and the record of another event", bundle(func(b *ledger.ProofBundle) { b.Leaf, b.Record = cell.Events.Leaves[8], cell.Lines[8] }), []string{control}, 1, "inclusion"},
		{"bad: leaf with another region", "the leaf contradicts the event", bundle(func(b *ledger.ProofBundle) { b.Leaf = replace(b.Leaf, "eu-central-1", "eu-central-2") }), []string{control}, 1, "leaf"},
		{"bad: wrong index", "the bundle and its proof disagree", bundle(func(b *ledger.ProofBundle) { b.Index = 8 }), []string{control}, 1, "inclusion"},
		{"bad: wrong root", "another tree than the control log's", bundle(func(b *ledger.ProofBundle) {
			b.Proof = replace(b.Proof, ledger.FormatHash(cell.Events.Root(t, 300)), ledger.FormatHash(ledger.Hash{1}))
		}), []string{control}, 1, "inclusion"},
		{"bad: proof at another size", "the batch entry names size 300", bundle(func(b *ledger.ProofBundle) { b.Proof = cell.EventProof(t, 7, 299) }), []string{control}, 1, "anchor-entry"},
		{"bad: fork of the same size", "a tree that the events log signed and the control log never saw", bundle(func(b *ledger.ProofBundle) {
			fork := *cell
			fork.Events = ledgertest.Tree{}
			for i, leaf := range cell.Events.Leaves {
				if i == 9 {
					leaf = cell.Events.Leaves[0]
				}
				fork.Events.Add(t, leaf)
			}
			b.Proof = fork.EventProof(t, 7, 300)
		}), []string{control, events}, 1, "anchor-entry"},
		{"bad: entry changed", "the control log holds another", bundle(func(b *ledger.ProofBundle) { b.Anchor.Entry = replace(b.Anchor.Entry, `"hits":0`, `"hits":1`) }), []string{control}, 1, "anchor-inclusion"},
		{"bad: entry of another type", "a key entry binds no tree", bundle(func(b *ledger.ProofBundle) {
			b.Anchor = &ledger.Anchor{Entry: cell.Entries.Leaves[1], Proof: cell.EntryProof(t, 1, w1)}
		}), []string{control}, 1, "anchor-entry"},
		{"bad: anchor of another cell", "its control log is trusted too, and does not speak for this one", bundle(func(b *ledger.ProofBundle) {
			b.Anchor = &ledger.Anchor{Entry: us.Entries.Leaves[2], Proof: us.EntryProof(t, 2)}
		}), []string{control, foreign}, 1, "anchor-inclusion"},
		{"bad: wrong signature", "the control log's checkpoint changed after signing", bundle(func(b *ledger.ProofBundle) {
			signed := cell.Entries.Checkpoint(t, cell.Control, 3)
			forged := signed
			forged.Size = 4
			b.Anchor.Proof = replace(b.Anchor.Proof, string(signed.Append(nil)), string(forged.Append(nil)))
		}), []string{control}, 1, "control-log"},
		{"bad: cosignature of another checkpoint", "a known witness's signature has to hold", bundle(func(b *ledger.ProofBundle) {
			b.Anchor.Proof = replace(b.Anchor.Proof, signatureOf(b.Anchor.Proof, w1.Name()), signatureOf(cell.EventProof(t, 7, 300, w1), w1.Name()))
		}), []string{control}, 1, "control-log"},
		{"bad: checkpoint with extension line", "checkpoints have three lines of text", bundle(func(b *ledger.ProofBundle) { b.Proof = reheaded(sign(text+"extension\n", key)) }), []string{control}, 1, "inclusion"},
		{"bad: extra line in the proof", "nothing that is not vouched for", bundle(func(b *ledger.ProofBundle) { b.Proof = replace(b.Proof, "\nindex", "\nextra AAAA\nindex") }), []string{control}, 1, "inclusion"},
		{"bad: origin of the control log", "events are in events logs", bundle(func(b *ledger.ProofBundle) { b.Origin = cell.Control }), []string{control}, 1, "form"},
		{"bad: origin of another cell", "the proof is of another log", bundle(func(b *ledger.ProofBundle) { b.Origin = us.Origin }), []string{control, foreign}, 1, "inclusion"},
		{"bad: member twice", "members stand once", replace(plain, `"v":1`, `"v":1,"v":1`), []string{control}, 1, "form"},
		{"bad: unknown member", "none besides", replace(plain, `"v":1`, `"v":1,"note":""`), []string{control}, 1, "form"},
		{"bad: version 2", "unknown", replace(plain, `"v":1`, `"v":2`), []string{control}, 1, "form"},
		{"bad: record and view", "either or", replace(plain, `"proof"`, `"view":`+string(view)+`,"proof"`), []string{control}, 1, "form"},
		{"bad: lone surrogate", "stands for no bytes", replace(plain, `"leaf":"`, `"leaf":"\ud800`), []string{control}, 1, "form"},
		{"bad: not UTF-8", "JSON is UTF-8", replace(plain, `"leaf":"`, "\"leaf\":\"\xff"), []string{control}, 1, "form"},
		{"bad: cut short", "the end is missing", plain[:len(plain)-1], []string{control}, 1, "form"},
	} {
		m.add(Case{Name: "bundle: " + p.name, Kind: "bundle", Why: p.why, File: "bundle/" + slug(p.name) + ".json",
			Policies: p.policies, Valid: p.exit == 0, Exit: &p.exit, Failed: p.failed}, p.bundle)
	}
}

// looseBits spells the root of a checkpoint's text another way: bits that no byte uses are set.
func looseBits(text string) string {
	i := strings.LastIndex(text, "=\n") - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return text[:i] + string(alphabet[strings.IndexByte(alphabet, text[i])|1]) + text[i+1:]
}

func signatureOf(proof []byte, name string) string {
	_, line, _ := strings.Cut(string(proof), "— "+name+" ")
	line, _, _ = strings.Cut(line, "\n")
	return line
}

// viewFields cuts the fields of a view that ledger.View.Append wrote.
func viewFields(view []byte) (head string, fields []string) {
	head, rest, _ := strings.Cut(string(view), "[[")
	return head + "[", strings.Split("["+strings.TrimSuffix(rest, "]}"), `,["/`)
}

func joinFields(head string, fields []string) []byte {
	return []byte(head + strings.Join(fields, `,["/`) + "]}")
}

func cutField(view []byte, i int) []byte {
	head, fields := viewFields(view)
	return joinFields(head, append(fields[:i:i], fields[i+1:]...))
}

func doubleField(view []byte) []byte {
	head, fields := viewFields(view)
	return joinFields(head, append(fields[:2:2], fields[1:]...))
}

func exchangeFields(view []byte) []byte {
	head, fields := viewFields(view)
	fields[1], fields[2] = fields[2], fields[1]
	return joinFields(head, fields)
}

// undercut shows /cloud as one value in place of its members.
func undercut(t interface{ Fatal(...any) }, line []byte) []byte {
	record, err := ledger.ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	v := ledger.Mask(record, func(string) bool { return false })
	var fields []ledger.ViewField
	for _, f := range v.Fields {
		if f.Pointer == "/cloud/account/uid" {
			f = ledger.ViewField{Pointer: "/cloud", Disclosed: true, Value: []byte(`{"account":{"uid":"111122223333"},"provider":"AWS","region":"eu-central-1"}`)}
		} else if strings.HasPrefix(f.Pointer, "/cloud/") {
			continue
		}
		fields = append(fields, f)
	}
	v.Fields = fields
	return v.Append(nil)
}
