package vectors

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
	"domicile.dev/domicile/ledger/tile"
)

// receipts makes a control log of six entries: key, key, batch, access intent, access done, batch. The last one is not
// published yet.
func (m *maker) receipts() {
	t := m.t
	w1 := ledgertest.Witness(t, "witness.example/1")
	cell, us := ledgertest.NewCell(t, "eu", 20), ledgertest.NewCell(t, "us", 20)
	of := func(e ledger.Entry) ledger.Receipt {
		raw := cell.AddEntry(t, e)
		return ledger.ReceiptOf(cell.Control, uint64(len(cell.Entries.Leaves)-1), e, raw)
	}
	access := func(seq uint64) *ledger.AccessEntry {
		return &ledger.AccessEntry{
			EntryCommon: ledgertest.Common("gateway", seq), Phase: ledger.AccessIntent, Op: ledger.OpSearch, Role: "auditor",
			Purpose: ledger.PurposeAudit, Recipient: ledger.Recipient{Jur: "eu", Basis: ledger.RecipientCell},
			Decision: ledger.Allow, Rule: "default", Content: ledger.ContentFull,
		}
	}
	intent := of(access(0))
	ended := access(1)
	records, index := uint64(3), intent.Index
	ended.Phase, ended.Of, ended.Records, ended.Bytes = ledger.AccessDone, &index, &records, &records
	of(ended)
	published := uint64(len(cell.Entries.Leaves))
	late := of(access(2))
	batchEntry, err := ledger.ParseEntry(cell.Entries.Leaves[2])
	if err != nil {
		t.Fatal(err)
	}
	batch := ledger.ReceiptOf(cell.Control, 2, batchEntry, cell.Entries.Leaves[2])

	// The log as it lies in an open store, and copies that lack or change something.
	const log = "receipt/log"
	var hashes, bundle []byte
	for _, leaf := range cell.Entries.Leaves[:published] {
		hash := ledger.LeafHash(leaf)
		hashes = append(hashes, hash[:]...)
		bundle = ledger.AppendBundle(bundle, leaf)
	}
	tiles := tile.Tile{Level: 0, Width: int(published)}.Path()
	entries := tile.Tile{Level: tile.Entries, Width: int(published)}.Path()
	whole := map[string][]byte{
		"checkpoint": ledgertest.Sign(t, cell.Entries.Checkpoint(t, cell.Control, published), w1),
		tiles:        hashes, entries: bundle,
	}
	copyOf := func(name, key string, data []byte) string {
		for k, v := range whole {
			if k == key {
				v = data
			}
			if v != nil {
				m.files[name+"/"+cell.Control+"/"+k] = v
			}
		}
		return name
	}
	flipped := bytes.Clone(hashes)
	flipped[0] ^= 1
	changed := bytes.Clone(hashes)
	changed[tile.HashSize*int(intent.Index)] ^= 1
	forged := cell.Entries.Checkpoint(t, cell.Control, published)
	signer, _ := ledgertest.Key(t, us.Control)
	forgedNote, err := note.Sign(&note.Note{Text: string(forged.Append(nil))}, signer)
	if err != nil {
		t.Fatal(err)
	}
	copyOf(log, "", nil)
	noEntries := copyOf("receipt/no-entries", entries, nil)
	noTiles := copyOf("receipt/no-tiles", tiles, nil)
	otherTiles := copyOf("receipt/other-tiles", tiles, flipped)
	changedTiles := copyOf("receipt/changed-tiles", tiles, changed)
	otherEntries := copyOf("receipt/other-entries", entries, replace(bundle, `"op":"search"`, `"op":"export"`))
	unwitnessed := copyOf("receipt/unwitnessed", "checkpoint", ledgertest.Sign(t, forged))
	foreignKey := copyOf("receipt/foreign-key", "checkpoint", forgedNote)

	control := "policy/control.policy"
	file := func(r ledger.Receipt, edit func(*ledger.Receipt)) []byte {
		if edit != nil {
			edit(&r)
		}
		return r.Append(nil)
	}
	plain := file(intent, nil)
	for _, p := range []struct {
		name, why string
		file      []byte
		policies  []string
		log       string
		exit      int
		failed    string
	}{
		{"intent", "the receipt of an answer", plain, []string{control}, log, 0, ""},
		{"laid out anew", "white space and order are free", []byte(strings.NewReplacer(`{"v":1,`, "{\n", `}`, `, "v" : 1 }`).Replace(string(plain))), []string{control}, log, 0, ""},
		{"answer", "an answer of the API", fmt.Appendf(nil, `{"events":[{"receipt":null}],"cells":[{"receipt":%s},{"error":"away"}]}`, plain), []string{control}, log, 0, ""},
		{"entries that cannot be read", "the hash suffices; emitter, epoch and number are not compared", file(intent, func(r *ledger.Receipt) { r.Seq = 9 }), []string{control}, noEntries, 0, ""},
		{"not yet published", "the log has it not yet", file(late, nil), []string{control}, log, 2, ""},
		{"one not yet published", "the worst of several decides", fmt.Appendf(nil, `{"receipts":[%s,%s]}`, plain, file(late, nil)), []string{control}, log, 2, ""},
		{"no policy", "nothing says whose signature to believe", plain, nil, log, 2, ""},
		{"foreign policy", "the policy is another log's", plain, []string{"policy/foreign.policy"}, log, 2, ""},
		{"tiles that cannot be read", "nothing leads to the root", plain, []string{control}, noTiles, 2, ""},
		{"another cell's", "its log is not there", file(intent, func(r *ledger.Receipt) { r.Origin = us.Control }), []string{control}, log, 2, ""},
		{"bad: hash", "another entry", file(intent, func(r *ledger.Receipt) { r.Hash[0] ^= 1 }), []string{control}, log, 1, "inclusion"},
		{"bad: hash, entries that cannot be read", "another entry", file(intent, func(r *ledger.Receipt) { r.Hash[0] ^= 1 }), []string{control}, noEntries, 1, "inclusion"},
		{"bad: index", "another entry", file(intent, func(r *ledger.Receipt) { r.Index = 4 }), []string{control}, log, 1, "inclusion"},
		{"bad: emitter", "another component", file(intent, func(r *ledger.Receipt) { r.Emitter = "collector" }), []string{control}, log, 1, "entry"},
		{"bad: epoch", "another start of the component", file(intent, func(r *ledger.Receipt) { r.Epoch = strings.Repeat("0", 32) }), []string{control}, log, 1, "entry"},
		{"bad: seq", "another number", file(intent, func(r *ledger.Receipt) { r.Seq++ }), []string{control}, log, 1, "entry"},
		{"bad: type", "a receipt is of an access", file(batch, nil), []string{control}, log, 1, "entry"},
		{"bad: tile changed", "the tile says something else of that entry than the signed root", plain, []string{control}, changedTiles, 1, "entry"},
		{"bad: neighbour changed", "the tiles do not lead to the signed root", plain, []string{control}, otherTiles, 1, "inclusion"},
		{"bad: entry changed", "the bundle holds another entry than the tree", plain, []string{control}, otherEntries, 1, "entry"},
		{"bad: quorum not met", "no witness cosigned", plain, []string{control}, unwitnessed, 1, "control-log"},
		{"bad: signed by another key", "the key of another log", plain, []string{control}, foreignKey, 1, "control-log"},
		{"bad: unknown member", "a receipt says nothing besides", replace(plain, `"v":1`, `"v":1,"note":""`), []string{control}, log, 1, "form"},
		{"bad: member twice", "members stand once", replace(plain, `"v":1`, `"v":1,"v":1`), []string{control}, log, 1, "form"},
		{"bad: version 2", "unknown", replace(plain, `"v":1`, `"v":2`), []string{control}, log, 1, "form"},
		{"bad: events log", "receipts are of control logs", replace(plain, `eu/control`, `eu/events/0`), []string{control}, log, 1, "form"},
		{"bad: cut short", "the end is missing", plain[:len(plain)-1], []string{control}, log, 1, "form"},
	} {
		m.add(Case{Name: "receipt: " + p.name, Kind: "receipt", Why: p.why, File: "receipt/" + slug(p.name) + ".json",
			Policies: p.policies, Log: p.log, Valid: p.exit == 0, Exit: &p.exit, Failed: p.failed}, p.file)
	}
}
