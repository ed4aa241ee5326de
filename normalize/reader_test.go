package normalize_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"domicile.dev/domicile/normalize"
)

// readAll returns what a file holds, one line each: the form and the record, or the reason and the bytes.
func readAll(t testing.TB, r io.Reader) (lines []string) {
	t.Helper()
	reader := normalize.NewReader(r)
	for {
		raw, err := reader.Next()
		var bad *normalize.RecordError
		switch {
		case err == io.EOF:
			return lines
		case errors.As(err, &bad):
			lines = append(lines, fmt.Sprintf("! %s %s", bad.Reason, bad.Bytes))
		case err != nil:
			return append(lines, "error "+err.Error())
		default:
			lines = append(lines, fmt.Sprintf("%s %s", raw.Form, raw.Bytes))
		}
	}
}

func zip(parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(p))
		_ = z.Close()
	}
	return b.String()
}

func TestReader(t *testing.T) {
	const (
		a = `{"eventVersion":"1","eventName":"A"}`
		b = `{"eventVersion":"1","eventName":"B"}`
		c = `{"eventVersion":"1","eventName":"C"}`
		z = `{"time":"t","category":"c"}`
		g = `{"protoPayload":{"a":[1,{"b":"]}"}]},"logName":"l"}`
	)
	for _, test := range []struct {
		name, file string
		want       []string
	}{
		{"nothing", "", nil},
		{"white space", " \n\t ", nil},
		{"CloudTrail file", `{"Records":[` + a + "," + b + `]}`, []string{"cloudtrail/records " + a, "cloudtrail/records " + b}},
		{"CloudTrail file, spaced", "{ \"Records\" : [\n " + a + " ,\n " + b + "\n]\n}\n", []string{"cloudtrail/records " + a, "cloudtrail/records " + b}},
		{"gzip", zip(`{"Records":[` + a + `]}`), []string{"cloudtrail/records " + a}},
		{"gzip in parts", zip(a+"\n", b), []string{"cloudtrail/ndjson " + a, "cloudtrail/ndjson " + b}},
		{"byte order mark", "\xef\xbb\xbf" + a, []string{"cloudtrail/ndjson " + a}},
		{"empty list", `{"Records":[]}`, nil},
		{"a list a line", `{"records":[` + z + "]}\n{\"records\":[" + z + `]}`, []string{"azure-monitor/records " + z, "azure-monitor/records " + z}},
		{"members around the list", `{"@odata.context":"x","value":[` + z + `],"nextLink":{"a":["]"]}}` + a, []string{"azure-monitor/value " + z, "cloudtrail/ndjson " + a}},
		{"array", "[" + g + "," + z + "]", []string{"gcp/array " + g, "azure-monitor/array " + z}},
		{"lines", g + "\n" + z + "\r\n\n" + a + "\n", []string{"gcp/ndjson " + g, "azure-monitor/ndjson " + z, "cloudtrail/ndjson " + a}},
		{"one object on many lines", "{\n \"eventVersion\": \"1\",\n \"eventName\": \"A\"\n}\n", []string{"cloudtrail/object {\n \"eventVersion\": \"1\",\n \"eventName\": \"A\"\n}"}},
		{"no known kind", `{"x":1}`, []string{`unknown/ndjson {"x":1}`}},

		{"not JSON", "hello\nworld", []string{"! damaged hello\nworld"}},
		{"garbage before a line", "hello\n" + a, []string{"! damaged hello\n", "cloudtrail/ndjson " + a}},
		{"garbage after a list", `{"Records":[` + a + `]} garbage`, []string{"cloudtrail/records " + a, "! damaged garbage"}},
		{"a file that ends in a record", `{"Records":[` + a + `,{"eventVersion":"1","ev`, []string{"cloudtrail/records " + a, `! truncated {"eventVersion":"1","ev`}},
		{"a file that ends between records", `{"Records":[` + a + `,`, []string{"cloudtrail/records " + a, `! truncated `}},
		{"a file that ends before its end", `{"Records":[` + a + `]`, []string{"cloudtrail/records " + a, `! truncated `}},
		{"a line that was cut", a + "\n" + `{"eventVersion":"1","event` + "\n" + c, []string{"cloudtrail/ndjson " + a, `! invalid_json {"eventVersion":"1","event` + "\n", "cloudtrail/ndjson " + c}},
		{"a line that was cut outside a string", a + "\n" + `{"eventVersion":"1",` + "\n" + c + "\n" + a, []string{"cloudtrail/ndjson " + a, `! invalid_json {"eventVersion":"1",` + "\n", "cloudtrail/ndjson " + c, "cloudtrail/ndjson " + a}},
		{"the last line was cut", a + "\n" + `{"eventVersion":`, []string{"cloudtrail/ndjson " + a, `! truncated {"eventVersion":`}},
		{"a record without its end", `{"Records":[` + a + `,{"eventVersion":"1","x":{"y":1},` + c + `]}`, []string{"cloudtrail/records " + a, `! invalid_json {"eventVersion":"1","x":{"y":1},`, "cloudtrail/records " + c}},
		{"a record whose brackets do not match", `{"Records":[{"eventVersion":"1","x":[1}},` + c + `]}`, []string{`! invalid_json {"eventVersion":"1","x":[1}},`, "cloudtrail/records " + c}},
		{"elements that are no objects", `[1,"a",` + a + `]`, []string{`! damaged 1,"a",`, "cloudtrail/array " + a}},
		{"a top-level string", `"abc"` + "\n" + a, []string{"! damaged \"abc\"\n", "cloudtrail/ndjson " + a}},
		{"gzip that was cut", zip(a + "\n" + b)[:40], nil},

		{"EventBridge", `{"detail-type":"AWS API Call via CloudTrail","source":"aws.s3","detail":` + a + `}`, []string{"cloudtrail/eventbridge " + a}},
		{"EventBridge, not CloudTrail", `{"detail-type":"Tag Change","source":"aws.tag","detail":{"x":1}}`, []string{`unknown/eventbridge {"x":1}`}},
		{"EventBridge without detail", `{"detail-type":"x","source":"aws.tag","detail":{}}`, []string{`unknown/eventbridge {}`}},
		{"Pub/Sub", `{"message":{"data":"eyJsb2dOYW1lIjoibCJ9"},"subscription":"s"}`, []string{`gcp/pubsub {"logName":"l"}`}},
		{"Pub/Sub, bad base64", `{"message":{"data":"e!"},"subscription":"s"}`, []string{`! bad_envelope {"message":{"data":"e!"},"subscription":"s"}`}},
		{"Pub/Sub, empty", `{"message":{"data":"IA=="},"subscription":"s"}`, []string{`! not_an_event {"message":{"data":"IA=="},"subscription":"s"}`}},
		{"CloudWatch Logs", `{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","timestamp":1,"message":"{\"eventVersion\":\"1\",\"eventName\":\"A\"}"}]}`, []string{"cloudtrail/cloudwatch-logs " + a}},
		{"CloudWatch Logs, control message", `{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination."}]}`, nil},
		{"LookupEvents", `{"Events":[{"EventId":"1","CloudTrailEvent":"{\"eventVersion\":\"1\",\"eventName\":\"A\"}"}]}`, []string{"cloudtrail/lookup-events " + a}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strings.HasPrefix(test.name, "gzip that") {
				lines := readAll(t, strings.NewReader(test.file))
				if len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], "! truncated") {
					t.Errorf("%q", lines)
				}
				return
			}
			for how, r := range map[string]io.Reader{
				"at once": strings.NewReader(test.file), "byte by byte": iotest.OneByteReader(strings.NewReader(test.file)),
				"with the end": iotest.DataErrReader(strings.NewReader(test.file)),
			} {
				if got := readAll(t, r); strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("%s:\n%s\nwant\n%s", how, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			}
		})
	}
}

