//go:build crashpoints

package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The child of the tests below: passes three points, the middle one twice.
func TestMain(m *testing.M) {
	if os.Getenv("CRASH_TEST_CHILD") != "" {
		for _, name := range []string{"a/one", "b/two", "b/two", "c/three"} {
			Point(name)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestPointKillsWhereThePlanSays(t *testing.T) {
	for _, test := range []struct {
		plan   string
		killed bool
		passed string
	}{
		{"", false, "a/one b/two b/two c/three"},
		{"a/one", true, "a/one"},
		{"b/two", true, "a/one b/two"},
		{"b/two:2", true, "a/one b/two b/two"},
		{"b/two:3", false, "a/one b/two b/two c/three"},
		{"elsewhere", false, "a/one b/two b/two c/three"},
	} {
		t.Run(test.plan, func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "passed")
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "CRASH_TEST_CHILD=1",
				"DOMICILE_CRASH="+test.plan, "DOMICILE_CRASH_LIST="+list)
			err := child.Run()
			status := child.ProcessState.Sys().(syscall.WaitStatus)
			if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; killed != test.killed {
				t.Errorf("killed = %v, want %v (%v)", killed, test.killed, err)
			}
			passed, err := os.ReadFile(list)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(string(passed)), " "); got != test.passed {
				t.Errorf("passed %q, want %q", got, test.passed)
			}
		})
	}
}

func TestMisspeltPlanIsNotIgnored(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "CRASH_TEST_CHILD=1", "DOMICILE_CRASH=b/two:twice")
	if err := child.Run(); err == nil || child.ProcessState.ExitCode() != 2 {
		t.Errorf("a plan that cannot be read: %v, want exit 2", err)
	}
}

func TestHookSeesEveryPoint(t *testing.T) {
	var seen []string
	SetHook(func(name string) { seen = append(seen, name) })
	defer SetHook(nil)
	Point("x")
	Point("y")
	if got := strings.Join(seen, " "); got != "x y" {
		t.Errorf("hook saw %q", got)
	}
}
