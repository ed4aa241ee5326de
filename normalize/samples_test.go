package normalize_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/normalize"
)

// sampleFiles lists the input files: without the digest chains and other projects' expected output.
func sampleFiles(t testing.TB) (dir string, files []string) {
	t.Helper()
	dir = filepath.Join(need.Samples(t), "samples")
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if strings.Contains(name, ".expected-") || strings.Count(name, string(filepath.Separator)) == 0 || strings.Contains(name, "digest_chain") {
			return nil
		}
		files = append(files, filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return dir, files
}

var testOptions = normalize.Options{
	Now:            func() time.Time { return time.UnixMilli(1782864000123).UTC() },
	ProductVersion: "test",
}

// outcome is what became of one record of a file.
type outcome struct {
	raw   []byte
	form  string
	event *normalize.Event
	err   *normalize.RecordError
}

func normalizeAll(t testing.TB, r io.Reader) []outcome {
	t.Helper()
	var out []outcome
	reader := normalize.NewReader(r)
	for {
		raw, err := reader.Next()
		if err == io.EOF {
			return out
		}
		var bad *normalize.RecordError
		if errors.As(err, &bad) {
			bad.Bytes = bytes.Clone(bad.Bytes)
			out = append(out, outcome{raw: bad.Bytes, form: bad.Form, err: bad})
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		o := outcome{raw: bytes.Clone(raw.Bytes), form: raw.Form}
		event, err := normalize.Normalize(raw, testOptions)
		if errors.As(err, &bad) {
			bad.Bytes = bytes.Clone(bad.Bytes)
			o.err = bad
		} else if err != nil {
			t.Fatal(err)
		} else {
			o.event = &event
		}
		out = append(out, o)
	}
}

// schemas compiles the OCSF schema of every class that is emitted.
func ocsfSchemas(t testing.TB) map[int]*jsonschema.Schema {
	t.Helper()
	dir := filepath.Join(need.Samples(t), "ocsf", "1.8.0")
	schemas := map[int]*jsonschema.Schema{}
	for uid, name := range map[int]string{0: "base_event", 6003: "api_activity", 3002: "authentication"} {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		s, err := c.Compile(filepath.Join(dir, name+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		schemas[uid] = s
	}
	return schemas
}

func TestEverySampleIsAnEventOrQuarantined(t *testing.T) {
	dir, files := sampleFiles(t)
	schemas := ocsfSchemas(t)
	counts := map[string]int{}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range normalizeAll(t, bytes.NewReader(data)) {
			group := filepath.ToSlash(filepath.Dir(name))
			if o.err != nil {
				counts[fmt.Sprintf("%-32s %-28s quarantined %s %s", group, o.form, o.err.Reason, first(o.err.Detail, 60))]++
				continue
			}
			counts[fmt.Sprintf("%-32s %-28s event", group, o.form)]++
			checkEvent(t, fmt.Sprintf("%s[%d]", name, i), o, schemas)
		}
	}
	var lines []string
	for what, n := range counts {
		lines = append(lines, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(lines)
	t.Log("\n" + strings.Join(lines, "\n"))
}

func first(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
