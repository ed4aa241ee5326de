package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store/storetest"
	"domicile.dev/domicile/query/index"
)

// prove proves events and returns what came of each.
func (w *world) prove(o ProofOptions, refs ...Ref) []Proof {
	w.t.Helper()
	p, err := w.cell.Prove(context.Background(), alice, refs, o)
	w.must(err)
	if len(p.Proofs) != len(refs) {
		w.t.Fatalf("%d proofs for %d events", len(p.Proofs), len(refs))
	}
	return p.Proofs
}

// valid holds a bundle to what an auditor would.
func (w *world) valid(proof Proof, at uint64) *ledger.ProofBundle {
	w.t.Helper()
	if proof.Err != nil {
		w.t.Fatalf("event %d: %v", at, proof.Err)
	}
	if v := ledger.VerifyBundle(proof.Bytes, w.policy()); v.Result != ledger.ResultVerified {
		w.t.Fatalf("event %d: %+v", at, v)
	}
	b, err := ledger.ParseProofBundle(proof.Bytes)
	w.must(err)
	if b.Origin != w.eventsOrigin() || b.Index != at || proof.Ref.Log != b.Origin || proof.Ref.Index != at {
		w.t.Errorf("asked for event %d: got %s#%d, ref %+v", at, b.Origin, b.Index, proof.Ref)
	}
	return b
}

func TestProofs(t *testing.T) {
	w := newWorld(t, "eu")
	w.commit(make([]int64, 300)...)
	w.add(0, 1, 2)
	w.commit(3) // committed, and neither published nor indexed
	var refs []Ref
	for i := range w.next {
		refs = append(refs, Ref{Log: w.eventsOrigin(), Index: i})
		if i < w.next-1 {
			refs = append(refs, Ref{UID: w.uid(i)})
		}
	}
	for k, proof := range w.prove(ProofOptions{}, refs...) {
		b := w.valid(proof, uint64(k/2))
		if rec, err := ledger.ParseRecord(b.Record); err != nil || uidOf(rec) != w.uid(uint64(k/2)) {
			t.Errorf("the bundle of event %d holds another: %v", k/2, err)
		}
	}
	for k, proof := range w.prove(ProofOptions{Format: FormatProof}, refs...) {
		if p, err := ledger.ParseProof(proof.Bytes); proof.Err != nil || err != nil || p.Index != uint64(k/2) {
			t.Errorf("tlog-proof of event %d: %v, %v", k/2, proof.Err, err)
		}
		if bytes.Contains(proof.Bytes, []byte("salt")) || bytes.Contains(proof.Bytes, []byte("111122223333")) {
			t.Error("a tlog-proof holds event data")
		}
	}
}

func TestMaskedProofs(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 1)
	proofs := w.prove(ProofOptions{Hide: []string{"/actor/*", "/raw_data"}}, Ref{UID: w.uid(1)})
	b := w.valid(proofs[0], 1)
	if b.Record != nil || bytes.Contains(proofs[0].Bytes, []byte("user1@example.com")) || !bytes.Contains(proofs[0].Bytes, []byte("Op1")) {
		t.Errorf("hidden: %s", proofs[0].Bytes)
	}
	proofs = w.prove(ProofOptions{Disclose: []string{"/time"}}, Ref{UID: w.uid(1)})
	b = w.valid(proofs[0], 1)
	if b.Record != nil || bytes.Contains(proofs[0].Bytes, []byte("user1@example.com")) || bytes.Contains(proofs[0].Bytes, []byte("Op1")) {
		t.Errorf("disclosed: %s", proofs[0].Bytes)
	}
	if proofs = w.prove(ProofOptions{Hide: []string{"/actor/user/nmae"}}, Ref{UID: w.uid(1)}); !errors.Is(proofs[0].Err, ErrInvalid) || proofs[0].Bytes != nil {
		t.Errorf("a pointer that hides nothing: %v", proofs[0].Err)
	}
}

