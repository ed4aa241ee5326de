package index

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

func TestLookup(t *testing.T) {
	c := newCell(t, 2)
	x := newIndex(t)
	c.append(0, calls(0, 50)...)
	c.append(1, calls(40, 20)...) // ten are in both
	c.catchUp(x)
	var asked [][16]byte
	for i := range 100 {
		asked = append(asked, log.UIDKey(call(i).uid))
	}
	found, err := x.Find(t.Context(), origin(0), 1, asked)
	if err != nil || len(found) != 70 {
		t.Fatalf("%d found, want 70: %v", len(found), err)
	}
	for _, f := range found {
		shard := 0
		if f.Origin == origin(1) {
			shard = 1
		}
		line, err := c.reader(shard).Record(t.Context(), f.Index)
		c.must(err)
		rec, err := ledger.ParseRecord(line)
		c.must(err)
		uid, content, err := log.Keys(rec)
		c.must(err)
		if f.Origin != origin(shard) || f.UID != uid || f.Content != content {
			t.Errorf("%+v is not what leaf %d of %s is", f, f.Index, f.Origin)
		}
	}
	many := make([][16]byte, 3*lookupKeys)
	for i := range many {
		many[i] = log.UIDKey(fmt.Sprint(i))
	}
	many[len(many)-1] = asked[0]
	if found, err := x.Find(t.Context(), origin(0), 0, many); err != nil || len(found) != 1 {
		t.Errorf("%d of many found, want 1: %v", len(found), err)
	}
	if found, err := x.Find(t.Context(), origin(0), 0, nil); err != nil || len(found) != 0 {
		t.Errorf("%d of none found: %v", len(found), err)
	}
}

func TestLookupFailsWhereItIsNotComplete(t *testing.T) {
	c := newCell(t, 1)
	x := newIndex(t)
	ask := func(through uint64) error {
		_, err := x.Find(t.Context(), origin(0), through, [][16]byte{log.UIDKey("x")})
		return err
	}
	if err := ask(0); !errors.Is(err, log.ErrLookup) {
		t.Errorf("before anything is indexed: %v", err)
	}
	c.append(0, calls(0, 3)...)
	c.catchUp(x)
	if err := ask(1); err != nil {
		t.Errorf("through the newest commit: %v", err)
	}
	if err := ask(2); !errors.Is(err, log.ErrLookup) {
		t.Errorf("through a commit that is to come: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Find(ctx, origin(0), 1, [][16]byte{log.UIDKey("x")}); !errors.Is(err, log.ErrLookup) {
		t.Errorf("cancelled: %v", err)
	}
}
