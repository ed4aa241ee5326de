package ingest_test

import (
	"path/filepath"
	"testing"

	"domicile.dev/domicile/ingest"
	"domicile.dev/domicile/internal/need"
)

// Every file of the samples, expected outputs and notes of other projects among them: nothing stops the run, and every
// record is accounted for, also the second time.
func TestBooksOfAllSamplesBalance(t *testing.T) {
	sources := ingest.FindSources([]string{filepath.Join(need.Samples(t), "samples")}, nil)
	s := newSite()
	first, err := s.collector(t, nil).Run(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, first)
	if first.Committed == 0 || first.Quarantined == 0 {
		t.Errorf("%d committed, %d quarantined: these are not the samples", first.Committed, first.Quarantined)
	}
	t.Logf("%d files, %d records: %d committed, %d duplicates, %d quarantined %v, %d files not read to their end",
		first.Files, first.Events, first.Committed, first.Duplicates, first.Quarantined, first.Reasons, len(first.Failed))
	for _, f := range first.Failed {
		t.Logf("not to its end: %s: %v", filepath.Base(f.Source), f.Err)
	}
	second, err := s.collector(t, nil).Run(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, second)
	if second.Committed != 0 || second.Events != first.Events || second.HeldBefore != second.Quarantined {
		t.Errorf("the second time: %d committed, %d records of %d, %d of %d held before", second.Committed, second.Events, first.Events, second.HeldBefore, second.Quarantined)
	}
}
