package ingest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"domicile.dev/domicile/ingest"
)

var noon = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)

func quarantine(store *memory, log *control) *ingest.Quarantine {
	return ingest.NewQuarantine(store, mask{}, log, "dir:test", func() time.Time { return noon }, rand.Reader)
}

func TestItemIsKeptWhole(t *testing.T) {
	store := &memory{}
	q := quarantine(store, &control{})
	raw := []byte("{\"eventTime\":\xff\x00\n\n")
	item := ingest.Item{Raw: raw, Header: ingest.ItemHeader{
		Reason: "invalid_utf8", Detail: "at byte 13", Source: "file:0011223344556677", Form: "cloudtrail/records",
		Offset: 12345678901, Provider: "aws",
	}}
	hash, again, err := q.Hold(t.Context(), item)
	if err != nil || again {
		t.Fatalf("got again %v, %v", again, err)
	}
	if hash != sha256.Sum256(raw) {
		t.Errorf("the address is not the hash of the bytes")
	}
	held, got, err := q.Show(t.Context(), hex.EncodeToString(hash[:]))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, raw) {
		t.Errorf("got bytes %q, want %q", got, raw)
	}
	want := item.Header
	want.V, want.FirstSeen = 1, noon
	if held.ItemHeader != want || held.Bytes != len(raw) || held.Released {
		t.Errorf("got %+v\nwant %+v", held, want)
	}
	for key, object := range store.objects {
		if bytes.Contains(object, []byte("eventTime")) || bytes.Contains(object, []byte("invalid_utf8")) {
			t.Errorf("%s is not sealed", key)
		}
	}
}

func TestSameBytesAreOneItem(t *testing.T) {
	store := &memory{}
	q := quarantine(store, &control{})
	for i, source := range []string{"file:aaaaaaaaaaaaaaaa", "file:bbbbbbbbbbbbbbbb", "file:aaaaaaaaaaaaaaaa"} {
		_, again, err := q.Hold(t.Context(), ingest.Item{Raw: []byte("x"), Header: ingest.ItemHeader{Reason: "invalid_json", Source: source}})
		if err != nil || again != (i > 0) {
			t.Errorf("%d: again %v, %v", i, again, err)
		}
	}
	var sources []string
	for held, err := range q.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, held.Source)
	}
	if len(sources) != 1 || sources[0] != "file:aaaaaaaaaaaaaaaa" {
		t.Errorf("listed %q, want the first source once", sources)
	}
}

func TestItemSurvivesAFailedCreate(t *testing.T) {
	for name, persist := range map[string]bool{"that wrote nothing": false, "whose answer was lost": true} {
		t.Run(name, func(t *testing.T) {
			store := &memory{fail: func(n int, _ string) (bool, error) {
				if n == 1 {
					return persist, errors.New("disk")
				}
				return true, nil
			}}
			q := quarantine(store, &control{})
			item := ingest.Item{Raw: []byte("x"), Header: ingest.ItemHeader{Reason: "invalid_json"}}
			if _, _, err := q.Hold(t.Context(), item); err == nil {
				t.Fatal("the failure was not reported")
			}
			hash, again, err := q.Hold(t.Context(), item)
			if err != nil || again != persist {
				t.Errorf("got again %v, %v", again, err)
			}
			if _, raw, err := q.Show(t.Context(), hex.EncodeToString(hash[:])); err != nil || string(raw) != "x" {
				t.Errorf("got %q, %v", raw, err)
			}
		})
	}
}

func TestDamagedItemIsNamedAndDoesNotHideOthers(t *testing.T) {
	store := &memory{}
	q := quarantine(store, &control{})
	var addresses []string
	for _, raw := range []string{"a", "b", "c"} {
		h, _, err := q.Hold(t.Context(), ingest.Item{Raw: []byte(raw)})
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, hex.EncodeToString(h[:]))
	}
	key := "item/" + addresses[1]
	sealed, _ := mask{}.Seal(t.Context(), key, []byte(`{"v":1,"reason":"","source":"","offset":0,"first_seen":"2026-10-01T12:00:00Z"}`+"\nB"))
	store.objects[key] = sealed
	good := 0
	for held, err := range q.List(t.Context()) {
		switch {
		case err == nil:
			good++
		case held.Hash != addresses[1]:
			t.Errorf("%s: %v", held.Hash, err)
		}
	}
	if good != 2 {
		t.Errorf("%d items listed, want 2 and an error", good)
	}
}

