package query

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/ledger/store/storetest"
	"domicile.dev/domicile/query/index"
)

var _ Searcher = (*index.Index)(nil)

// question is one way of reading event data.
type question struct {
	name    string
	op      ledger.AccessOp
	content ledger.Content
	ask     func(w *world) (Receipt, error)
	leaves  []uint64 // that are handed over, in order; nil: no set
	records uint64
}

// questions are all ways, for a cell with three events.
func questions() []question {
	search := func(w *world, text string) (Receipt, error) {
		a, err := w.cell.Search(context.Background(), alice, index.Filter{Text: text}, index.Page{Limit: 10})
		if err != nil {
			return Receipt{}, err
		}
		return a.Receipt, nil
	}
	prove := func(w *world, o ProofOptions, refs ...Ref) (Receipt, error) {
		p, err := w.cell.Prove(context.Background(), alice, refs, o)
		if err != nil {
			return Receipt{}, err
		}
		for _, proof := range p.Proofs {
			err = errors.Join(err, proof.Err)
		}
		return p.Receipt, err
	}
	return []question{
		{"search", ledger.OpSearch, ledger.ContentFull, func(w *world) (Receipt, error) { return search(w, "") }, []uint64{0, 1, 2}, 3},
		{"search for one", ledger.OpSearch, ledger.ContentFull, func(w *world) (Receipt, error) { return search(w, w.uid(1)) }, []uint64{1}, 1},
		{"search for nothing", ledger.OpSearch, ledger.ContentFull, func(w *world) (Receipt, error) { return search(w, "nowhere") }, []uint64{}, 0},
		{"event", ledger.OpSearch, ledger.ContentFull, func(w *world) (Receipt, error) {
			a, err := w.cell.Event(context.Background(), alice, w.uid(2))
			if err != nil {
				return Receipt{}, err
			}
			return a.Receipt, nil
		}, []uint64{2}, 1},
		{"stats", ledger.OpAggregate, ledger.ContentAggregate, func(w *world) (Receipt, error) {
			c, err := w.cell.Stats(context.Background(), alice, index.Filter{}, index.Grouping{By: []index.Column{index.Account}})
			if err != nil {
				return Receipt{}, err
			}
			return c.Receipt, nil
		}, nil, 0},
		{"bundles", ledger.OpProof, ledger.ContentFull, func(w *world) (Receipt, error) {
			return prove(w, ProofOptions{}, Ref{UID: w.uid(2)}, Ref{Log: w.eventsOrigin(), Index: 0}, Ref{UID: w.uid(0)})
		}, []uint64{0, 2}, 2},
		{"masked", ledger.OpProof, ledger.ContentMasked, func(w *world) (Receipt, error) {
			return prove(w, ProofOptions{Hide: []string{"/actor/*"}}, Ref{UID: w.uid(1)})
		}, []uint64{1}, 1},
		{"path", ledger.OpProof, ledger.ContentNone, func(w *world) (Receipt, error) {
			return prove(w, ProofOptions{Format: FormatProof}, Ref{UID: w.uid(1)})
		}, []uint64{1}, 0},
	}
}

// Every answer has an intent in the control log, which its receipt names, and a report of exactly what was handed over.
func TestReceiptsMatchTheControlLog(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 60_000, 120_000)
	var receipts []Receipt
	for _, q := range questions() {
		receipt, err := q.ask(w)
		if err != nil {
			t.Fatalf("%s: %v", q.name, err)
		}
		receipts = append(receipts, receipt)
	}
	w.must(w.cell.Close())
	entries, accesses := w.entries(), w.accesses()
	if len(accesses) != len(receipts) {
		t.Errorf("%d accesses for %d questions", len(accesses), len(receipts))
	}
	leaves := w.leaves()
	asked := make(map[ledger.Hash]string)
	for i, q := range questions() {
		r := receipts[i]
		raw := entries[r.Index]
		if r.Hash != ledger.LeafHash(raw) || r.Origin != w.controlOrigin() || r.Emitter != "gateway" {
			t.Errorf("%s: the receipt %+v names another entry", q.name, r)
		}
		a := accesses[r.Index]
		if a == nil || a.done == nil {
			t.Errorf("%s: there is no intent %d with its report", q.name, r.Index)
			continue
		}
		if a.intent.Op != q.op || a.intent.Content != q.content || a.intent.Seq != r.Seq || a.intent.Epoch != r.Epoch ||
			a.intent.Purpose != ledger.PurposeAudit || a.intent.Recipient != (ledger.Recipient{Jur: "eu", Basis: ledger.RecipientCell}) {
			t.Errorf("%s: intent %+v", q.name, a.intent)
		}
		if (a.intent.Decision == ledger.AllowMasked) != (q.content == ledger.ContentMasked) {
			t.Errorf("%s: decision %s for %s", q.name, a.intent.Decision, q.content)
		}
		if other, ok := asked[*a.intent.Query]; ok {
			t.Errorf("%s: logged as the same question as %s", q.name, other)
		}
		asked[*a.intent.Query] = q.name
		if *a.done.Records != q.records || (*a.done.Bytes > 0) != (q.records > 0) {
			t.Errorf("%s: reports %d records, %d bytes", q.name, *a.done.Records, *a.done.Bytes)
		}
		if q.leaves == nil {
			if a.done.Set != nil {
				t.Errorf("%s: reports a set", q.name)
			}
			continue
		}
		salt, err := w.cell.setSalt(t.Context(), r.Index)
		w.must(err)
		var handed [][]byte
		for _, at := range q.leaves {
			handed = append(handed, leaves[at])
		}
		if want := ledger.SetRoot(salt, handed); a.done.Set == nil || *a.done.Set != want {
			t.Errorf("%s: the set is not that of %v", q.name, q.leaves)
		}
	}
}

