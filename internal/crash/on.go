//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Enabled reports whether this binary was built with crash points.
const Enabled = true

// The environment belongs to the process, and so does this: one plan, read when
// the first point is passed.
var plan struct {
	sync.Mutex
	read   bool
	name   string // where to die; "" is nowhere
	onHit  int    // at which passing of name, from 1
	passed int    // how often name was passed
	list   *os.File
	hook   func(name string)
}

// SetHook makes every later Point call hook first; nil removes it. For tests
// that want to stop, fail or interleave inside the process instead of killing
// it. The hook may block and may be called by several goroutines at once.
func SetHook(hook func(name string)) {
	plan.Lock()
	defer plan.Unlock()
	plan.hook = hook
}

// Point kills the process if the environment asks for it here.
func Point(name string) {
	plan.Lock()
	if !plan.read {
		plan.read = true
		if err := readPlan(); err != nil {
			// A test that misspells its plan must not pass because nothing died.
			fmt.Fprintln(os.Stderr, "crash points:", err)
			os.Exit(2)
		}
	}
	if plan.list != nil {
		// One write, with O_APPEND: lines of several processes do not mix.
		fmt.Fprintf(plan.list, "%s\n", name)
	}
	if name == plan.name {
		plan.passed++
		if plan.passed == plan.onHit {
			// The lock is kept: no other goroutine passes a point any more.
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	hook := plan.hook
	plan.Unlock()
	if hook != nil {
		hook(name)
	}
}

func readPlan() error {
	var err error
	if plan.name, plan.onHit, err = parsePlan(os.Getenv("DOMICILE_CRASH")); err != nil {
		return err
	}
	if path := os.Getenv("DOMICILE_CRASH_LIST"); path != "" {
		plan.list, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	}
	return err
}

// parsePlan reads `name` or `name:hit`, hit counting from 1.
func parsePlan(s string) (name string, hit int, err error) {
	name, count, found := strings.Cut(s, ":")
	if !found {
		return name, 1, nil
	}
	hit, err = strconv.Atoi(count)
	if err != nil || hit < 1 || name == "" {
		return "", 0, fmt.Errorf("DOMICILE_CRASH=%q: want name or name:3", s)
	}
	return name, hit, nil
}
