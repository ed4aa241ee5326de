package index

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// groups counts as a reader of the events would.
func (c corpus) groups(f *Filter, g *Grouping) []Group {
	counts := map[string]*Group{}
	for _, m := range c.search(f, &Page{Limit: len(c), Within: g.Within}) {
		var values []string
		for _, column := range g.By {
			said := m.of(column)
			v := ""
			switch {
			case column == Jurisdiction:
				for i, j := range said {
					v += []string{"", " "}[min(i, 1)] + j
				}
			case column == Class || column == Activity:
				v = said[1] // the name
			case len(said) > 0:
				v = said[0]
			}
			values = append(values, v)
		}
		start := int64(0)
		if every := g.Every.Milliseconds(); every > 0 {
			start = m.Time - ((m.Time%every)+every)%every
		}
		key := fmt.Sprintf("%d %q", start, values)
		if counts[key] == nil {
			counts[key] = &Group{Values: values, Start: start}
		}
		counts[key].Count++
	}
	var list []Group
	for _, g := range counts {
		list = append(list, *g)
	}
	slices.SortFunc(list, compareGroups)
	return list
}

func compareGroups(a, b Group) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), -cmp.Compare(a.Count, b.Count), slices.Compare(a.Values, b.Values))
}

func TestCounts(t *testing.T) {
	c, x, _ := searchable(t)
	early := call(500) // before 1970
	early.json = []byte(fmt.Sprintf(`{"class_name":"Base Event","class_uid":0,"cloud":{"provider":"GCP"},"metadata":{"uid":"gcp:x"},"time":%d}`, -90_000_000))
	early.time, early.uid, early.region = -90_000_000, "gcp:x", "gcp:unknown"
	c.append(0, early)
	c.catchUp(x)
	all := c.corpus()
	all[len(all)-1].fields.(map[string]any)["enrichments"] = []any{map[string]any{"type": "residency", "data": map[string]any{"region": "gcp:unknown"}}}
	groupings := []Grouping{{}, {Every: time.Hour}, {Every: 24 * time.Hour, By: []Column{Region}}, {By: []Column{Operation, Status, Actor, Jurisdiction}}, {Every: 7 * time.Millisecond}}
	for _, column := range Groupable() {
		groupings = append(groupings, Grouping{By: []Column{column}})
	}
	for _, g := range groupings {
		for _, f := range []Filter{{}, {Equal: map[Column][]string{Status: {"failure"}}}, {From: start.Add(time.Hour), Text: "svc1"}, {Equal: map[Column][]string{UID: {"none"}}}} {
			g.Limit = MaxGroups
			got, truncated, err := x.Stats(t.Context(), f, g)
			if err != nil || truncated {
				t.Fatalf("%+v %+v: %v, truncated %v", f, g, err, truncated)
			}
			slices.SortFunc(got, compareGroups)
			want := all.groups(&f, &g)
			if len(g.By) == 0 {
				for i := range got {
					got[i].Values = nil
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%+v %+v:\n got %v\nwant %v", f, g, got, want)
			}
			if len(want) > 1 {
				g.Limit = len(want) - 1
				got, truncated, err := x.Stats(t.Context(), f, g)
				if err != nil || !truncated || len(got) != g.Limit {
					t.Errorf("%+v %+v: %d groups, truncated %v, %v", f, g, len(got), truncated, err)
				}
			}
		}
	}
}

func TestWhatCannotBeCounted(t *testing.T) {
	x := newIndex(t)
	for name, g := range map[string]Grouping{
		"no limit":       {},
		"too many":       {Limit: MaxGroups + 1},
		"by resource":    {Limit: 1, By: []Column{Resource}},
		"by uid":         {Limit: 1, By: []Column{UID}},
		"by one twice":   {Limit: 1, By: []Column{Region, Region}},
		"by too many":    {Limit: 1, By: []Column{Region, Status, Actor, Account, Service}},
		"parts of a ms":  {Limit: 1, Every: time.Microsecond},
		"negative steps": {Limit: 1, Every: -time.Second},
	} {
		if _, _, err := x.Stats(t.Context(), Filter{}, g); !errors.Is(err, ErrQuestion) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
