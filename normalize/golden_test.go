package normalize_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/normalize"
)

var updateGolden = flag.Bool("update", false, "write what comes out to testdata, for review")

// Constructed records of every table, with the whole event that they become and where its attributes come from.
func TestGolden(t *testing.T) {
	records, err := filepath.Glob("testdata/records/*.json")
	if err != nil || len(records) == 0 {
		t.Fatal("no records", err)
	}
	for _, file := range records {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			record, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw := normalize.Raw{Bytes: bytes.TrimSpace(record)}
			event := one(t, string(raw.Bytes))
			checkEvent(t, name, outcome{raw: raw.Bytes, event: &event}, nil)
			sources, err := normalize.Explain(raw, testOptions)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := json.Indent(&out, event.JSON, "", "  "); err != nil {
				t.Fatal(err)
			}
			out.WriteString("\n\n")
			for _, s := range sources {
				line := s.Pointer + " <- " + s.From
				if s.Rule != "" {
					line = strings.TrimSuffix(line, " ") + " (" + s.Rule + ")"
				}
				out.WriteString(line + "\n")
			}
			golden := filepath.Join("testdata", "golden", name+".txt")
			if *updateGolden {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("another event than %s says (run with -update and review):\n%s", golden, out.String())
			}
		})
	}
}

// Explain names every attribute of the event once, and every pointer leads to something.
func TestExplainIsComplete(t *testing.T) {
	dir, files := sampleFiles(t)
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range normalizeAll(t, bytes.NewReader(data)) {
			if o.event == nil {
				continue
			}
			sources, err := normalize.Explain(normalize.Raw{Bytes: o.raw}, testOptions)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range sources {
				if get(t, o.event, s.Pointer[1:]) == nil || i > 0 && sources[i-1].Pointer >= s.Pointer || s.From == "" && s.Rule == "" {
					t.Fatalf("%s: %+v", name, s)
				}
			}
			break // one of a file will do
		}
	}
}

// Append makes the same events as Normalize, one behind the other, and leaves what is there alone.
func TestAppend(t *testing.T) {
	records, err := filepath.Glob("testdata/records/*.json")
	if err != nil || len(records) == 0 {
		t.Fatal("no records", err)
	}
	batch := []byte("before")
	var parts, want [][]byte
	for _, file := range records {
		record, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw := normalize.Raw{Bytes: bytes.TrimSpace(record)}
		event := one(t, string(raw.Bytes))
		var got normalize.Event
		if got, batch, err = normalize.Append(batch, raw, testOptions); err != nil || got.UID != event.UID {
			t.Fatalf("%s: %v", got.UID, err)
		}
		parts, want = append(parts, got.JSON), append(want, event.JSON)
		before := len(batch)
		if _, batch, err = normalize.Append(batch, normalize.Raw{Bytes: []byte(`{"x":1}`)}, testOptions); err == nil || len(batch) != before {
			t.Fatalf("an unknown record: %v", err)
		}
	}
	if string(batch) != "before"+string(bytes.Join(want, nil)) || !bytes.Equal(bytes.Join(parts, nil), bytes.Join(want, nil)) {
		t.Error("the batch is not the events in a row")
	}
}
