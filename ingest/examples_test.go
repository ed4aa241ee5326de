package ingest_test

import (
	"testing"

	"domicile.dev/domicile/ingest"
)

// What examples/README.md says of the example logs holds.
func TestExamplesAreWhatTheirReadmeSays(t *testing.T) {
	s := newSite()
	s.addCells("in")
	sources := ingest.FindSources([]string{"../examples"}, nil)
	sum, err := s.collector(t, nil).Run(t.Context(), sources)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, sum)
	for _, f := range sum.Failed {
		t.Errorf("failed: %v", f.Error())
	}
	if sum.Files != 19 || sum.Events != 514 || sum.Committed != 509 || sum.Duplicates != 0 {
		t.Errorf("%d files, %d records, %d committed, %d duplicates; want 19, 514, 509, 0", sum.Files, sum.Events, sum.Committed, sum.Duplicates)
	}
	if sum.Quarantined != 5 || sum.Foreign["uk"] != 4 {
		t.Errorf("%d quarantined (%v), %v foreign; want the damaged line and the four of London", sum.Quarantined, sum.Reasons, sum.Foreign)
	}
	regions := map[string]string{}
	for _, p := range sum.Places {
		t.Logf("%s %-8s %-20s %-9s %d", p.Cell, p.Jurisdiction, p.Region, p.Rule, p.Events)
		regions[p.Region] = p.Jurisdiction
	}
	for region, jurisdiction := range map[string]string{
		"aws:eu-central-1": "eu", "aws:eu-west-1": "eu", "aws:us-east-1": "us", "aws:ap-south-1": "in", "aws:global": "unknown",
		"azure:westeurope": "eu", "azure:eastus": "us", "azure:centralindia": "in", "azure:global": "unknown",
		"gcp:europe-west3": "eu", "gcp:us-central1": "us", "gcp:asia-south1": "in", "gcp:eu": "eu", "gcp:unknown": "unknown",
	} {
		if regions[region] != jurisdiction {
			t.Errorf("%s: jurisdiction %q, want %q", region, regions[region], jurisdiction)
		}
	}
	for form := range sum.Forms {
		t.Log(form)
	}
}
