// Generate writes the example logs of this folder's parent: one working day, 1 October 2026, of a made-up company in
// the shapes in which AWS CloudTrail, Azure Monitor and Google Cloud deliver audit logs.
//
//	go run ./examples/generate [DIR]     from the root of the repository; DIR is examples
//
// Everything is constructed: account numbers and addresses are those reserved for documentation (RFC 5737), names are
// of example.com, key ids end in EXAMPLE. The same program writes the same events every time; the events of a file are
// in the order of their times.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	dir := "examples"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	for _, f := range files() {
		path := filepath.Join(dir, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, f.bytes, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// file is one delivery, with the path below the folder of examples.
type file struct {
	path  string
	bytes []byte
}

// files makes all deliveries. Each provider draws from its own random numbers, so that a change of one leaves the
// others alone.
func files() (all []file) {
	for i, provider := range []func(*day) []file{aws, azure, gcp} {
		all = append(all, provider(&day{rand.New(rand.NewPCG(2026, uint64(i)))})...)
	}
	return all
}

// day is the source of everything that varies.
type day struct{ *rand.Rand }

// at is a moment of the day, in UTC, within a minute after hour and minute.
func (d *day) at(hour, minute int) time.Time {
	return time.Date(2026, 10, 1, hour, minute, d.IntN(60), d.IntN(1e9), time.UTC)
}

// between spreads n moments over hours of the day, in order.
func (d *day) between(from, to, n int) []time.Time {
	ts := make([]time.Time, n)
	for i := range ts {
		ts[i] = d.at(from+d.IntN(to-from), d.IntN(60))
	}
	slices.SortFunc(ts, time.Time.Compare)
	return ts
}

func (d *day) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[d.IntN(16)]
	}
	return string(b)
}

// uuid is a version 4 UUID.
func (d *day) uuid() string {
	return fmt.Sprintf("%s-%s-4%s-%c%s-%s", d.hex(8), d.hex(4), d.hex(3), "89ab"[d.IntN(4)], d.hex(3), d.hex(12))
}

func (d *day) upper(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[d.IntN(32)]
	}
	return string(b)
}

func pick[T any](d *day, from []T) T { return from[d.IntN(len(from))] }

// obj is a JSON object whose members keep their order: name, value, name, value, …
type obj []any

// MarshalJSON implements json.Marshaler.
func (o obj) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i < len(o); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(o[i]))
		b.WriteByte(':')
		b.Write(encode(o[i+1]))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode is compact and leaves < > & as the providers do.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		log.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// timed is a record with the moment that orders it.
type timed struct {
	time   time.Time
	record obj
}

func ordered(ts []timed) []obj {
	slices.SortStableFunc(ts, func(a, b timed) int { return a.time.Compare(b.time) })
	out := make([]obj, len(ts))
	for i, t := range ts {
		out[i] = t.record
	}
	return out
}

func lines(records []obj, end string) []byte {
	var b bytes.Buffer
	for _, r := range records {
		b.Write(encode(r))
		b.WriteString(end)
	}
	return b.Bytes()
}

func zipped(plain []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a valid one
	_, _ = w.Write(plain)                                 // to a buffer
	_ = w.Close()
	return b.Bytes()
}
