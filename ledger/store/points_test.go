//go:build crashpoints

package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"domicile.dev/domicile/ledger/store"
)

// The same victim, killed at each point of the store in turn.
func TestWriterKilledAtEveryPoint(t *testing.T) {
	for _, point := range []string{
		"store/create/written", "store/create/linked", "store/create/durable",
		"store/createall/written", "store/createall/synced", "store/createall/linked", "store/createall/durable",
		"store/replace/written", "store/replace/compared", "store/replace/swapped", "store/replace/durable",
		"store/delete/unlinked",
	} {
		t.Run(filepath.Base(filepath.Dir(point))+" "+filepath.Base(point), func(t *testing.T) {
			data := t.TempDir()
			if err := store.MakeDir(filepath.Join(data, "store")); err != nil {
				t.Fatal(err)
			}
			var p promises
			for hit := 1; hit <= 3; hit++ {
				child, out := startChild(t, "write", data, fmt.Sprintf("DOMICILE_CRASH=%s:%d", point, hit))
				awaitLine(t, out, "started")
				for out.Scan() {
					p.read(t, out.Text())
				}
				if err := child.Wait(); err == nil || err.Error() != "signal: killed" {
					t.Fatalf("hit %d: the child ended with %v", hit, err)
				}
				p.check(t, data)
			}
		})
	}
}
