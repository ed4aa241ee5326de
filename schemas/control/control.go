// Package control embeds the JSON Schemas (draft 2020-12) of the entries of a control log, one file per type, and of
// the policy document. They are for other people's tools: the program itself reads entries with package ledger, which
// is stricter where a schema has no words (order of members and elements, one spelling per value, calendar days).
package control

import "embed"

// Files holds <type>.schema.json for every entry type, policy-document.schema.json, and common.schema.json, which the
// others refer to by name.
//
//go:embed *.schema.json
var Files embed.FS
