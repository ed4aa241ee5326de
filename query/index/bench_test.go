package index

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/normalize"
)

// traffic is API calls as CloudTrail delivers them, spread over a month and over as many accounts, services, operations
// and callers as a company of some size has.
type traffic struct {
	normalized []byte
	places     *normalize.Places
}

var trafficCalls = []struct {
	service, operation string
	readOnly           bool
}{
	{"s3", "GetObject", true}, {"s3", "PutObject", false}, {"s3", "ListObjects", true}, {"kms", "Decrypt", true}, {"kms", "GenerateDataKey", true},
	{"sts", "AssumeRole", true}, {"ec2", "DescribeInstances", true}, {"ec2", "RunInstances", false}, {"ec2", "TerminateInstances", false},
	{"logs", "CreateLogStream", false}, {"logs", "PutLogEvents", false}, {"dynamodb", "GetItem", true}, {"lambda", "Invoke", false},
	{"iam", "ListRoles", true}, {"iam", "CreateUser", false}, {"iam", "AttachRolePolicy", false}, {"rds", "CreateDBSnapshot", false},
	{"secretsmanager", "GetSecretValue", true}, {"ssm", "GetParameter", true}, {"cloudformation", "DescribeStacks", true},
}

var trafficRegions = []string{"eu-central-1", "eu-central-1", "eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1"}

// line is the record line of call n.
func (tr *traffic) line(t testing.TB, n int) (line []byte, e normalize.Event) {
	if tr.places == nil {
		tr.places = normalize.DefaultPlaces()
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	pick := func(i, of int) int { return int(binary.BigEndian.Uint32(sum[i:]) % uint32(of)) }
	// Small numbers are more frequent than great ones.
	few := func(i, of int) int { return pick(i, pick(i+1, of)+1) }
	call := trafficCalls[few(0, len(trafficCalls))]
	account := fmt.Sprintf("%012d", 111122223333+few(4, 40)*1001)
	user := few(8, 400)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 259 * time.Millisecond) // 10 M in a month
	identity := fmt.Sprintf(`{"type":"IAMUser","principalId":"AIDAEXAMPLE%08d","arn":"arn:aws:iam::%s:user/analyst%d","accountId":"%s","accessKeyId":"AKIAEXAMPLE%05d","userName":"analyst%d"}`,
		user, account, user, account, user, user)
	if user%3 == 0 {
		identity = fmt.Sprintf(`{"type":"AssumedRole","principalId":"AROAEXAMPLE:worker-%d","arn":"arn:aws:sts::%s:assumed-role/worker/worker-%x","accountId":"%s","accessKeyId":"ASIAEXAMPLE%05d",`+
			`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::%s:role/worker","accountId":"%s","userName":"worker"},"attributes":{"creationDate":"%s","mfaAuthenticated":"false"}}}`,
			user, account, sum[20:23], account, user, account, account, at.Add(-time.Hour).Format(time.RFC3339))
	}
	failure := ""
	if pick(12, 20) == 0 {
		failure = `"errorCode":"AccessDenied","errorMessage":"User is not authorized to perform this action",`
	}
	raw := fmt.Appendf(nil, `{"eventVersion":"1.11","userIdentity":%s,"eventTime":"%s","eventSource":"%s.amazonaws.com","eventName":"%s","awsRegion":"%s","sourceIPAddress":"192.0.2.%d",%s`+
		`"userAgent":"[aws-sdk-go-v2/1.32.0 os/linux lang/go#1.24]","requestParameters":{"bucketName":"example-reports-%d","Host":"example-reports.s3.eu-central-1.amazonaws.com","key":"2026/%02d/part-%09d.parquet"},"responseElements":null,`+
		`"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","bytesTransferredOut":%d},`+
		`"requestID":"%X","eventID":"%x-%x-%x-%x-%x","readOnly":%t,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::example-reports-%d/2026/%02d/part-%09d.parquet"},{"accountId":"%s","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::example-reports-%d"}],`+
		`"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"%s","eventCategory":"Data"}`,
		identity, at.Format(time.RFC3339), call.service, call.operation, trafficRegions[pick(16, len(trafficRegions))], pick(18, 250), failure,
		few(9, 50), n%12+1, n, n%1000*512, sum[:8], sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16], call.readOnly, few(9, 50), n%12+1, n, account, few(9, 50), account)
	e, grown, err := normalize.Append(tr.normalized[:0], normalize.Raw{Bytes: raw, Form: "cloudtrail/records", Provider: "aws"}, normalize.Options{Places: tr.places})
	if err != nil {
		t.Fatal(err)
	}
	tr.normalized = grown
	return ledger.AppendRecord(make([]byte, 0, len(e.JSON)+ledger.RecordOverhead), &sum, e.JSON), e
}

