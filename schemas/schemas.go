// Package schemas embeds the tables and formats that others may read: regions and jurisdictions here; OpenAPI, JSON
// Schemas, index migrations, movement rules and test vectors as they come. It only carries bytes: whoever needs a
// table parses it, so importing this package costs nothing but the bytes.
package schemas

import _ "embed"

// Regions is a CSV table of every place that a provider's event can name: provider, region (as the provider spells it
// in its events), kind (region, zone, edge-zone, multi-region, geography, staging, retired, global), partition, parent
// region of a zone, paired region, countries (ISO 3166-1 alpha-2, ";" between; empty = no place on a map) and aliases
// (other spellings, ";" between). A new region is one line.
//
//go:embed regions.csv
var Regions []byte

// Jurisdictions is a YAML table from jurisdiction id (lower case) to the countries it holds; every country of Regions
// stands in exactly one.
//
//go:embed jurisdictions.yaml
var Jurisdictions []byte

// OpenAPI is the description of the HTTP API (OpenAPI 3.1, YAML).
//
//go:embed openapi.yaml
var OpenAPI []byte
