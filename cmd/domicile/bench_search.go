package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"domicile.dev/domicile/ledger/log"
	"domicile.dev/domicile/query/api"
)

// searchable measures files until they can be found: fed through a server that indexes beside it.
func (cmd *benchCmd) searchable(g *global, dir string, result *figures) error {
	for round := range cmd.Rounds {
		fmt.Fprintf(g.err, "round %d of %d\n", round+1, cmd.Rounds)
		files := fmt.Sprintf("%s/found-files-%d", dir, round)
		if _, err := writeCloudTrail(files, round*cmd.Events, cmd.Events, time.Now()); err != nil {
			return err
		}
		data, err := cmd.newData(g, dir, fmt.Sprintf("found-%d", round))
		if err != nil {
			return err
		}
		err = dataFlag{Data: data}.with(g, func(d *dataDir) error {
			s, err := cmd.searchServer(g, d)
			if err != nil {
				return err
			}
			runtime.GC()
			begin := time.Now()
			inside := g.quiet()
			inside.served = d
			fed := ingestCmd{dataFlag: dataFlag{Data: data}, Paths: []string{files}}
			if err := fed.Run(inside); err != nil {
				return err
			}
			if err := s.search.caughtUp(g.ctx, func(_, _ uint64) {}); err != nil {
				return err
			}
			result.add("CloudTrail files (gzip) to provable and found", "events/s", float64(cmd.Events)/time.Since(begin).Seconds())
			memory(s, result)
			return nil
		})
		if err := errors.Join(err, os.RemoveAll(files), os.RemoveAll(data)); err != nil {
			return err
		}
	}
	return nil
}

// searchServer is a server whose index is up.
func (cmd *benchCmd) searchServer(g *global, d *dataDir) (*server, error) {
	s, err := newServer(g.ctx, d)
	if err != nil {
		return nil, err
	}
	return s, s.search.caughtUp(g.ctx, func(_, _ uint64) {})
}

// memory adds what server and engine have resident.
func memory(s *server, result *figures) {
	for name, pid := range map[string]int{"memory of the server": os.Getpid(), "memory of the engine": s.search.engine.PID()} {
		if bytes, ok := resident(pid); ok {
			result.add(name, "MB resident", float64(bytes)/1e6)
		}
	}
}

