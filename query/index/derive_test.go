package index

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/ledgertest"
	"domicile.dev/domicile/ledger/log"
)

func TestTablesAreInOrder(t *testing.T) {
	for i := 1; i < len(fields); i++ {
		if fields[i-1].pointer >= fields[i].pointer {
			t.Errorf("%s stands before %s", fields[i-1].pointer, fields[i].pointer)
		}
	}
	if !slices.IsSorted(textless) {
		t.Error("the fields without text are not in ascending order")
	}
}

func derived(t testing.TB, event string) row {
	t.Helper()
	var d deriver
	var r row
	if err := d.derive(&r, ledgertest.Line("x", []byte(event))); err != nil {
		t.Fatalf("%s: %v", event, err)
	}
	return r
}

func TestDerive(t *testing.T) {
	for name, test := range map[string]struct {
		event string
		want  row
	}{
		"nothing": {`{}`, row{jurisdictions: []string{"unknown"}}},
		"a role's session": {
			`{"actor":{"user":{"name":"worker","uid":"arn:aws:sts::1:assumed-role/r/worker"}},"cloud":{"account":{"uid":"1"},"provider":"AWS","region":"eu-west-1"},"time":5}`,
			row{time: 5, provider: "aws", region: "aws:eu-west-1", account: "1", jurisdictions: []string{"unknown"}, actors: []string{"worker", "arn:aws:sts::1:assumed-role/r/worker"}},
		},
		"the name is shown, whatever comes first": {
			`{"actor":{"app_name":"Portal","user":{"email_addr":"a@example.com","name":"Anna","uid":"7"}}}`,
			row{jurisdictions: []string{"unknown"}, actors: []string{"Anna", "a@example.com", "7"}},
		},
		"an app": {`{"actor":{"app_name":"Portal"}}`, row{jurisdictions: []string{"unknown"}, actors: []string{"Portal"}}},
		"the user of a sign-in, once": {
			`{"actor":{"user":{"name":"anna","uid":"7"}},"user":{"name":"anna","uid":"8"}}`,
			row{jurisdictions: []string{"unknown"}, actors: []string{"anna", "7", "8"}},
		},
		"no region": {`{"cloud":{"provider":"GCP"}}`, row{provider: "gcp", region: "gcp:unknown", jurisdictions: []string{"unknown"}}},
		"residency": {
			`{"cloud":{"provider":"Azure"},"enrichments":[{"data":{"flag":"x"},"name":"a","type":"quality","value":"x"},{"data":{"countries":["NL"],"jurisdictions":["eu","uk"],"region":"azure:westeurope"},"name":"cloud.region","type":"residency","value":"x"}]}`,
			row{provider: "azure", region: "azure:westeurope", jurisdictions: []string{"eu", "uk"}},
		},
		"resources": {
			`{"resources":[{"name":"n","uid":"u"},{"uid":"u"},{"type":"t"},7,{"name":{"uid":"deep"}}]}`,
			row{jurisdictions: []string{"unknown"}, resources: []string{"n", "u"}},
		},
		"a service as the source":   {`{"src_endpoint":{"svc_name":"s3.amazonaws.com"}}`, row{jurisdictions: []string{"unknown"}, srcIP: "s3.amazonaws.com"}},
		"an address before a name":  {`{"src_endpoint":{"ip":"192.0.2.1","name":"n"}}`, row{jurisdictions: []string{"unknown"}, srcIP: "192.0.2.1"}},
		"other types than expected": {`{"activity_id":"4","class_uid":1.5,"status":7,"time":"now"}`, row{jurisdictions: []string{"unknown"}}},
		"escapes":                   {`{"status":"a\"b\\c\u00e9\n"}`, row{jurisdictions: []string{"unknown"}, status: "a\"b\\cé\n"}},
		"too long": {
			`{"status":"` + strings.Repeat("é", maxValue) + `x"}`,
			row{jurisdictions: []string{"unknown"}, status: strings.Repeat("é", maxValue/2)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := derived(t, test.event)
			got.record, got.text, got.uidKey, got.content = "", "", key{}, key{}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("derived\n%+v\nwant\n%+v", got, test.want)
			}
		})
	}
}

func TestDeriveRefusesWhatIsNoRecord(t *testing.T) {
	good := ledgertest.Line("x", []byte(`{"a":1}`))
	var d deriver
	for _, line := range [][]byte{nil, {}, []byte("{}"), good[:len(good)-1], good[1:], bytes.Replace(good, []byte(`{"a":1}`), []byte(`{"b":1,"a":1}`), 1), bytes.Replace(good, []byte("event"), []byte("evént"), 1)} {
		if err := d.derive(new(row), line); err == nil {
			t.Errorf("%q became a row", line)
		}
	}
}

func TestText(t *testing.T) {
	r := derived(t, `{"actor":{"user":{"name":"Ann Über","uid":"ann über"}},"api":{"operation":"GetIt","request":{"data":{"Key":"GETIT","List":[1,-2.5E3,true,null,"x\"y",{"Deep":""}]}}},`+
		`"class_name":"API Activity","raw_data":"never","time":5,"unmapped":{"a":{"B":false}}}`)
	if want := "ann über\ngetit\nkey\nlist\n1\n-2.5e3\nx\"y\ndeep\napi activity\na\nb\n"; r.text != want {
		t.Errorf("text %q, want %q", r.text, want)
	}
}

