package index

import (
	"slices"
	"testing"
)

func TestFindsWhatWasFed(t *testing.T) {
	c := newCell(t, 2)
	x := newIndex(t)
	c.append(0, calls(0, 50)...)
	c.append(1, calls(50, 50)...)
	c.append(0, calls(100, 7)...)
	c.catchUp(x)
	rows, err := x.Search(t.Context(), Filter{}, Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 107 || !slices.IsSortedFunc(rows, func(a, b Row) int { return b.Compare(a.Position) }) {
		t.Fatalf("%d rows, want 107 newest first", len(rows))
	}
	for i, r := range rows {
		if r.UID != call(106-i).uid {
			t.Fatalf("row %d is %s", i, r.UID)
		}
		byUID, err := x.ByUID(t.Context(), r.UID)
		if err != nil || len(byUID) != 1 || byUID[0].Position != r.Position || string(byUID[0].Record) != string(r.Record) {
			t.Fatalf("by uid: %v, %v", byUID, err)
		}
		at, ok, err := x.At(t.Context(), r.Log, r.Index)
		if err != nil || !ok || at.UID != r.UID || string(at.Record) != string(r.Record) {
			t.Fatalf("at %v: %v %v %v", r.Position, at, ok, err)
		}
	}
}