// resident is the resident memory of a process, where the system tells.
func resident(pid int) (bytes int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// What the events of a large log differ in.
const (
	benchDays       = 30
	benchAccounts   = 40
	benchOperations = 60
	benchActors     = 400
	benchQuestions  = 100 // of each kind
)

var benchRegions = []string{"eu-central-1", "eu-west-1", "eu-north-1"}

// apiCall is an event of about a kilobyte in a month of API calls: a few accounts and operations are busy, most are not.
func apiCall(source log.Source, n int, from time.Time, random *rand.Rand) log.Message {
	skewed := func(most int) int { return int(float64(most) * random.Float64() * random.Float64()) }
	account, operation, actor := skewed(benchAccounts), skewed(benchOperations), skewed(benchActors)
	region := benchRegions[skewed(len(benchRegions))]
	at := from.Add(time.Duration(n) * time.Millisecond).UnixMilli()
	uid := benchUID(n)
	event := fmt.Appendf(nil, `{"activity_id":2,"actor":{"session":{"issuer":"arn:aws:iam::%012d:role/ops"},"user":{"name":"analyst%d","type":"IAMUser","uid":"AIDAEXAMPLE%06d"}},`+
		`"api":{"operation":"Operation%d","request":{"uid":"%016x%016x"},"service":{"name":"service%d.amazonaws.com"}},"category_uid":6,"class_uid":6003,`+
		`"cloud":{"account":{"uid":"%012d"},"provider":"AWS","region":"%s"},`+
		`"metadata":{"product":{"name":"CloudTrail","vendor_name":"AWS"},"uid":"%s","version":"1.8.0"},`+
		`"raw_data":"{\"eventVersion\":\"1.08\",\"userIdentity\":{\"type\":\"IAMUser\",\"arn\":\"arn:aws:iam::%012d:user/analyst%d\"},\"eventSource\":\"service%d.amazonaws.com\",\"eventName\":\"Operation%d\",\"sourceIPAddress\":\"192.0.2.%d\",\"requestID\":\"%016x\",\"requestParameters\":{\"bucketName\":\"reports-%d\",\"key\":\"2026/%08x.parquet\"}}",`+
		`"resources":[{"uid":"arn:aws:s3:::reports-%d"}],"severity_id":1,"src_endpoint":{"ip":"192.0.2.%d"},"status":"Success","status_id":1,"time":%d,"type_uid":600302}`,
		account, actor, actor, operation, random.Uint64(), random.Uint64(), operation/4, account, region, uid,
		account, actor, operation/4, operation, n%256, random.Uint64(), n%1000, random.Uint32(), n%1000, n%256, at)
	return log.Message{Source: source, Seq: uint64(n), UID: uid, Time: at, Region: "aws:" + region, Class: "default", Event: event}
}

func benchUID(n int) string { return fmt.Sprintf("aws:bench:%010d", n) }

// ask is one kind of question, and the same straight on ClickHouse where that can answer it.
type benchAsk struct {
	name   string
	body   func(r *rand.Rand) string // of a POST; nil: it is a GET
	path   func(r *rand.Rand) string
	accept string
	sql    func(r *rand.Rand, database string) string
}

// large measures questions to a large log.
func (cmd *benchCmd) large(g *global, dir string, result *figures) error {
	data, err := cmd.newData(g, dir, "large")
	if err != nil {
		return err
	}
	return dataFlag{Data: data}.with(g, func(d *dataDir) error {
		s, err := cmd.searchServer(g, d)
		if err != nil {
			return err
		}
		to := time.Now().Truncate(time.Hour)
		from := to.AddDate(0, 0, -benchDays)
		if err := cmd.fill(g, d, s, from, to, result); err != nil {
			return err
		}
		return cmd.question(g, s, from, to, result)
	})
}

// fill appends the events and waits until they are indexed.
func (cmd *benchCmd) fill(g *global, d *dataDir, s *server, from, to time.Time, result *figures) error {
	events, err := d.cells[0].events(g.ctx, 0)
	if err != nil {
		return err
	}
	source := log.Source{Collector: collectorComponent.id, Epoch: fmt.Sprintf("%032x", 3)}
	random := rand.New(rand.NewPCG(1, 2))
	step := float64(to.Sub(from).Milliseconds()) / float64(cmd.Search)
	bar := newCountBar(g, "making events")
	begin := time.Now()
	for n := 0; n < cmd.Search; {
		batch := make([]log.Message, min(32*1024, cmd.Search-n))
		for i := range batch {
			at := from.Add(time.Duration(float64(n+i)*(step-1)) * time.Millisecond)
			batch[i] = apiCall(source, n+i, at, random)
		}
		if _, err := events.Append(g.ctx, batch, true); err != nil {
			return err
		}
		n += len(batch)
		bar.count(uint64(n), uint64(cmd.Search))
	}
	if err := events.Flush(g.ctx); err != nil {
		return err
	}
	bar.done()
	bar = newCountBar(g, "indexing")
	if err := s.search.caughtUp(g.ctx, bar.count); err != nil {
		return err
	}
	bar.done()
	result.add("API calls to provable and found", "events/s", float64(cmd.Search)/time.Since(begin).Seconds())
	return nil
}

// question asks every kind of question, each in turn with ClickHouse alone.
func (cmd *benchCmd) question(g *global, s *server, from, to time.Time, result *figures) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := api.Server(s.handler)
	go server.Serve(listener)
	defer server.Close()
	base := "http://" + listener.Addr().String()
	const database = "domicile_eu"
	drain, closeConn, err := s.search.engine.Drain()
	if err != nil {
		return err
	}
	defer closeConn()

	month := fmt.Sprintf("from=%d&to=%d", from.UnixMilli(), to.UnixMilli())
	account := func(r *rand.Rand) string { return fmt.Sprintf("%012d", r.IntN(benchAccounts*3/4)) }
	operation := func(r *rand.Rand) string { return fmt.Sprintf("Operation%d", r.IntN(benchOperations*3/4)) }
	uid := func(r *rand.Rand) string { return benchUID(r.IntN(cmd.Search)) }
	span := fmt.Sprintf("time >= %d AND time < %d", from.UnixMilli(), to.UnixMilli())
	place := func(r *rand.Rand) string {
		return fmt.Sprintf(`{"format":"tlog-proof","refs":[{"log":"bench/eu/events/0","index":%d}]}`, r.IntN(cmd.Search))
	}
	asks := []benchAsk{
		{"first page by account and operation over a month", nil, func(r *rand.Rand) string {
			return fmt.Sprintf("/v1/events?%s&account=%s&operation=%s", month, account(r), operation(r))
		}, "", func(r *rand.Rand, database string) string {
			return fmt.Sprintf("SELECT record FROM %[1]s.records WHERE (log, leaf_index) IN (SELECT log, leaf_index FROM %[1]s.events WHERE %[2]s AND account = '%[3]s' AND operation = '%[4]s' ORDER BY time DESC, log DESC, leaf_index DESC LIMIT 100)", database, span, account(r), operation(r))
		}},
		{"the same with a word of free text", nil, func(r *rand.Rand) string {
			return fmt.Sprintf("/v1/events?%s&account=%s&operation=%s&text=%s", month, account(r), operation(r), url.QueryEscape(fmt.Sprintf("reports-%d", r.IntN(1000))))
		}, "", nil},
		{"histogram over a month by day and region", nil, func(*rand.Rand) string {
			return "/v1/stats?" + month + "&by=region&every=1d"
		}, "", func(_ *rand.Rand, database string) string {
			return fmt.Sprintf("SELECT toStartOfDay(at) AS day, region, count() FROM %s.events WHERE %s GROUP BY day, region ORDER BY day, region", database, span)
		}},
		{"uid look-up", nil, func(r *rand.Rand) string { return "/v1/events/" + uid(r) }, "", nil},
		{"proof with record", nil, func(r *rand.Rand) string { return "/v1/events/" + uid(r) + "/proof" }, "application/json", nil},
		{"proof, path alone, by uid", nil, func(r *rand.Rand) string { return "/v1/events/" + uid(r) + "/proof" }, "text/plain", nil},
		{"proof, path alone, by place", place, func(*rand.Rand) string { return "/v1/proofs" }, "application/json", nil},
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, ask := range asks {
		var ours, theirs []time.Duration
		for range benchQuestions {
			took, err := timed(func() error { return ask.fetch(g.ctx, base, random) })
			if err != nil {
				return fmt.Errorf("%s: %w", ask.name, err)
			}
			ours = append(ours, took)
			if ask.sql == nil {
				continue
			}
			if took, err = timed(func() error { return drain(g.ctx, ask.sql(random, database)) }); err != nil {
				return fmt.Errorf("%s on ClickHouse: %w", ask.name, err)
			}
			theirs = append(theirs, took)
		}
		percentiles(result, ask.name, ours)
		if theirs != nil {
			percentiles(result, ask.name+", straight on ClickHouse", theirs)
		}
	}
	memory(s, result)
	return nil
}

func timed(run func() error) (time.Duration, error) {
	begin := time.Now()
	err := run()
	return time.Since(begin), err
}

// percentiles adds the median and the 99th percentile.
func percentiles(result *figures, name string, all []time.Duration) {
	slices.Sort(all)
	for _, p := range []struct {
		name string
		at   int
	}{{"p50", len(all) / 2}, {"p99", len(all) * 99 / 100}} {
		result.add(name+", "+p.name, "ms", float64(all[p.at].Microseconds())/1000)
	}
}

// fetch asks the server once.
func (ask *benchAsk) fetch(ctx context.Context, base string, random *rand.Rand) error {
	method, body := http.MethodGet, ""
	if ask.body != nil {
		method, body = http.MethodPost, ask.body(random)
	}
	request, err := http.NewRequestWithContext(ctx, method, base+ask.path(random), strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if ask.accept != "" {
		request.Header.Set("Accept", ask.accept)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", answer.Status, said)
	}
	return err
}