func TestShowRefusesWhatIsNoAddress(t *testing.T) {
	q := quarantine(&memory{}, &control{})
	for _, hash := range []string{"", "xyz", "../../secret", "ABCD", hex.EncodeToString(make([]byte, 31))} {
		if _, _, err := q.Show(t.Context(), hash); err == nil || errors.Is(err, ingest.ErrNoItem) {
			t.Errorf("%q: got %v", hash, err)
		}
	}
	if _, _, err := q.Show(t.Context(), hex.EncodeToString(make([]byte, 32))); !errors.Is(err, ingest.ErrNoItem) {
		t.Errorf("got %v, want %v", err, ingest.ErrNoItem)
	}
}

func TestAnyBytesComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := quarantine(&memory{}, &control{})
		raw := rapid.SliceOf(rapid.Byte()).Draw(rt, "raw")
		h, _, err := q.Hold(context.Background(), ingest.Item{Raw: raw, Header: ingest.ItemHeader{Form: rapid.String().Draw(rt, "form")}})
		if err != nil {
			rt.Fatal(err)
		}
		if _, got, err := q.Show(context.Background(), hex.EncodeToString(h[:])); err != nil || !bytes.Equal(got, raw) {
			rt.Fatalf("got %q, %v", got, err)
		}
	})
}

func FuzzItem(f *testing.F) {
	f.Add([]byte("{\"v\":1}\nx"))
	f.Add([]byte("{"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, plain []byte) {
		hash := sha256.Sum256(plain)
		if _, raw, ok := bytes.Cut(plain, []byte("\n")); ok {
			hash = sha256.Sum256(raw)
		}
		address := hex.EncodeToString(hash[:])
		sealed, _ := mask{}.Seal(t.Context(), "item/"+address, plain)
		q := quarantine(&memory{objects: map[string][]byte{"item/" + address: sealed}}, &control{})
		_, _, _ = q.Show(t.Context(), address)
	})
}

// An auditor who is given the group object and the items can compute the set of the control entry from the words of
// its definition.
func TestSetOfAnEntryFollowsFromItsGroup(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		s := newSite()
		var rs []string
		for i := range n {
			rs = append(rs, record(string(rune('a'+i)), "eu-central-1", false))
		}
		root := tree(t, map[string]string{"a.json": trail(rs...)})
		if _, err := s.collector(t, nil).Run(t.Context(), ingest.FindSources([]string{root}, nil)); err != nil {
			t.Fatal(err)
		}
		key := s.store.keys("group/")[0]
		plain, err := mask{}.Unseal(t.Context(), key, s.store.objects[key])
		if err != nil {
			t.Fatal(err)
		}
		line, hashes, _ := bytes.Cut(plain, []byte("\n"))
		var group struct{ Salt string }
		if err := json.Unmarshal(line, &group); err != nil {
			t.Fatal(err)
		}
		salt, err := hex.DecodeString(group.Salt)
		if err != nil {
			t.Fatal(err)
		}
		var leaves [][]byte
		for i := range n {
			raw := sha256.Sum256([]byte(rs[i]))
			if !bytes.Equal(hashes[32*i:32*i+32], raw[:]) {
				t.Errorf("the group's item %d is not the hash of its bytes", i)
			}
			leaf := sha256.Sum256(slices.Concat([]byte{0x13}, salt, raw[:]))
			leaves = append(leaves, leaf[:])
		}
		if got := s.control.entries[0].Set; !bytes.Equal(got[:], rfc6962Root(leaves)) {
			t.Errorf("%d items: got set %x, want %x", n, got, rfc6962Root(leaves))
		}
	}
}

// rfc6962Root is section 2.1 of the RFC, word for word.
func rfc6962Root(d [][]byte) []byte {
	if len(d) == 1 {
		h := sha256.Sum256(append([]byte{0}, d[0]...))
		return h[:]
	}
	k := 1
	for k*2 < len(d) {
		k *= 2
	}
	h := sha256.Sum256(slices.Concat([]byte{1}, rfc6962Root(d[:k]), rfc6962Root(d[k:])))
	return h[:]
}
