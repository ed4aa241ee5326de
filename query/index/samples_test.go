package index

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/normalize"
)

// sampleEvents normalizes every file of the samples. Files that are no deliveries have no events.
func sampleEvents(t *testing.T) (events []event) {
	err := filepath.WalkDir(filepath.Join(need.Samples(t), "samples"), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.Contains(name, ".expected") || strings.HasSuffix(name, ".md") {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		for r := normalize.NewReader(file); ; {
			raw, err := r.Next()
			var bad *normalize.RecordError
			switch {
			case errors.As(err, &bad):
				continue
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				t.Logf("%s: %v", name, err)
				return nil
			}
			if e, err := normalize.Normalize(raw, normalize.Options{}); err == nil {
				events = append(events, event{uid: e.UID, region: e.Region, time: e.Time, json: slices.Clone(e.JSON)})
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// TestFindsEverySample indexes all sample events and asks for each by its uid, and for every value of every column.
func TestFindsEverySample(t *testing.T) {
	events := sampleEvents(t)
	if len(events) < 3000 {
		t.Fatalf("the samples have only %d events", len(events))
	}
	c := newCell(t, 2)
	x := newIndex(t)
	for shard := range 2 {
		half := events[:len(events)/2]
		if shard == 1 {
			half = events[len(events)/2:]
		}
		c.append(shard, half...)
	}
	c.catchUp(x)
	c.wantWhole(x)
	all := c.corpus()
	long := os.Getenv(need.LongVariable) == "1"
	for i, m := range all {
		if !long && i%5 > 0 {
			continue
		}
		rows, err := x.ByUID(t.Context(), m.uid)
		if err != nil || !slices.ContainsFunc(rows, func(r Row) bool { return r.Position == m.Position }) {
			t.Fatalf("%s: %v, %v", m.uid, rows, err)
		}
	}
	asked := 0
	for _, column := range Columns() {
		byValue := make(map[string][]*model)
		var values []string
		for _, m := range all {
			for _, v := range m.of(column) {
				v = asciiLower(v)
				if column == UID || column == Log {
					v = m.of(column)[0]
				}
				if byValue[v] == nil {
					values = append(values, v)
				}
				if had := byValue[v]; len(had) == 0 || had[len(had)-1] != m {
					byValue[v] = append(had, m)
				}
			}
		}
		for i, v := range values {
			if len(values) > 100 && !long && i%25 > 0 || len(v) >= maxValue {
				continue
			}
			asked++
			rows, err := x.Search(t.Context(), Filter{Equal: map[Column][]string{column: {v}}}, Page{Limit: MaxLimit})
			if err != nil {
				t.Fatalf("%s %q: %v", column, v, err)
			}
			want := byValue[v][:min(len(byValue[v]), MaxLimit)]
			if !slices.EqualFunc(rows, want, func(r Row, m *model) bool { return r.Position == m.Position && r.UID == m.uid }) {
				t.Fatalf("%s %q: %d events found, want %d", column, v, len(rows), len(want))
			}
		}
		t.Logf("%s: %d values", column, len(values))
	}
	for i := 0; i < len(all); i += len(all) / 40 {
		all[i].collect("", all[i].fields)
		said := all[i].values[i%len(all[i].values)]
		if terms := strings.Fields(said); len(terms) > 0 && len(terms) <= maxTerms && len(said) <= maxText {
			asked++
			wantSame(t, x, all, Filter{Text: said}, Page{})
		}
	}
	t.Logf("%d events, %d questions", len(all), asked)
}