// A source that fails ends the file with its error, and nothing half-read is called a record.
func TestReaderFails(t *testing.T) {
	broken := errors.New("the disk is gone")
	got := readAll(t, io.MultiReader(strings.NewReader(`{"Records":[{"eventVersion":"1"},{"eventVersion":`), iotest.ErrReader(broken)))
	if len(got) != 2 || got[1] != "error the disk is gone" {
		t.Errorf("%q", got)
	}
}

// A record of any size is handed out, whole or in pieces, and those around it are not harmed; memory stays bounded.
func TestReaderGiant(t *testing.T) {
	const a = `{"eventVersion":"1","eventName":"A"}`
	giant := `{"eventVersion":"1","x":["` + strings.Repeat(`\"}`, 9<<20) + `"]}`
	for _, file := range []string{`{"Records":[` + a + "," + giant + "," + a + `]}`, a + "\n" + giant + "\n" + a} {
		reader := normalize.NewReader(strings.NewReader(file))
		var pieces bytes.Buffer
		records := 0
		for {
			raw, err := reader.Next()
			var bad *normalize.RecordError
			if err == io.EOF {
				break
			} else if errors.As(err, &bad) && bad.Reason == normalize.TooLarge {
				if file[bad.Offset:bad.Offset+int64(len(bad.Bytes))] != string(bad.Bytes) || len(bad.Bytes) > 17<<20 {
					t.Fatalf("piece of %d bytes at %d", len(bad.Bytes), bad.Offset)
				}
				pieces.Write(bad.Bytes)
			} else if err != nil {
				t.Fatal(err)
			} else if records++; string(raw.Bytes) != a {
				t.Errorf("record %s", first(string(raw.Bytes), 80))
			}
		}
		if records != 2 || pieces.String() != giant {
			t.Errorf("%d records, %d of %d bytes of the giant", records, pieces.Len(), len(giant))
		}
	}
}

