package log

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/ledger/store"
)

// victimVariable makes the test binary a process that writes to the cell in the folder it names, and dies there if the
// test wants it to: by a kill, or at a crash point if it was built with them.
const victimVariable = "DOMICILE_LOG_TEST_VICTIM"

// victimFeed is what a victim sends: two classes, repeats, another event of a uid that is taken, and enough to fill a
// tile. It sends all of it whenever it is started.
func victimFeed() (batches [][]Message) {
	first := some(0, 100, day)
	second := some(100, 160, day)
	for i := range second {
		if i%3 == 0 {
			second[i].Class = "long"
		}
	}
	second = append(second, message(7, day), messageWith(8, day, "Other"))
	return [][]Message{first, second, some(260, 40, day), append(some(300, 1, day), message(8, day))}
}

// victimLeaves is how many leaves that gives: every event once, and event 8 twice.
const victimLeaves = 302

// victim makes the cell if it is not there, and says what it was answered.
func victim() {
	c := &cell{t: victimTB{}, dir: os.Getenv(victimVariable)}
	keys, err := os.ReadFile(filepath.Join(c.dir, "keys.json"))
	c.must(err)
	c.must(json.Unmarshal(keys, &c.keys))
	c.must(store.MakeDir(c.temp()))
	c.must(store.InitDir(c.path(), c.temp(), rand.Reader))
	c.reopenStores()
	c.createLogs()
	control, events := c.openLogs()
	epoch, err := newID(rand.Reader)
	c.must(err)
	next := uint64(0)
	for i, messages := range victimFeed() {
		results := c.append(events, numbered(Source{"collector", epoch}, next, messages...))
		next += uint64(len(messages))
		var answers strings.Builder
		for _, r := range results {
			fmt.Fprintln(&answers, "answer", r.UID, r.Index)
		}
		_, err := io.WriteString(os.Stdout, answers.String())
		c.must(err)
		if i%2 == 0 {
			c.flushLogs(control, events)
		}
	}
	c.flushLogs(control, events)
	c.closeLogs(control, events)
}

// victimTB ends the process where a test would fail.
type victimTB struct{}

func (victimTB) Helper()             {}
func (victimTB) Logf(string, ...any) {}
func (victimTB) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}
func (t victimTB) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }
func (t victimTB) Errorf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

// killing is a cell that victims write to, and what they were answered.
type killing struct {
	*cell
	answers map[string]string // uid to leaf
}

func newKilling(t *testing.T) *killing {
	t.Helper()
	k := &killing{cell: &cell{t: t, dir: t.TempDir()}, answers: make(map[string]string)}
	k.makeKeys()
	keys, err := json.Marshal(k.keys)
	k.must(err)
	k.must(os.WriteFile(filepath.Join(k.dir, "keys.json"), keys, 0o600))
	return k
}

// run starts a victim and kills it after a while, if that is not 0. It reports whether the victim was killed.
func (k *killing) run(after time.Duration, env ...string) (killed bool) {
	k.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), victimVariable+"="+k.dir), env...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	k.must(err)
	k.must(cmd.Start())
	if after > 0 {
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() }) // when it dies is what is tried here
		defer timer.Stop()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		// A line that the kill cut short is no answer.
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == "answer" && len(f[1]) >= len(message(0, day).UID) {
			if before, again := k.answers[f[1]]; again && before != f[2] {
				k.t.Errorf("%s was answered with leaf %s, and then with %s", f[1], before, f[2])
			}
			k.answers[f[1]] = f[2]
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		k.t.Fatalf("the victim failed: %v: %s", err, &complaint)
	}
	return false
}

// judge checks, after a victim was allowed to finish, that everything is there once and verifies.
func (k *killing) judge() {
	k.t.Helper()
	k.reopenStores()
	h := k.settled()
	k.audited()
	if len(h.records) != victimLeaves {
		k.t.Errorf("%d leaves, want %d", len(h.records), victimLeaves)
	}
	for n := range victimLeaves - 1 {
		if uid := message(n, day).UID; len(h.byUID[uid]) != 1 {
			k.t.Errorf("event %s is at leaves %v", uid, h.byUID[uid])
		}
	}
	second := sameUID(message(8, day).UID, 2)
	if at := h.byUID[second]; len(at) != 1 || len(h.findings) == 0 || h.findings[0] != at[0] {
		k.t.Errorf("%s is at leaves %v, findings are about %v", second, at, h.findings)
	}
	for uid, index := range k.answers {
		if at := h.byUID[uid]; len(at) != 1 || fmt.Sprint(at[0]) != index {
			k.t.Errorf("%s was answered with leaf %s and is at %v", uid, index, at)
		}
	}
}

func TestKilledAtRandomMoments(t *testing.T) {
	kills := 10
	switch {
	case testing.Short():
		kills = 2
	case os.Getenv(need.LongVariable) == "1":
		kills = 40
	}
	began := time.Now()
	probe := newKilling(t)
	if probe.run(0) {
		t.Fatal("killed by somebody else")
	}
	whole := time.Since(began)
	probe.judge()

	seed := uint64(began.UnixNano())
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	hit := 0
	k := newKilling(t)
	for range kills {
		if k.run(time.Duration(random.Int64N(int64(whole)))) {
			hit++
		}
	}
	k.run(0)
	k.judge()
	t.Logf("%d of %d were killed", hit, kills)
}