func TestProofsThatCannotBeAsked(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0)
	one := []Ref{{UID: w.uid(0)}}
	for _, test := range []struct {
		name string
		refs []Ref
		o    ProofOptions
	}{
		{"none", nil, ProofOptions{}},
		{"too many", make([]Ref, MaxProofs+1), ProofOptions{}},
		{"nothing named", []Ref{{}}, ProofOptions{}},
		{"named twice", []Ref{{UID: "a", Log: "b"}}, ProofOptions{}},
		{"uid too long", []Ref{{UID: strings.Repeat("x", 1025)}}, ProofOptions{}},
		{"another format", one, ProofOptions{Format: "pdf"}},
		{"hide and disclose", one, ProofOptions{Hide: []string{"/time"}, Disclose: []string{"/time"}}},
		{"masked path", one, ProofOptions{Format: FormatProof, Hide: []string{"/time"}}},
	} {
		if _, err := w.cell.Prove(t.Context(), alice, test.refs, test.o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if n := len(w.accesses()); n != 0 {
		t.Errorf("%d accesses were logged for questions that cannot be asked", n)
	}
}

// What cannot be proven keeps nothing else from being proven.
func TestSomeProofsFail(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 1, 2)
	proofs := w.prove(ProofOptions{},
		Ref{UID: "aws:111122223333:nobody"}, Ref{Log: w.eventsOrigin(), Index: 3}, Ref{Log: "test/eu/events/9", Index: 0},
		Ref{Log: w.controlOrigin(), Index: 0}, Ref{UID: w.uid(1)})
	for i, want := range []error{ErrNotFound, ErrNotFound, ErrNoCell, ErrNoCell} {
		if !errors.Is(proofs[i].Err, want) || proofs[i].Bytes != nil {
			t.Errorf("%+v: %v, want %v", proofs[i].Ref, proofs[i].Err, want)
		}
	}
	w.valid(proofs[4], 1)
}

// A row that was altered is refused and named, by whatever name it is asked for; nothing of it leaves.
func TestAlteredRowsAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world, r *index.Row)
	}{
		{"a value", func(_ *world, r *index.Row) {
			r.Record = bytes.Replace(r.Record, []byte(`"user1@example.com"`), []byte(`"mallory@example.com"`), 1)
		}},
		{"the salt", func(_ *world, r *index.Row) { r.Record = bytes.Clone(r.Record); r.Record[10] ^= 1 }},
		{"the record of another event", func(w *world, r *index.Row) { r.Record = w.index.rows[2].Record }},
		{"no record", func(_ *world, r *index.Row) { r.Record = []byte("mallory was here") }},
		{"an empty record", func(_ *world, r *index.Row) { r.Record = nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "eu")
			w.add(0, 1, 2)
			w.index.tamper(1, func(r *index.Row) { test.change(w, r) })
			for _, o := range []ProofOptions{{}, {Disclose: []string{"/time"}}} {
				proofs := w.prove(o, Ref{UID: w.uid(1)}, Ref{Log: w.eventsOrigin(), Index: 1}, Ref{UID: w.uid(2)})
				for _, p := range proofs[:2] {
					if !errors.Is(p.Err, ErrAltered) || p.Bytes != nil {
						t.Fatalf("%+v: %v", p.Ref, p.Err)
					}
					if text := p.Err.Error(); !strings.Contains(text, w.eventsOrigin()) || !strings.Contains(text, "row 1") || strings.Contains(text, "mallory") {
						t.Errorf("the error says %q", text)
					}
				}
				w.valid(proofs[2], 2)
			}
			// The path does not come from the index.
			if p := w.prove(ProofOptions{Format: FormatProof}, Ref{UID: w.uid(1)}); p[0].Err != nil {
				t.Errorf("path: %v", p[0].Err)
			}
		})
	}
}

// A row that claims the uid of another event does not get in that one's way.
func TestRowsThatClaimAnotherUID(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 1, 2)
	w.index.tamper(0, func(r *index.Row) { r.UID = w.uid(1) })
	w.index.tamper(2, func(r *index.Row) { r.UID = "aws:111122223333:another" })
	proofs := w.prove(ProofOptions{}, Ref{UID: w.uid(1)}, Ref{UID: "aws:111122223333:another"}, Ref{UID: w.uid(2)})
	w.valid(proofs[0], 1)
	if !errors.Is(proofs[1].Err, ErrAltered) || !errors.Is(proofs[2].Err, ErrNotFound) {
		t.Errorf("%v; %v", proofs[1].Err, proofs[2].Err)
	}
}