// covered checks that what is handed out stands in the file where it is said to, in order and without overlap.
func covered(t testing.TB, file []byte) {
	t.Helper()
	if bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		return
	}
	reader := normalize.NewReader(bytes.NewReader(file))
	at := int64(0)
	for {
		raw, err := reader.Next()
		offset, part, form := raw.Offset, raw.Bytes, raw.Form
		var bad *normalize.RecordError
		if err == io.EOF {
			return
		} else if errors.As(err, &bad) {
			offset, part, form = bad.Offset, bad.Bytes, bad.Form
		} else if err != nil {
			t.Fatal(err)
		}
		if offset < at || offset > int64(len(file)) {
			t.Fatalf("%s: offset %d after %d", form, offset, at)
		}
		at = offset
		_, packing, _ := strings.Cut(form, "/")
		switch packing {
		case "eventbridge", "pubsub", "cloudwatch-logs", "awslogs", "lookup-events":
			continue // several records of one packing have its offset
		}
		if at += int64(len(part)); at > int64(len(file)) || !bytes.Equal(file[offset:at], part) {
			t.Fatalf("%s: the bytes at %d are others", form, offset)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		`{"Records":[{"eventVersion":"1"},{"eventVersion":"2"}]}`, `[{"time":"t"},{"time":"u"}]`, "{\"logName\":\"l\"}\n{\"logName\":\"m\"}\n",
		`{"detail-type":"x","detail":{"eventSource":"s","eventName":"n"}}`, `{"message":{"data":"eyJsb2dOYW1lIjoibCJ9"},"subscription":"s"}`,
		`{"awslogs":{"data":"H4sIAAAAAAAA/6pWSjFUslJQKs8vyklR0lEqS8wpTVWyMq4FBAAA//8="}}`, zip(`{"records":[{"time":"t"}]}`), `{"Records":[{"eventVersion":"1","x`,
		"\xef\xbb\xbf{}", `{"a":[}`, `{'a':1}`, "{\"a\":\"b\n{\"a\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		once := readAll(t, bytes.NewReader(file))
		if again := readAll(t, iotest.HalfReader(bytes.NewReader(file))); strings.Join(once, "\n") != strings.Join(again, "\n") {
			t.Fatalf("read in other pieces:\n%q\n%q", once, again)
		}
		covered(t, file)
	})
}

// Of a file that is cut anywhere, every record that is whole is handed out, and the damage is reported.
func TestReaderCutAnywhere(t *testing.T) {
	dir, _ := sampleFiles(t)
	data, err := os.ReadFile(filepath.Join(dir, "aws/s3_records/flosell-trailscraper__tests_cloudtrail_data_111111111111_CloudTrail_eu-central-1_20171211T1505Z_A6kvhMoVeCsc7v8U.json"))
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.TrimSpace(data)
	whole := normalizeAll(t, bytes.NewReader(data))
	for cut := 1; cut < len(data); cut++ {
		out := normalizeAll(t, bytes.NewReader(data[:cut]))
		if len(out) == 0 || out[len(out)-1].err == nil {
			t.Fatalf("cut at %d: the damage is not reported: %v", cut, out)
		}
		for i, o := range out[:len(out)-1] {
			if o.event == nil || !bytes.Equal(o.event.JSON, whole[i].event.JSON) {
				t.Fatalf("cut at %d: record %d is another", cut, i)
			}
		}
	}
}