// trafficBatch is the rows of calls [first, first+n).
func (tr *traffic) batch(t testing.TB, first, n int) *batch {
	d := new(deriver)
	b := &batch{origin: origin(0), from: uint64(first), next: uint64(first + n), first: uint64(first), size: uint64(first + n)}
	for i := range n {
		line, _ := tr.line(t, first+i)
		row := row{index: uint64(first + i)}
		if err := d.derive(&row, b.keep(line)); err != nil {
			t.Fatal(err)
		}
		b.add(&row)
	}
	return b
}

// BenchmarkDerive is a record line becoming a row of a batch.
func BenchmarkDerive(b *testing.B) {
	tr := new(traffic)
	lines := make([][]byte, 2000)
	bytes := 0
	for i := range lines {
		lines[i], _ = tr.line(b, i)
		bytes += len(lines[i])
	}
	d := new(deriver)
	into := &batch{origin: origin(0)}
	used := cpu()
	b.SetBytes(int64(bytes / len(lines)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		row := row{index: uint64(n)}
		if err := d.derive(&row, into.keep(lines[n%len(lines)])); err != nil {
			b.Fatal(err)
		}
		into.add(&row)
		if n++; into.rows() == batchRows {
			into = &batch{origin: origin(0)}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(n), "cpu-ns/row")
}

// cpu is the time that this process has used of all processors: on a machine that does other things as well it says more
// than the clock.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkInsert is batches going into the tables of a real engine, whose merges go on meanwhile.
func BenchmarkInsert(b *testing.B) {
	for _, into := range append([][]*table{tables}, []*table{recordTable}, []*table{uidTable}, []*table{eventTable}) {
		name := "all"
		if len(into) == 1 {
			name = into[0].name
		}
		b.Run(name, func(b *testing.B) {
			x := newIndex(b)
			tr := new(traffic)
			before := x.engineCPU(b)
			var used time.Duration
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				next := tr.batch(b, rows, batchRows/4)
				b.StartTimer()
				begin := cpu()
				for _, t := range into {
					if _, err := x.insert(b.Context(), t, next, next.token(t.name, 0)); err != nil {
						b.Fatal(err)
					}
				}
				used += cpu() - begin
				rows += next.rows()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(used.Nanoseconds())/float64(rows), "cpu-ns/row")
			b.ReportMetric(float64((x.engineCPU(b)-before).Nanoseconds())/float64(rows), "engine-cpu-ns/row")
		})
	}
}

// BenchmarkCatchUp is a log of 64 Ki events becoming rows: payloads read, decrypted and decompressed, rows derived and
// inserted.
func BenchmarkCatchUp(b *testing.B) {
	const events = 64 << 10
	c := newCell(b, 1)
	tr := new(traffic)
	for i := 0; i < events; i += 4096 {
		some := make([]event, 4096)
		for j := range some {
			line, e := tr.line(b, i+j)
			json, _ := cutRecord(line)
			some[j] = event{uid: e.UID, region: e.Region, time: e.Time, json: json}
		}
		c.append(0, some...)
	}
	var used, engine time.Duration
	rows := 0
	for b.Loop() {
		b.StopTimer()
		x := newIndex(b)
		mine, its := cpu(), x.engineCPU(b)
		b.StartTimer()
		c.catchUp(x)
		b.StopTimer()
		used += cpu() - mine
		engine += x.engineCPU(b) - its
		rows += events
		b.StartTimer()
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(rows), "cpu-ns/row")
	b.ReportMetric(float64(engine.Nanoseconds())/float64(rows), "engine-cpu-ns/row")
}

// benchRows is the environment variable that says how many events BenchmarkQuestions asks about; 10000000 takes half an
// hour and 10 GB.
const benchRows = "DOMICILE_BENCH_ROWS"

// BenchmarkQuestions is questions about a month of events, most of them a first page of 100.
func BenchmarkQuestions(b *testing.B) {
	rows := 100_000
	if s := os.Getenv(benchRows); s != "" {
		var err error
		if rows, err = strconv.Atoi(s); err != nil {
			b.Fatalf("%s: %v", benchRows, err)
		}
	}
	x := newIndex(b)
	tr := new(traffic)
	for i := 0; i < rows; i += 8192 {
		next := tr.batch(b, i, min(8192, rows-i))
		for _, t := range tables {
			if _, err := x.insert(b.Context(), t, next, next.token(t.name, 0)); err != nil {
				b.Fatal(err)
			}
		}
	}
	x.setState(origin(0), func(s *FeedState) { s.Commits = math.MaxUint64 })
	random := rand.New(rand.NewPCG(1, 2))
	some := func() *row { // any of the events, so that frequent values are asked for frequently
		line, _ := tr.line(b, random.IntN(rows))
		r := new(row)
		if err := new(deriver).derive(r, line); err != nil {
			b.Fatal(err)
		}
		return r
	}
	month := func(text string, equal ...string) Filter {
		f := Filter{From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Text: text, Equal: map[Column][]string{}}
		for i := 0; i < len(equal); i += 2 {
			f.Equal[Column(equal[i])] = []string{equal[i+1]}
		}
		return f
	}
	page := Page{Limit: 100, Within: map[string]uint64{origin(0): uint64(rows)}}
	search := func(f Filter) error { _, err := x.Search(b.Context(), f, page); return err }
	stats := func(f Filter, every time.Duration, by ...Column) error {
		_, _, err := x.Stats(b.Context(), f, Grouping{By: by, Every: every, Limit: MaxGroups, Within: page.Within})
		return err
	}
	for _, q := range []struct {
		name string
		ask  func(r *row) error
	}{
		{"newest", func(*row) error { return search(month("")) }},
		{"account+operation", func(r *row) error { return search(month("", "account", r.account, "operation", r.operation)) }},
		{"account+operation+frequent_word", func(r *row) error {
			return search(month("AccessDenied", "account", r.account, "operation", r.operation))
		}},
		{"account+operation+rare_word", func(r *row) error {
			return search(month(fmt.Sprintf("%09d", random.IntN(rows)), "account", r.account, "operation", r.operation))
		}},
		{"frequent_word", func(*row) error { return search(month("AccessDenied")) }},
		{"rare_word", func(*row) error { return search(month(fmt.Sprintf("%09d", random.IntN(rows)))) }},
		{"three_frequent_words", func(*row) error { return search(month("AccessDenied CreateUser analyst17")) }},
		{"actor", func(r *row) error { return search(month("", "actor", r.actors[0])) }},
		{"src_ip+status", func(r *row) error { return search(month("", "src_ip", r.srcIP, "status", "failure")) }},
		{"uid", func(r *row) error { _, err := x.ByUID(b.Context(), r.uid); return err }},
		{"leaf", func(*row) error { _, _, err := x.At(b.Context(), origin(0), uint64(random.IntN(rows))); return err }},
		{"lookup_of_8192", func(*row) error {
			uids := make([]key, 8192)
			for i := range uids {
				uids[i] = log.UIDKey(fmt.Sprint(random.Int()))
			}
			_, err := x.Find(b.Context(), origin(0), 0, uids)
			return err
		}},
		{"count_by_day_and_region", func(*row) error { return stats(month(""), 24*time.Hour, Region) }},
		{"count_by_operation", func(*row) error { return stats(month(""), 0, Operation) }},
		{"count_by_actor", func(*row) error { return stats(month(""), 0, Actor) }},
		{"count_of_a_word", func(*row) error { return stats(month("AccessDenied"), 0) }},
	} {
		b.Run(q.name, func(b *testing.B) {
			var took []time.Duration
			engine := x.engineCPU(b)
			for b.Loop() {
				r := some()
				begin := time.Now()
				if err := q.ask(r); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64((x.engineCPU(b)-engine).Microseconds())/1000/float64(len(took)), "engine-cpu-ms")
		})
	}
}

// engineCPU is the time that the engine has used of all processors.
func (x *Index) engineCPU(b *testing.B) time.Duration {
	var used int64
	const query = "SELECT toInt64(value) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'"
	if err := x.conn.QueryRow(b.Context(), query).Scan(&used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used) * time.Microsecond
}
