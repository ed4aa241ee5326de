//go:build crashpoints

package log

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Killed at every crash point on the way, at the first, a middle and the last time that it is passed, and once more
// while the next process recovers: everything that was answered is there, and everything else can be sent again.
func TestKilledAtEveryPoint(t *testing.T) {
	learn := newKilling(t)
	list := filepath.Join(learn.dir, "points")
	learn.run(0, "DOMICILE_CRASH_LIST="+list)
	learn.judge()
	text, err := os.ReadFile(list)
	learn.must(err)
	passed := make(map[string]int)
	for _, name := range strings.Fields(string(text)) {
		passed[name]++
	}
	for _, name := range []string{
		"init/before-commit-0", "init/after-commit-0",
		"commit/before-payload", "commit/after-payload", "commit/before-commit", "commit/after-commit",
		"publish/before-tiles", "publish/after-tiles", "publish/after-archive", "publish/after-checkpoint",
		"batch/before", "batch/after", "control/before-commit", "control/after-commit",
		"store/create/written", "store/create/linked", "store/create/durable",
		"store/replace/written", "store/replace/swapped", "store/replace/durable",
	} {
		if passed[name] == 0 {
			t.Errorf("%s is not passed", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(passed)) {
		n := passed[name]
		hits := slices.Compact([]int{1, (n + 1) / 2, n})
		if testing.Short() {
			if strings.HasPrefix(name, "store/") || strings.HasPrefix(name, "init/") {
				continue
			}
			hits = hits[:1]
		}
		for _, hit := range hits {
			plan := fmt.Sprintf("%s:%d", name, hit)
			t.Run(plan, func(t *testing.T) {
				t.Parallel()
				k := newKilling(t)
				// How often it is passed depends on what the publisher skips: a late hit may not come.
				if !k.run(0, "DOMICILE_CRASH="+plan) && hit <= n/2 {
					t.Errorf("not killed the %d. time of %d", hit, n)
				}
				k.run(0, "DOMICILE_CRASH="+name)
				k.run(0)
				k.judge()
			})
		}
	}
}
