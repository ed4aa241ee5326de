package normalize

import (
	"slices"
	"strings"
)

// placement is what the evidence says of where an event belongs.
type placement struct {
	leaf          string   // provider:region, provider:global, provider:unknown
	region        string   // cloud.region; empty if unknown
	zone          string   // cloud.zone
	partition     string   // cloud.cloud_partition
	regions       []string // all of them, where the evidence names several
	countries     []string
	jurisdictions []string
	rule          string
}

// The rules, by id. An id says which evidence decided; where it ends in not_in_tables, the evidence names a place that
// the tables do not have, and nothing weaker is asked: a new region must not turn into an old one.
const (
	ruleAWSRegion       = "aws.region"                          // awsRegion
	ruleAWSGlobal       = "aws.global_service"                  // a service without a region, recorded wherever
	ruleAWSNone         = "aws.no_region"                       // the record names none
	ruleAWSNotInTables  = "aws.region_not_in_tables"            //
	ruleAzureLocation   = "azure.location"                      // location
	ruleAzureBody       = "azure.request_body"                  // properties.requestbody, its location
	ruleAzureTenant     = "azure.tenant"                        // a directory's event has no region
	ruleAzureNone       = "azure.no_location"                   //
	ruleAzureUnlisted   = "azure.location_not_in_tables"        //
	ruleGCPCurrent      = "gcp.current_locations"               // protoPayload.resourceLocation.currentLocations
	ruleGCPLabel        = "gcp.resource_label"                  // resource.labels.location, region or zone
	ruleGCPName         = "gcp.resource_name"                   // …/locations/X, /regions/X, /zones/X of resourceName
	ruleGCPParent       = "gcp.request_parent"                  // the same of request.parent
	ruleGCPGlobal       = "gcp.global"                          // one of these says global, and none names a region
	ruleGCPNone         = "gcp.no_location"                     //
	ruleGCPCurrentUnl   = "gcp.current_locations_not_in_tables" //
	ruleGCPLabelUnl     = "gcp.resource_label_not_in_tables"    //
	ruleGCPNameUnlisted = "gcp.resource_name_not_in_tables"     //
)

// at places an event.
func at(p *Place, rule string) placement {
	region := p.Region
	if p.Kind == "global" {
		region = "global"
	}
	return placement{
		leaf: p.leaf, region: region, partition: p.Partition, countries: p.Countries, jurisdictions: p.Jurisdictions, rule: rule,
	}
}

func nowhere(provider, rule string) placement {
	return placement{leaf: unknownLeaf[provider], rule: rule}
}

func everywhere(provider, rule string) placement {
	return placement{leaf: globalLeaf[provider], region: "global", rule: rule}
}

var (
	unknownLeaf = map[string]string{"aws": "aws:unknown", "azure": "azure:unknown", "gcp": "gcp:unknown"}
	globalLeaf  = map[string]string{"aws": "aws:global", "azure": "azure:global", "gcp": "gcp:global"}
)

// among places an event that concerns several places: one region if they agree, else unknown with the union of
// countries; one place without jurisdiction makes the union unknown.
func (p *Places) among(places []*Place, rule string) placement {
	one := at(places[0], rule)
	for _, other := range places[1:] {
		if other == places[0] {
			continue
		}
		var countries []string
		nowhereKnown := false
		for _, pl := range places {
			countries = append(countries, pl.Countries...)
			one.regions = append(one.regions, pl.leaf)
			nowhereKnown = nowhereKnown || len(pl.Jurisdictions) == 0
		}
		slices.Sort(countries)
		slices.Sort(one.regions)
		one.leaf, one.region = unknownLeaf[one.provider()], ""
		one.regions = slices.Compact(one.regions)
		one.countries, one.jurisdictions = slices.Compact(countries), nil
		if !nowhereKnown {
			one.jurisdictions = p.jurisdictions(one.countries)
		}
		return one
	}
	return one
}

func (p *placement) provider() string {
	provider, _, _ := strings.Cut(p.leaf, ":")
	return provider
}

func putRegion(b *builder, dst []byte, _ int32) []byte {
	if b.place.region == "" {
		return dst
	}
	return literal(dst, b.place.region)
}

func putZone(b *builder, dst []byte, _ int32) []byte {
	if b.place.zone == "" {
		return dst
	}
	return literal(dst, b.place.zone)
}

func putPartition(b *builder, dst []byte, _ int32) []byte {
	if b.place.partition == "" {
		return dst
	}
	return literal(dst, b.place.partition)
}
