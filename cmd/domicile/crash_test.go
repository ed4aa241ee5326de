package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile.dev/domicile/internal/need"
)

// The files that the crash tests feed: three providers, two cells, a quarantined record.
var crashFeed = []string{"azure", "gcp"}

func feed(t *testing.T) (paths []string) {
	for _, p := range crashFeed {
		paths = append(paths, filepath.Join(need.Root(t), "examples", p))
	}
	return paths
}

// killed reports whether the program ended by SIGKILL, as at a crash point.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// steps are the commands whose crashes are tried, one after the other.
func (w *world) steps(moved string) [][]string {
	return [][]string{
		{"init", "--jurisdiction", "eu", "--jurisdiction", "us"},
		append([]string{"ingest"}, feed(w.t)...),
		{"log", "move", moved},
	}
}

// points runs a step to its end and returns the crash points that it passes, each once.
func (w *world) points(step []string) (names []string) {
	list := filepath.Join(w.t.TempDir(), "points")
	out, err := w.domicile([]string{"DOMICILE_CRASH_LIST=" + list}, step...)
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", step, err, out)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		w.t.Fatal(err)
	}
	for name := range strings.Lines(string(text)) {
		if name = strings.TrimSpace(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// TestCrashPoints kills the program at every named point of init, ingest and move: before and after each durable step.
// Afterwards the same command completes the work, every event has one leaf, and the logs verify in full.
func TestCrashPoints(t *testing.T) {
	program, verify := build(t, "domicile", "crashpoints"), build(t, "domicile-verify")
	learn := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	moved := filepath.Join(t.TempDir(), "moved")
	var table [][]string // by step
	for _, step := range learn.steps(moved) {
		table = append(table, learn.points(step))
	}
	want := learn.uids(moved)
	if len(want) < 150 {
		t.Fatalf("the feed has only %d events", len(want))
	}
	for step, points := range table {
		if len(points) < 4 {
			t.Errorf("step %d passes only the crash points %v", step, points)
		}
		if testing.Short() {
			points = points[:1]
		}
		for _, point := range points {
			t.Run(point, func(t *testing.T) {
				w := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
				moved := filepath.Join(t.TempDir(), "moved")
				steps := w.steps(moved)
				for _, before := range steps[:step] {
					w.must(before...)
				}
				if out, err := w.domicile([]string{"DOMICILE_CRASH=" + point}, steps[step]...); !killed(err) {
					t.Fatalf("not killed at %s: %v\n%s", point, err, out)
				}
				for _, again := range steps[step:] {
					w.must(again...)
				}
				got := w.uids(moved)
				if len(got) != len(want) {
					t.Errorf("%d events, want %d", len(got), len(want))
				}
				for uid := range want {
					if got[uid] == "" {
						t.Errorf("event %s is lost", uid)
					}
				}
				w.verify(verify, moved)
			})
		}
	}
}

// TestKillsAtRandomMoments kills ingest whenever, again and again on one data directory, feeding the same files.
func TestKillsAtRandomMoments(t *testing.T) {
	kills := 30
	if testing.Short() {
		kills = 3
	}
	program, verify := build(t, "domicile"), build(t, "domicile-verify")
	w := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	w.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	// How long an undisturbed run takes bounds when a kill can hit.
	probe := &world{t: t, program: program, data: filepath.Join(t.TempDir(), "data")}
	probe.must("init", "--jurisdiction", "eu", "--jurisdiction", "us")
	began := time.Now()
	probe.must(append([]string{"ingest"}, feed(t)...)...)
	whole := time.Since(began)
	want := probe.uids(probe.data)

	hit := 0
	for range kills {
		var out bytes.Buffer
		cmd := exec.Command(program, append([]string{"ingest"}, feed(t)...)...)
		cmd.Env = append(os.Environ(), "DOMICILE_DATA="+w.data)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(random.Int64N(int64(whole))), func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if killed(err) {
			hit++
		} else if err != nil {
			t.Fatalf("ingest after a kill: %v\n%s", err, &out)
		}
	}
	w.must(append([]string{"ingest"}, feed(t)...)...)
	t.Logf("%d of %d runs were killed", hit, kills)
	got := w.uids(w.data)
	if len(got) != len(want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	w.verify(verify, w.data)
}
