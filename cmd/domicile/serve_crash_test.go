package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/query/engine/enginetest"
)

// searching makes the embedded engine available to a program that a test starts: variables for its environment.
func searching(t *testing.T) []string {
	t.Helper()
	p := enginetest.Program(t)
	env := []string{"PATH=" + filepath.Dir(p.Path) + string(os.PathListSeparator) + os.Getenv("PATH")}
	if p.Library != "" {
		env = append(env, "DOMICILE_LIBCHDB="+p.Library)
	}
	return env
}

// aServer is a domicile serve that a test started, on any free port.
type aServer struct {
	w    *world
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan error
}

// serve starts a server and waits until it takes commands, or ends.
func (w *world) serve(env ...string) *aServer {
	w.t.Helper()
	s := &aServer{w: w, done: make(chan error, 1)}
	s.cmd = exec.Command(w.program, "serve", "--listen", "127.0.0.1:0")
	s.cmd.Env = append(append(os.Environ(), "DOMICILE_DATA="+w.data), env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	os.Remove(socketPath(w.data))
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	w.t.Cleanup(func() { s.cmd.Process.Kill() })
	for !servedElsewhere(w.t.Context(), w.data) {
		select {
		case err := <-s.done:
			s.done <- err
			return s
		case <-time.After(10 * time.Millisecond):
		}
	}
	return s
}

// stop ends the server in order.
func (s *aServer) stop() {
	s.w.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.done; err != nil {
		s.w.t.Fatalf("the server did not end in order: %v\n%s", err, &s.out)
	}
}

// engine is the id of the server's engine, 0 while there is none.
func (s *aServer) engine() int {
	processes, _ := fs.Glob(os.DirFS("/proc"), "[0-9]*/stat")
	for _, name := range processes {
		stat, err := os.ReadFile("/proc/" + name)
		if err != nil {
			continue
		}
		// pid (name) state ppid …, and the name may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(s.cmd.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Dir(name))
			return pid
		}
	}
	return 0
}

// whole holds that every event of want has one leaf and one row, and that the index says what the ledger says.
func (w *world) whole(env []string, want map[string]string) {
	w.t.Helper()
	out, err := w.domicile(env, "index", "audit")
	if err != nil || strings.Count(out, "every row is what the ledger says") != 2 {
		w.t.Errorf("index audit: %v\n%s", err, out)
	}
	got := w.uids(w.data)
	if len(got) != len(want) {
		w.t.Errorf("%d events, want %d", len(got), len(want))
	}
	for uid := range want {
		if got[uid] == "" {
			w.t.Errorf("event %s is lost", uid)
		}
	}
	out, err = w.domicile(env, "stats", "--json")
	if err != nil || !strings.Contains(out, fmt.Sprintf(`"count":%d}`, len(want))) {
		w.t.Errorf("stats: %v, want %d rows\n%s", err, len(want), out)
	}
}

// wanted is what the events of the feed become, undisturbed.
func wanted(t *testing.T, program string) map[string]string {
	probe := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	probe.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	probe.must(append([]string{"ingest"}, feed(t)...)...)
	return probe.uids(probe.data)
}

// TestServerKilledAtPoints kills the server where only a server comes by: around the rows of its index and the reports
// of its gateway. Afterwards there is one leaf and one row for each event.
func TestServerKilledAtPoints(t *testing.T) {
	env := searching(t)
	program := build(t, "domicile", "crashpoints")
	want := wanted(t, program)

	learn := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	learn.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	known := learn.points(append([]string{"ingest"}, feed(t)...))
	list := filepath.Join(t.TempDir(), "points")
	learn.data = filepath.Join(t.TempDir(), "data")
	learn.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	s := learn.serve(append(env, "DOMICILE_CRASH_LIST="+list)...)
	session := func(w *world) (out string, err error) {
		out, err = w.domicile(nil, append([]string{"ingest"}, feed(t)...)...)
		if err == nil {
			out, err = w.domicile(nil, "events", "-n", "2")
		}
		return out, err
	}
	if out, err := session(learn); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &s.out)
	}
	s.stop()
	learn.whole(env, want)
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, name := range strings.Fields(string(text)) {
		if !slices.Contains(known, name) && !slices.Contains(points, name) {
			points = append(points, name)
		}
	}
	if len(points) < 2 {
		t.Errorf("a server passes only these crash points of its own: %v", points)
	}
	if testing.Short() {
		points = points[:min(1, len(points))]
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			w := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
			w.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
			s := w.serve(append(env, "DOMICILE_CRASH="+point)...)
			_, _ = session(w)
			select {
			case err := <-s.done:
				if !killed(err) {
					t.Fatalf("not killed at %s: %v\n%s", point, err, &s.out)
				}
			case <-time.After(time.Minute):
				t.Fatalf("not killed at %s\n%s", point, &s.out)
			}
			s = w.serve(env...)
			if out, err := session(w); err != nil {
				t.Errorf("after the kill: %v\n%s\n%s", err, out, &s.out)
			}
			s.stop()
			w.whole(env, want)
		})
	}
}

// TestServerAndEngineKilledAtRandomMoments kills the server, or its engine, while files are fed through it, each time
// other ones, and feeds them again.
func TestServerAndEngineKilledAtRandomMoments(t *testing.T) {
	kills := 6
	switch {
	case testing.Short():
		kills = 2
	case os.Getenv(need.LongVariable) == "1":
		kills = 30 // five seconds each
	}
	const records = 1500 // of a round
	env := searching(t)
	program, verify := build(t, "domicile"), build(t, "domicile-verify")
	files, at := filepath.Join(t.TempDir(), "files"), time.Now().Add(-time.Hour)
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	round := func(n int) string {
		name := filepath.Join(files, strconv.Itoa(n))
		if _, err := writeCloudTrail(name, n*records, records, at); err != nil {
			t.Fatal(err)
		}
		return name
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	w := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	w.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	s := w.serve(env...)
	began := time.Now()
	w.must("ingest", round(0))
	whole := time.Since(began) // of an undisturbed round bounds when a kill can hit
	servers, engines := 0, 0
	for n := 1; servers+engines < kills && n < 50*kills; n++ {
		name := round(n)
		fed := time.Now()
		victim, struck := s.cmd.Process.Pid, make(chan struct{})
		timer := time.AfterFunc(time.Duration(random.Int64N(int64(whole))), func() {
			defer close(struck)
			if pid := s.engine(); n%3 == 0 && pid != 0 {
				victim = pid
			}
			syscall.Kill(victim, syscall.SIGKILL)
		})
		out, err := w.domicile(nil, "ingest", name)
		if timer.Stop() {
			whole = min(whole, time.Since(fed)) // it was quicker: the first round had a cold start
			continue
		}
		<-struck
		if victim != s.cmd.Process.Pid {
			engines++
			if err != nil {
				t.Fatalf("ingest without an engine: %v\n%s\n%s", err, out, &s.out)
			}
			continue
		}
		servers++
		if ended := <-s.done; !killed(ended) {
			t.Fatalf("the server ended by itself: %v\n%s", ended, &s.out)
		}
		s = w.serve(env...)
		w.must("ingest", name)
	}
	t.Logf("%d servers and %d engines killed", servers, engines)
	if servers+engines < kills {
		t.Errorf("want %d kills", kills)
	}
	s.stop()

	probe := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	probe.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	probe.must("ingest", files)
	w.whole(env, probe.uids(probe.data))
	w.verify(verify, w.data)
}
