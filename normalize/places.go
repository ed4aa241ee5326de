package normalize

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"domicile.dev/domicile/schemas"
)

// Place is one row of the region table.
type Place struct {
	Provider      string // aws, azure, gcp
	Region        string // as the provider spells it in its events
	Kind          string // region, zone, edge-zone, multi-region, geography, staging, retired, global
	Partition     string
	Parent        string   // the region of a zone
	Countries     []string // ISO 3166-1 alpha-2, sorted; empty where the table names none
	Jurisdictions []string // ids, sorted; empty = unknown

	leaf string
}

// Leaf returns how a leaf names the place: provider:region, or provider:global.
func (p *Place) Leaf() string { return p.leaf }

// Places knows every region and jurisdiction. It is read-only once made.
type Places struct {
	byName    map[string]map[string]*Place // provider, then region or alias
	byCountry map[string]string            // country to jurisdiction
	ids       []string
}

// defaultPlaces are the tables of package schemas, parsed once.
var defaultPlaces = sync.OnceValue(func() *Places {
	p, err := ParsePlaces(schemas.Regions, schemas.Jurisdictions)
	if err != nil {
		panic(err) // the tables are part of the program, and tested
	}
	return p
})

// DefaultPlaces returns the tables that domicile ships.
func DefaultPlaces() *Places { return defaultPlaces() }

// ParsePlaces reads a region table (CSV) and a jurisdiction table (YAML) in the layout of package schemas.
func ParsePlaces(regions, jurisdictions []byte) (*Places, error) {
	var file struct {
		Jurisdictions map[string]struct {
			Name      string   `yaml:"name"`
			Countries []string `yaml:"countries"`
		} `yaml:"jurisdictions"`
	}
	if err := yaml.UnmarshalWithOptions(jurisdictions, &file, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("jurisdiction table: %w", err)
	}
	p := &Places{byName: map[string]map[string]*Place{}, byCountry: map[string]string{}}
	for id, j := range file.Jurisdictions {
		if id == "" || strings.ToLower(id) != id || strings.ContainsAny(id, " :/\"\\") {
			return nil, fmt.Errorf("jurisdiction table: id %q is not a lower-case word", id)
		}
		p.ids = append(p.ids, id)
		for _, c := range j.Countries {
			if other, twice := p.byCountry[c]; twice {
				return nil, fmt.Errorf("jurisdiction table: country %s stands in %s and in %s", c, other, id)
			}
			p.byCountry[c] = id
		}
	}
	slices.Sort(p.ids)
	rows, err := csv.NewReader(bytes.NewReader(regions)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("region table: %w", err)
	}
	for i, r := range rows {
		if i == 0 {
			if got := strings.Join(r, ","); got != "provider,region,kind,partition,parent,pair,countries,aliases" {
				return nil, fmt.Errorf("region table: unexpected columns %s", got)
			}
			continue
		}
		if err := p.add(r); err != nil {
			return nil, fmt.Errorf("region table: line %d: %w", i+1, err)
		}
	}
	return p, nil
}

func (p *Places) add(r []string) error {
	place := &Place{Provider: r[0], Region: r[1], Kind: r[2], Partition: r[3], Parent: r[4], Countries: split(r[6])}
	for _, name := range append([]string{place.Provider, place.Region, place.Partition}, place.Countries...) {
		if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return fmt.Errorf("%q is no plain name", name)
		}
	}
	place.leaf = place.Provider + ":" + place.Region
	if place.Kind == "global" {
		for _, name := range append([]string{place.Provider, place.Region, place.Partition}, place.Countries...) {
			if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
				return fmt.Errorf("%q is no plain name", name)
			}
		}
		place.leaf = place.Provider + ":global"
	}
	slices.Sort(place.Countries)
	place.Jurisdictions = p.jurisdictions(place.Countries)
	names := p.byName[place.Provider]
	if names == nil {
		names = map[string]*Place{}
		p.byName[place.Provider] = names
	}
	for _, name := range append([]string{place.Region}, split(r[7])...) {
		if names[name] != nil {
			return fmt.Errorf("%s names two places of %s", name, place.Provider)
		}
		names[name] = place
	}
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ';' })
}

// jurisdictions returns the sorted ids for a set of countries; a country without one makes the whole set unknown.
func (p *Places) jurisdictions(countries []string) []string {
	var ids []string
	for _, c := range countries {
		id, ok := p.byCountry[c]
		if !ok {
			return nil
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Find returns the place that a provider calls by that name, nil if the table has none. Nothing is guessed.
func (p *Places) Find(provider string, name []byte) *Place { return p.byName[provider][string(name)] }

// Jurisdictions returns all ids, sorted.
func (p *Places) Jurisdictions() []string { return slices.Clone(p.ids) }

// Jurisdiction returns the id that a country (ISO 3166-1 alpha-2) belongs to, "" if it belongs to none.
func (p *Places) Jurisdiction(country string) string { return p.byCountry[country] }