// leaves reads the leaves of the events log from its commits.
func (w *world) leaves() (leaves [][]byte) {
	w.t.Helper()
	r := w.reader(w.eventsOrigin())
	head, err := r.Head(context.Background())
	w.must(err)
	for seq := range head.Seq + 1 {
		commit, err := r.Commit(context.Background(), seq)
		w.must(err)
		leaves = append(leaves, commit.Leaves...)
	}
	return leaves
}

// Nobody outside can tell who asked, or whether two questions of different cells are the same; inside, the same person
// has the same pseudonym for a while.
func TestPseudonyms(t *testing.T) {
	eu, us := newWorld(t, "eu"), newWorld(t, "us")
	for _, w := range []*world{eu, us} {
		w.add(0)
		for _, who := range []Asker{alice, alice, {Principal: "os:bob", Role: "operator", Purpose: ledger.PurposeAudit}, {Role: "operator", Purpose: ledger.PurposeOperation}} {
			_, err := w.cell.Search(t.Context(), who, index.Filter{}, index.Page{})
			w.must(err)
		}
		w.must(w.cell.Close())
	}
	principals := func(w *world) (list []string) {
		for i, raw := range w.entries() {
			if strings.Contains(string(raw), "alice") || strings.Contains(string(raw), "os:") {
				t.Errorf("entry %d names a person: %s", i, raw)
			}
			entry, err := ledger.ParseEntry(raw)
			w.must(err)
			if e, ok := entry.(*ledger.AccessEntry); ok && e.Phase == ledger.AccessIntent && e.Emitter == "gateway" {
				if e.Principal == nil {
					list = append(list, "")
					continue
				}
				list = append(list, fmt.Sprintf("%x", *e.Principal))
			}
		}
		return list
	}
	here, there := principals(eu), principals(us)
	if here[0] != here[1] || here[0] == here[2] || here[3] != "" || here[0] == there[0] {
		t.Errorf("pseudonyms %v and %v", here, there)
	}
	if bare := sha256.Sum256([]byte("os:alice")); here[0] == fmt.Sprintf("%x", bare) {
		t.Error("the pseudonym is a hash that anybody can compute")
	}
}

// When an intent cannot be committed, nothing is read: neither the index nor a payload is asked.
func TestReadsFailClosed(t *testing.T) {
	for _, test := range []struct {
		name   string
		create storetest.Outcome
		broken func(w *world)
	}{
		{"the store takes no commit", storetest.FailBefore, func(*world) {}},
		{"another writer took over", storetest.Pass, func(w *world) {
			control, err := log.OpenControl(context.Background(), w.configs[w.controlOrigin()], "test")
			w.must(err)
			_, err = control.Start(context.Background(), "ledger", ledger.RoleWriter)
			w.must(err)
			w.must(control.Close())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // a holder does not give up at once
			w := newWorld(t, "eu")
			w.add(0, 60_000, 120_000)
			test.broken(w)
			before := w.index.questions()
			var mu sync.Mutex
			var read []string
			w.locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
				mu.Lock()
				defer mu.Unlock()
				if op == storetest.OpCreate && strings.Contains(key, "/control/commit/") {
					return test.create
				}
				if strings.Contains(key, "/payload/") {
					read = append(read, key)
				}
				return storetest.Pass
			})
			for _, q := range questions() {
				if receipt, err := q.ask(w); !errors.Is(err, ErrNotLogged) || receipt != (Receipt{}) {
					t.Errorf("%s: answered %+v, %v", q.name, receipt, err)
				}
			}
			if n := w.index.questions(); n != before {
				t.Errorf("the index was asked %d times", n-before)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(read) > 0 {
				t.Errorf("payloads were read: %v", read)
			}
		})
	}
}

