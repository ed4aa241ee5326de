package audit_test

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/ledgertest"
	"domicile.dev/domicile/ledger/log"
)

// An operator who holds all keys can sign what he likes. What he cannot do is make the events logs say something else
// than the batch entries that the control log holds.
func TestAuditFindsLiesOfBatchEntries(t *testing.T) {
	for name, lie := range map[string]func(b *ledger.BatchEntry){
		"none":       func(b *ledger.BatchEntry) {},
		"root":       func(b *ledger.BatchEntry) { b.Root[0] ^= 1 },
		"size":       func(b *ledger.BatchEntry) { b.Size--; b.Classes[0].Records--; b.LeafRegions[0].Count-- },
		"commit":     func(b *ledger.BatchEntry) { b.CommitHash[0] ^= 1 },
		"no commit":  func(b *ledger.BatchEntry) { b.CommitSeq = 77 },
		"hits":       func(b *ledger.BatchEntry) { b.Hits++ },
		"duplicates": func(b *ledger.BatchEntry) { b.Duplicates++ },
		"rules":      func(b *ledger.BatchEntry) { b.Rules[0] ^= 1 },
		"class":      func(b *ledger.BatchEntry) { b.Classes[0].Class = "other" },
		"objects":    func(b *ledger.BatchEntry) { b.Classes[0].Objects++ },
		"region":     func(b *ledger.BatchEntry) { b.LeafRegions[0].Region = "aws:eu-west-1" },
		"regions": func(b *ledger.BatchEntry) {
			b.LeafRegions[0].Count--
			b.LeafRegions = append(b.LeafRegions, ledger.RegionCount{Region: "aws:eu-west-1", Count: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t)
			ctx := context.Background()
			control, err := log.OpenControl(ctx, c.config(controlOrigin), "test")
			c.must(err)
			c.init(ctx, control)
			writer, err := control.Start(ctx, "ledger", ledger.RoleWriter)
			c.must(err)
			events, err := log.OpenEvents(ctx, log.EventsConfig{Config: c.config(eventsOrigin), Keys: c.stores.Keys, Age: time.Millisecond})
			c.must(err)
			_, err = events.Append(ctx, []log.Message{c.event(log.Source{Collector: "c", Epoch: strings.Repeat("a", 32)}, 0), c.event(log.Source{Collector: "c", Epoch: strings.Repeat("a", 32)}, 1)}, true)
			c.must(err)
			c.must(events.Flush(ctx))
			head, err := events.Reader().Head(ctx)
			c.must(err)
			line, err := head.Line()
			c.must(err)
			cp, _, err := events.Reader().Checkpoint(ctx)
			c.must(err)
			b := &ledger.BatchEntry{
				Origin: eventsOrigin, CommitSeq: head.Seq, CommitHash: sha256.Sum256(line), Size: cp.Size, Root: cp.Root, Rules: ledger.EmptyHash,
				Classes:     []ledger.BatchClass{{Class: "default", Objects: 1, Records: 2, Lock: ledger.LockNone}},
				LeafRegions: []ledger.RegionCount{{Region: "aws:eu-central-1", Count: 2}},
				Collectors:  []ledger.CollectorRange{{ID: "c", Epoch: strings.Repeat("a", 32), Next: 2}},
			}
			lie(b)
			_, err = writer.Append(ctx, b)
			c.must(err)
			c.must(control.Flush(ctx))
			c.must(events.Close())
			c.must(control.Close())
			r := c.audit(audit.Options{})
			if name == "none" {
				requireVerified(t, r)
			} else if r.Result != ledger.ResultFailed || !strings.HasPrefix(r.Findings[0].Object, controlOrigin+" entry ") {
				t.Fatalf("%s: %+v", r.Result, r.Findings)
			}
		})
	}
}

// The events log is written anew, with its own key: whole, and not what the control log says.
func TestAuditFindsRewrittenEvents(t *testing.T) {
	c := newCell(t)
	c.session(300)
	for _, s := range []string{"locked", "open"} {
		c.must(os.RemoveAll(filepath.Join(c.path(), s, filepath.FromSlash(eventsOrigin))))
	}
	c.reopen()
	ctx := context.Background()
	c.must(log.Create(ctx, c.config(eventsOrigin), ledger.StreamRef{}))
	events, err := log.OpenEvents(ctx, log.EventsConfig{Config: c.config(eventsOrigin), Keys: c.stores.Keys, Age: time.Millisecond})
	c.must(err)
	var messages []log.Message
	for i := range 300 {
		messages = append(messages, c.event(log.Source{Collector: "c", Epoch: strings.Repeat("b", 32)}, uint64(i)))
	}
	_, err = events.Append(ctx, messages, true)
	c.must(err)
	c.must(events.Flush(ctx))
	c.must(events.Close())
	// By itself it is a perfect log.
	requireVerified(t, onlyEvents(t, c))
	r := c.audit(audit.Options{})
	if r.Result != ledger.ResultFailed || !strings.HasPrefix(r.Findings[0].Object, controlOrigin+" entry ") {
		t.Fatalf("%s: %+v", r.Result, r.Findings)
	}
}