// Without an index, and while it is away, records are read from payloads and uids are looked up there.
func TestProofsWithoutAnIndex(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"none":          func(c *Config) { c.Index = nil },
		"not installed": func(c *Config) { c.Index = func() (Searcher, error) { return nil, errAway } },
		"away": func(c *Config) {
			away := &fakeIndex{before: func() error { return fmt.Errorf("%w: refused", index.ErrUnavailable) }}
			c.Index = func() (Searcher, error) { return away, nil }
		},
		"by shard": func(c *Config) { c.Index, c.ShardOf = nil, func(string) int { return 0 } },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "eu", change)
			w.add(0, 1, 2)
			w.add(3)
			proofs := w.prove(ProofOptions{}, Ref{UID: w.uid(1)}, Ref{Log: w.eventsOrigin(), Index: 2}, Ref{UID: w.uid(3)}, Ref{UID: w.uid(1)}, Ref{UID: "aws:1:x"})
			for i, at := range []uint64{1, 2, 3, 1} {
				w.valid(proofs[i], at)
			}
			if !errors.Is(proofs[4].Err, ErrNotFound) {
				t.Errorf("no such event: %v", proofs[4].Err)
			}
			for _, err := range []error{
				second(w.cell.Search(t.Context(), alice, index.Filter{}, index.Page{})),
				second(w.cell.Event(t.Context(), alice, w.uid(0))),
				second(w.cell.Stats(t.Context(), alice, index.Filter{}, index.Grouping{})),
			} {
				if !errors.Is(err, index.ErrUnavailable) {
					t.Errorf("searching: %v", err)
				}
			}
			state, err := w.cell.State(t.Context())
			w.must(err)
			if name != "away" && (state.IndexError == "" || state.Logs[0].Behind != 4) {
				t.Errorf("state %+v", state)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestLookingUpInPayloadsIsBounded(t *testing.T) {
	w := newWorld(t, "eu", func(c *Config) { c.Index, c.MaxScan = nil, 3 })
	w.add(0, 1, 2)
	w.valid(w.prove(ProofOptions{}, Ref{UID: w.uid(1)})[0], 1)
	w.add(3)
	proofs := w.prove(ProofOptions{}, Ref{UID: w.uid(1)}, Ref{Log: w.eventsOrigin(), Index: 1})
	if !errors.Is(proofs[0].Err, index.ErrUnavailable) || !strings.Contains(proofs[0].Err.Error(), "4 records") {
		t.Errorf("%v", proofs[0].Err)
	}
	w.valid(proofs[1], 1)
}

// The index lags: what it lacks is said, and proven from the payload if it is named by its leaf.
func TestProofsAheadOfTheIndex(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 1)
	w.commit(2, 3, 4)
	w.flush()
	a, err := w.cell.Search(t.Context(), alice, index.Filter{}, index.Page{})
	w.must(err)
	if s := a.State.Logs[0]; len(a.Rows) != 2 || s.Indexed != 2 || s.Behind != 3 || s.Checkpoint.Size != 5 || len(s.Note) == 0 {
		t.Errorf("%d rows, state %+v", len(a.Rows), s)
	}
	w.valid(w.prove(ProofOptions{}, Ref{Log: w.eventsOrigin(), Index: 4})[0], 4)
	p := w.prove(ProofOptions{}, Ref{UID: w.uid(4)})
	if !errors.Is(p[0].Err, ErrNotFound) || !strings.Contains(p[0].Err.Error(), "lacks the newest 3 events") {
		t.Errorf("%v", p[0].Err)
	}
	if _, err := w.cell.Event(t.Context(), alice, w.uid(4)); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "lacks the newest 3 events") {
		t.Errorf("%v", err)
	}
}

// An event that nobody has published yet cannot be proven by one who only reads.
func TestNotProvableYet(t *testing.T) {
	w := newWorld(t, "eu", func(c *Config) { c.Shards[0].Flush = nil })
	w.add(0)
	// Hold back the batch entry of the second event.
	w.open.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if op == storetest.OpReplace && strings.Contains(key, "/events/") {
			return storetest.FailBefore
		}
		return storetest.Pass
	})
	w.commit(1)
	w.feed()
	proofs := w.prove(ProofOptions{}, Ref{UID: w.uid(1)}, Ref{UID: w.uid(0)})
	if !errors.Is(proofs[0].Err, ErrNotProvable) {
		t.Errorf("%v", proofs[0].Err)
	}
	w.valid(proofs[1], 0)
	if _, err := w.cell.Event(t.Context(), alice, w.uid(1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("an event that is not published is handed out: %v", err)
	}
	w.open.SetHook(nil)
}

// A payload whose record is gone is another error than an event that is not there.
func TestDamagedTilesAreNotHandedOut(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 1, 2)
	w.open.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if op == storetest.OpGet && strings.Contains(key, "/events/0/tile/0/") {
			return storetest.FailBefore
		}
		return storetest.Pass
	})
	p := w.prove(ProofOptions{}, Ref{UID: w.uid(1)})
	if p[0].Err == nil || errors.Is(p[0].Err, ErrNotFound) || errors.Is(p[0].Err, ErrAltered) {
		t.Errorf("%v", p[0].Err)
	}
}