// The intent is durable before the index is asked.
func TestIntentComesFirst(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 60_000, 120_000)
	for _, q := range questions() {
		known := len(w.accesses())
		asked := 0
		w.index.before = func() error {
			asked++
			if n := len(w.accesses()); n != known+1 {
				t.Errorf("%s: the index was asked with %d accesses in the log, %d before", q.name, n, known)
			}
			return nil
		}
		if _, err := q.ask(w); err != nil {
			t.Errorf("%s: %v", q.name, err)
		}
		if asked == 0 {
			t.Errorf("%s: the index was not asked", q.name)
		}
		w.index.before = nil
	}
}

// A question that fails after its intent is reported as one that gave nothing away.
func TestFailedQuestionsAreReported(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 60_000, 120_000)
	w.index.before = func() error { return errAway }
	failed := 0
	for _, q := range questions() {
		if q.op == ledger.OpProof {
			continue // without the index they look elsewhere
		}
		if _, err := q.ask(w); !errors.Is(err, errAway) {
			t.Errorf("%s: %v", q.name, err)
		}
		failed++
	}
	w.must(w.cell.Close())
	accesses := w.accesses()
	if len(accesses) != failed {
		t.Errorf("%d accesses of %d questions", len(accesses), failed)
	}
	for at, a := range accesses {
		if a.done == nil || *a.done.Records != 0 || *a.done.Bytes != 0 || a.done.Set != nil {
			t.Errorf("intent %d: report %+v", at, a.done)
		}
	}
}

// Whoever goes away while the intent is on its way gets nothing, and the report says so.
func TestAskerGoesAway(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0)
	reached, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.locked.SetHook(func(op storetest.Op, key string) storetest.Outcome {
		if op == storetest.OpCreate && strings.Contains(key, "/control/commit/") {
			once.Do(func() { close(reached) })
			<-goOn
		}
		return storetest.Pass
	})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := w.cell.Search(ctx, alice, index.Filter{}, index.Page{})
		result <- err
	}()
	<-reached
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNotLogged) {
		t.Errorf("answered %v", err)
	}
	close(goOn)
	w.must(w.cell.Close())
	accesses := w.accesses()
	if len(accesses) != 1 || w.index.questions() != 0 {
		t.Fatalf("%d accesses, %d questions to the index", len(accesses), w.index.questions())
	}
	for _, a := range accesses {
		if a.done == nil || *a.done.Records != 0 {
			t.Errorf("report %+v", a.done)
		}
	}
}

// Many ask at once: every one has its own intent and its own report, and they share commits.
func TestManyAskAtOnce(t *testing.T) {
	const askers, each = 16, 20
	w := newWorld(t, "eu")
	w.add(0, 60_000, 120_000)
	r := w.reader(w.controlOrigin())
	before, err := r.Head(t.Context())
	w.must(err)
	var mu sync.Mutex
	receipts := make(map[uint64]Receipt)
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			for i := range each {
				q := questions()[i%len(questions())]
				receipt, err := q.ask(w)
				if err != nil {
					t.Errorf("%s: %v", q.name, err)
					return
				}
				mu.Lock()
				receipts[receipt.Index] = receipt
				mu.Unlock()
			}
		})
	}
	all.Wait()
	w.must(w.cell.Close())
	entries, accesses := w.entries(), w.accesses()
	if len(receipts) != askers*each || len(accesses) != askers*each {
		t.Errorf("%d receipts and %d accesses for %d questions", len(receipts), len(accesses), askers*each)
	}
	for at, a := range accesses {
		if a.done == nil || receipts[at].Hash != ledger.LeafHash(entries[at]) {
			t.Errorf("intent %d: report %+v, receipt %+v", at, a.done, receipts[at])
		}
	}
	after, err := r.Head(t.Context())
	w.must(err)
	if commits := after.Seq - before.Seq; commits > askers*each {
		t.Errorf("%d commits for %d accesses: they do not share them", commits, askers*each)
	}
}

func TestClosedCell(t *testing.T) {
	w := newWorld(t, "eu")
	w.add(0, 60_000, 120_000)
	w.must(w.cell.Close())
	w.must(w.cell.Close())
	for _, q := range questions() {
		if _, err := q.ask(w); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", q.name, err)
		}
	}
}
