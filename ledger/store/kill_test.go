package store_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile.dev/domicile/ledger/store"
)

// The test binary is its own victim: started with these variables it plays a
// role instead of testing.
const (
	roleVariable   = "DOMICILE_STORE_TEST_ROLE"
	folderVariable = "DOMICILE_STORE_TEST_FOLDER"
)

func TestMain(m *testing.M) {
	folder := os.Getenv(folderVariable)
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "lock":
		if _, err := store.LockDir(folder); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		io.Copy(io.Discard, os.Stdin) // until the parent lets go, or kills
	case "write":
		err := writeUntilKilled(folder)
		fmt.Println("error:", err)
		os.Exit(1)
	default:
		panic("no such role: " + role)
	}
}

func startChild(t *testing.T, role, folder string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), roleVariable+"="+role, folderVariable+"="+folder)
	child.Env = append(child.Env, env...)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	hold, err := child.StdinPipe() // held open: a role that waits reads from it
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		child.Process.Kill()
		child.Wait()
	})
	return child, bufio.NewScanner(out)
}

func awaitLine(t *testing.T, out *bufio.Scanner, want string) {
	t.Helper()
	if !out.Scan() || out.Text() != want {
		t.Fatalf("the child says %q, want %q", out.Text(), want)
	}
}

// writeUntilKilled creates objects whose name is the hash of their bytes, in
// several folders at once, replaces a counter, and says what it was promised.
func writeUntilKilled(data string) error {
	ctx := context.Background()
	lock, err := store.LockDir(data)
	if err != nil {
		return err
	}
	d, err := store.NewDir(filepath.Join(data, "store"), lock.Temp(), store.KindOpen)
	if err != nil {
		return err
	}
	version, count := "", 0
	if text, info, err := d.Get(ctx, "counter"); err == nil {
		version = info.Version
		if count, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return err
		}
	}
	fmt.Println("started")
	for {
		batch := make([]store.Object, 12)
		for i := range batch {
			body := bytes.Repeat([]byte{byte(rand.Int())}, rand.IntN(100_000))
			body = append(body, hex.EncodeToString(binaryOf(rand.Uint64()))...)
			sum := sha256.Sum256(body)
			name := hex.EncodeToString(sum[:])
			batch[i] = store.Object{Key: path.Join("o", name[:1], name), Data: body}
		}
		if err := store.CreateAll(ctx, d, batch[1:]); err != nil {
			return err
		}
		if err := d.Create(ctx, batch[0]); err != nil {
			return err
		}
		passing := store.Object{Key: "passing/" + path.Base(batch[0].Key)}
		if err := errors.Join(d.Create(ctx, passing), d.Delete(ctx, passing.Key)); err != nil {
			return err
		}
		var promised strings.Builder
		for _, object := range batch {
			fmt.Fprintln(&promised, "created", object.Key)
		}
		count++
		// The width makes a torn replacement visible.
		if version, err = d.Replace(ctx, "counter", fmt.Appendf(nil, "%8000d", count), version); err != nil {
			return err
		}
		fmt.Fprintln(&promised, "counted", count)
		if _, err := os.Stdout.WriteString(promised.String()); err != nil {
			return err
		}
	}
}

func binaryOf(n uint64) []byte { return fmt.Appendf(nil, "%016x", n) }

// A writer killed at any moment leaves every name whole, and everything that it
// was promised is there.
func TestKilledWriterLeavesWholeObjects(t *testing.T) {
	kills := 12
	if testing.Short() {
		kills = 3
	}
	data := t.TempDir()
	if err := store.MakeDir(filepath.Join(data, "store")); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var p promises
	for range kills {
		child, out := startChild(t, "write", data)
		awaitLine(t, out, "started")
		// It dies somewhere after a few promises: as much later as the last
		// batch took, at most, so that every step of a batch is hit.
		lines, spread := batchLines*(1+random.IntN(4)), random.Float64()
		before := time.Now()
		for n := 0; out.Scan(); n++ {
			if n%batchLines == 0 && n < lines {
				before = time.Now()
			}
			if n == lines {
				took := time.Since(before)
				time.AfterFunc(time.Duration(float64(took)*spread), func() { child.Process.Kill() })
			}
			p.read(t, out.Text())
		}
		child.Wait()
		p.check(t, data)
	}
	if len(p.objects) == 0 {
		t.Error("no child lived long enough to promise anything")
	}
	// The next holder sweeps what they left.
	lock, err := store.LockDir(data)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if left, err := os.ReadDir(lock.Temp()); err != nil || len(left) != 0 {
		t.Errorf("%d temporary files are left (%v)", len(left), err)
	}
}

// promises is what writers said before they were killed.
type promises struct {
	objects []string
	count   int
}

// batchLines is the number of lines that a writer prints for one batch.
const batchLines = 13

// read takes one line of a writer. The last one may be cut short by the kill: a
// cut name is no promise, and a cut number a smaller one.
func (p *promises) read(t *testing.T, line string) {
	t.Helper()
	what, value, _ := strings.Cut(line, " ")
	switch what {
	case "created":
		if len(path.Base(value)) == 2*sha256.Size {
			p.objects = append(p.objects, value)
		}
	case "counted":
		if n, err := strconv.Atoi(value); err == nil {
			p.count = max(p.count, n)
		}
	case "error:":
		t.Fatalf("the child failed: %s", value)
	}
}

// check looks at what the writers left behind.
func (p *promises) check(t *testing.T, data string) {
	t.Helper()
	ctx := t.Context()
	d, err := store.NewDir(filepath.Join(data, "store"), "", store.KindOpen)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for info, err := range d.List(ctx, "o/", "") {
		if err != nil {
			t.Fatal(err)
		}
		there[info.Key] = true
		r, _, err := d.Open(ctx, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		_, err = io.Copy(hash, r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(hash.Sum(nil)); got != path.Base(info.Key) {
			t.Errorf("%s holds other bytes (%d)", info.Key, info.Size)
		}
	}
	for _, key := range p.objects {
		if !there[key] {
			t.Errorf("%s was promised and is not there", key)
		}
	}
	if p.count > 0 {
		text, _, err := d.Get(ctx, "counter")
		n, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || convErr != nil || len(text) != 8000 || n < p.count {
			t.Errorf("the counter holds %d bytes, %d; %d was promised (%v, %v)", len(text), n, p.count, err, convErr)
		}
	}
}