// TestTextHasEveryWord: a word of a searched value is found, however long the event and however often it occurs.
func TestTextOfLongEvents(t *testing.T) {
	var list []string
	for i := range 5000 {
		list = append(list, fmt.Sprintf(`"Value%d"`, i%3000))
	}
	r := derived(t, `{"unmapped":[`+strings.Join(list, ",")+`]}`)
	if n := strings.Count(r.text, "\n"); n != 3000 {
		t.Errorf("%d values, want 3000", n)
	}
	for i := range 3000 {
		if !strings.Contains("\n"+r.text, fmt.Sprintf("\nvalue%d\n", i)) {
			t.Fatalf("value%d is missing", i)
		}
	}
}

func TestHashOfLeaves(t *testing.T) {
	x := newIndex(t)
	var sum, whole uint64
	if err := x.conn.QueryRow(t.Context(), "SELECT sum(intHash64(number + 1000000007)), intHash64(18446744073709551615) FROM numbers(1000)").Scan(&sum, &whole); err != nil {
		t.Fatal(err)
	}
	if sum != hashSum(1000000007, 1000001007) || whole != intHash64(1<<64-1) {
		t.Error("intHash64 is not ClickHouse's")
	}
}

func TestJudge(t *testing.T) {
	full := func(n uint64) bucket {
		return bucket{n, bucketLeaves, hashSum(n*bucketLeaves, (n+1)*bucketLeaves), (n+1)*bucketLeaves - 1}
	}
	first := func(n, rows uint64) bucket {
		return bucket{n, rows, hashSum(n*bucketLeaves, n*bucketLeaves+rows), n*bucketLeaves + rows - 1}
	}
	lacking := full(1)
	lacking.rows--
	exchanged := full(1)
	exchanged.sum++
	for name, test := range map[string]struct {
		buckets []bucket
		want    coverage
	}{
		"nothing":            {nil, coverage{}},
		"whole":              {[]bucket{full(0), first(1, 10)}, coverage{size: bucketLeaves + 10}},
		"full":               {[]bucket{full(0), full(1)}, coverage{size: 2 * bucketLeaves}},
		"one row is missing": {[]bucket{full(0), lacking, first(2, 5)}, coverage{2*bucketLeaves + 5, []span{{bucketLeaves, 2 * bucketLeaves}}}},
		"one for another":    {[]bucket{full(0), exchanged, first(2, 5)}, coverage{2*bucketLeaves + 5, []span{{bucketLeaves, 2 * bucketLeaves}}}},
		"a gap":              {[]bucket{full(0), first(2, 5)}, coverage{2*bucketLeaves + 5, []span{{bucketLeaves, 2 * bucketLeaves}}}},
		"a gap at the start": {[]bucket{full(3)}, coverage{4 * bucketLeaves, []span{{0, 3 * bucketLeaves}}}},
		"a short bucket":     {[]bucket{first(0, 5), full(1)}, coverage{2 * bucketLeaves, []span{{0, bucketLeaves}}}},
		"side by side":       {[]bucket{first(0, 5), lacking}, coverage{2 * bucketLeaves, []span{{0, 2 * bucketLeaves}}}},
	} {
		if got := judge(test.buckets); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// FuzzDerive: whatever is in a record, its row holds nothing that a table or an answer could not.
func FuzzDerive(f *testing.F) {
	for i := range 5 {
		f.Add(call(i).json)
		f.Add(ledgertest.Event(i))
	}
	f.Add([]byte(`{"enrichments":[{"data":{"jurisdictions":7,"region":[]},"type":"residency"}],"resources":[[],{"uid":"\ud800"}],"unmapped":[1e5,"\u0000"]}`))
	f.Fuzz(func(t *testing.T, event []byte) {
		line := ledgertest.Line("x", event)
		rec, err := ledger.ParseRecord(line)
		var d deriver
		var first, second row
		if got := d.derive(&first, line); (got == nil) != (err == nil) {
			t.Fatalf("derived: %v, parsed: %v", got, err)
		}
		if err != nil {
			return
		}
		if err := d.derive(&second, line); err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("derived twice: %v\n%+v\n%+v", err, first, second)
		}
		if uid, content, err := log.Keys(rec); err == nil && (first.uidKey != uid || first.content != content) {
			t.Error("the look-up would know the event by other keys than the ledger")
		}
		for _, s := range slices.Concat([]string{first.uid, first.region, first.provider, first.account, first.className, first.activityName,
			first.service, first.operation, first.status, first.srcIP}, first.jurisdictions, first.actors, first.resources) {
			if len(s) > maxValue || !utf8.ValidString(s) {
				t.Errorf("value %q", s)
			}
		}
		if !utf8.ValidString(first.text) {
			t.Errorf("text %q", first.text)
		}
	})
}

// FuzzFreeText: whatever is asked for either cannot be asked or becomes patterns that are valid.
func FuzzFreeText(f *testing.F) {
	for _, s := range append(hostile, "a b", "10.0.0.4", "(?i)[", "é*") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if (&Filter{Text: text}).Check() != nil {
			return
		}
		for _, term := range strings.FieldsFunc(lower(text), unicode.IsSpace) {
			re, err := regexp.Compile(termPattern(term))
			if err != nil || !re.MatchString(term) {
				t.Errorf("term %q: %v", term, err)
			}
			for _, w := range wordsOf(term) {
				if !strings.Contains(term, w) || strings.ContainsFunc(w, func(r rune) bool { return r < utf8.RuneSelf && !wordByte(byte(r)) }) {
					t.Errorf("word %q of term %q", w, term)
				}
			}
		}
	})
}
