package normalize_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/normalize"
)

// benchRecords returns the records of the sample files under a folder.
func benchRecords(b *testing.B, folder string) (records []normalize.Raw, size int64) {
	dir, files := sampleFiles(b)
	for _, name := range files {
		if !strings.HasPrefix(name, folder) {
			continue
		}
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range normalizeAll(b, f) {
			if o.event != nil {
				records = append(records, normalize.Raw{Bytes: o.raw, Form: o.form})
				size += int64(len(o.raw))
			}
		}
		f.Close()
	}
	return records, size
}

// BenchmarkNormalize: raw record → OCSF event, with the SHA-256 of the record.
func BenchmarkNormalize(b *testing.B) {
	for _, group := range []string{"aws/s3_records/", "azure/activity/", "gcp/activity/"} {
		name := strings.Trim(strings.ReplaceAll(group, "/", "-"), "-")
		b.Run(name+"/append", func(b *testing.B) {
			records, size := benchRecords(b, group)
			b.SetBytes(size / int64(len(records)))
			b.ReportAllocs()
			batch := make([]byte, 0, 4<<20)
			n := 0
			for b.Loop() {
				var err error
				if _, batch, err = normalize.Append(batch, records[n%len(records)], testOptions); err != nil {
					b.Fatal(err)
				}
				if len(batch) > 3<<20 {
					batch = batch[:0]
				}
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
		b.Run(name, func(b *testing.B) {
			records, size := benchRecords(b, group)
			b.SetBytes(size / int64(len(records)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := normalize.Normalize(records[n%len(records)], testOptions); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkFile: a gzip file of CloudTrail records, from its bytes to events.
func BenchmarkFile(b *testing.B) {
	dir, files := sampleFiles(b)
	var zipped [][]byte
	for _, name := range files {
		if !strings.HasPrefix(name, "aws/s3_records/") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(data)
		_ = w.Close()
		zipped = append(zipped, z.Bytes())
	}
	b.ReportAllocs()
	batch := make([]byte, 0, 16<<20)
	n := 0
	for b.Loop() {
		for _, z := range zipped {
			batch := batch[:0]
			r := normalize.NewReader(bytes.NewReader(z))
			for {
				raw, err := r.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					b.Fatal(err)
				}
				if _, batch, err = normalize.Append(batch, raw, testOptions); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