// onlyEvents audits the events log with its own policy in a cell that has no control log.
func onlyEvents(t *testing.T, c *cell) *audit.Report {
	t.Helper()
	locked, open := t.TempDir(), t.TempDir()
	for from, to := range map[string]string{"locked": locked, "open": open} {
		c.must(os.CopyFS(filepath.Join(to, "test", "eu", "events"), os.DirFS(filepath.Join(c.path(), from, "test", "eu", "events"))))
	}
	r, err := audit.Audit(context.Background(), audit.Cell{Locked: audit.Dir(locked), Open: audit.Dir(open)}, audit.Options{Policies: []ledger.Policy{c.policy(eventsOrigin)}})
	c.must(err)
	return r
}

func TestAuditOfSignatures(t *testing.T) {
	c := newCell(t)
	c.session(300)
	w, stranger := ledgertest.Witness(t, "witness.example/1"), ledgertest.Witness(t, "stranger.example/1")
	checkpoint := "open/" + controlOrigin + "/checkpoint"
	archive := func() string {
		var last string
		for _, o := range c.objects() {
			if strings.HasPrefix(o, "locked/"+controlOrigin+"/checkpoints/") {
				last = o
			}
		}
		return last
	}()
	cosign := func(with ...note.Signer) {
		signed := c.read(archive)
		cp, err := ledger.ParseCheckpoint(signed, controlOrigin)
		c.must(err)
		signer, err := note.NewSigner(c.skeys[controlOrigin])
		c.must(err)
		signed, err = ledger.SignCheckpoint(cp, signer, with...)
		c.must(err)
		c.write(checkpoint, signed)
		c.write(archive, signed)
	}
	trust := c.policy(controlOrigin)
	witnessed := c.policy(controlOrigin)
	witnessed.Witnesses = []ledger.PolicyWitness{{Name: "w", VKey: w.VKey()}}
	witnessed.Quorum = "w"
	wrongKey := ledgertest.Policy(t, controlOrigin)
	for _, tt := range []struct {
		name    string
		signers []note.Signer
		policy  ledger.Policy
		want    ledger.Result
	}{
		{"no witness asked for", nil, trust, ledger.ResultVerified},
		{"witness asked for and missing", nil, witnessed, ledger.ResultFailed},
		{"witness asked for and there", []note.Signer{w}, witnessed, ledger.ResultVerified},
		{"a signature that no policy knows", []note.Signer{stranger}, trust, ledger.ResultFailed},
		{"another key", nil, wrongKey, ledger.ResultFailed},
	} {
		cosign(tt.signers...)
		r := c.audit(audit.Options{Policies: []ledger.Policy{tt.policy}})
		if r.Result != tt.want {
			t.Errorf("%s: %s %+v", tt.name, r.Result, r.Findings)
		}
	}
}

// Payloads whose keys are gone, or another's, are not taken for checked.
func TestAuditWithKeys(t *testing.T) {
	c := newCell(t)
	c.session(10)
	requireVerified(t, c.audit(audit.Options{Keys: c.stores.Keys}))
	var name string
	for n, err := range c.stores.Keys.List(context.Background(), "", "") {
		c.must(err)
		name = n
	}
	path := filepath.Join(c.path(), "keys", filepath.FromSlash(name))
	wrapped, err := os.ReadFile(path)
	c.must(err)
	c.must(os.Remove(path))
	if r := c.audit(audit.Options{Keys: c.stores.Keys}); r.Result != ledger.ResultInconclusive {
		t.Fatalf("key gone: %s %+v", r.Result, r.Findings)
	}
	other, err := c.stores.Keys.NewPayloadKey(context.Background())
	c.must(err)
	c.must(c.stores.Keys.Put(context.Background(), name, other))
	if r := c.audit(audit.Options{Keys: c.stores.Keys}); r.Result != ledger.ResultFailed {
		t.Fatalf("another key: %s %+v", r.Result, r.Findings)
	}
	c.must(os.Remove(path))
	c.must(os.WriteFile(path, wrapped, 0o600))
	requireVerified(t, c.audit(audit.Options{Keys: c.stores.Keys}))
}
