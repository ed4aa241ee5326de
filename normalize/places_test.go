package normalize

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"domicile.dev/domicile/schemas"
)

// Every row of the region table is a place that can be found, whose countries all have a jurisdiction.
func TestRegionTable(t *testing.T) {
	places := DefaultPlaces()
	rows, err := csv.NewReader(bytes.NewReader(schemas.Regions)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"region", "zone", "edge-zone", "multi-region", "geography", "staging", "retired", "global"}
	for _, r := range rows[1:] {
		provider, region, kind, parent, pair := r[0], r[1], r[2], r[4], r[5]
		p := places.Find(provider, []byte(region))
		if p == nil || p.Region != region || !slices.Contains(kinds, kind) {
			t.Fatalf("%v: found %+v", r, p)
		}
		if strings.ToLower(region) != region {
			t.Errorf("%s: not lower case", region)
		}
		if kind != "global" && kind != "geography" && len(p.Countries) == 0 {
			t.Errorf("%s: a place in no country", region)
		}
		if len(p.Countries) > 0 && len(p.Jurisdictions) == 0 {
			t.Errorf("%s: no jurisdiction for %v", region, p.Countries)
		}
		for _, other := range []string{parent, pair} {
			if other != "" && places.Find(provider, []byte(other)) == nil {
				t.Errorf("%s: %s is not in the table", region, other)
			}
		}
	}
}

func TestJurisdictionsOfPlaces(t *testing.T) {
	for _, c := range []struct{ provider, region, want string }{
		{"aws", "eu-central-1", "eu"}, {"aws", "eu-west-2", "uk"}, {"aws", "eu-central-2", "ch"}, {"aws", "ap-south-1", "in"},
		{"aws", "us-gov-west-1", "us"}, {"aws", "cn-north-1", "cn"}, {"aws", "eusc-de-east-1", "eu"}, {"aws", "aws-global", ""},
		{"aws", "us-east-1-bue-1a", "ar"}, {"aws", "eu-north-1-hel-1a", "eu"}, {"aws", "eu-isoe-west-1", "uk"},
		{"azure", "westeurope", "eu"}, {"azure", "weu", "eu"}, {"azure", "uksouth", "uk"}, {"azure", "norwayeast", "eea"}, {"azure", "europe", ""},
		{"gcp", "europe-west2", "uk"}, {"gcp", "europe-west6", "ch"}, {"gcp", "eu", "eu"}, {"gcp", "eur5", "eu uk"}, {"gcp", "eur8", "ch eu"},
		{"gcp", "nam14", "ca us"}, {"gcp", "nam-eur-asia1", "eu tw us"}, {"gcp", "global", ""},
	} {
		p := DefaultPlaces().Find(c.provider, []byte(c.region))
		if p == nil || strings.Join(p.Jurisdictions, " ") != c.want {
			t.Errorf("%s %s: %+v, want %q", c.provider, c.region, p, c.want)
		}
	}
	if p := DefaultPlaces().Find("aws", []byte("eu-nowhere-9")); p != nil {
		t.Errorf("a region that does not exist: %+v", p)
	}
}

func TestTablesThatAreRefused(t *testing.T) {
	regions := "provider,region,kind,partition,parent,pair,countries,aliases\n"
	for name, c := range map[string]struct{ regions, jurisdictions string }{
		"a country twice":       {regions, "jurisdictions: {eu: {name: a, countries: [DE]}, de: {name: b, countries: [DE]}}"},
		"an upper-case id":      {regions, "jurisdictions: {EU: {name: a, countries: [DE]}}"},
		"an unknown member":     {regions, "jurisdictions: {eu: {name: a, country: [DE]}}"},
		"other columns":         {"provider,region\n", "jurisdictions: {}"},
		"one name, two regions": {regions + "aws,a,region,,,,DE,\naws,b,region,,,,DE,a\n", "jurisdictions: {}"},
	} {
		if _, err := ParsePlaces([]byte(c.regions), []byte(c.jurisdictions)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
