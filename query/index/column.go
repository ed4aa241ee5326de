package index

import (
	"fmt"
	"slices"
)

// A Column is something of an event that one can filter by.
type Column string

// The columns that one can filter by.
const (
	UID          Column = "uid"          // metadata.uid
	Log          Column = "log"          // origin of the events log
	Jurisdiction Column = "jurisdiction" // eu, us, …: any of what the evidence says; unknown where it says nothing
	Region       Column = "region"       // aws:eu-central-1, azure:global, gcp:unknown: as the leaf says
	Provider     Column = "provider"     // aws, azure, gcp
	Account      Column = "account"      // AWS account, Azure subscription or tenant, GCP project
	Class        Column = "class"        // OCSF class: 6003, or API Activity
	Activity     Column = "activity"     // OCSF activity: 4, or Delete
	Service      Column = "service"      // s3.amazonaws.com, as the provider writes it
	Operation    Column = "operation"    // ConsoleLogin, as the provider writes it
	Actor        Column = "actor"        // any name of who did it: user name, e-mail address, ARN
	SrcIP        Column = "src_ip"       // an address, or what the provider says instead
	Status       Column = "status"       // Success, Failure, Other, Unknown
	Resource     Column = "resource"     // uid or name of one of the things that it was done to
)

// kind is how the values of a column are compared.
type kind int

const (
	exact  kind = iota + 1 // byte for byte
	folded                 // without regard to the case of ASCII letters: providers write the same id either way
	member                 // an array, any element of which may be the value, folded
	number                 // a number, or its name, folded
)

// A spec is a row of the table of columns.
type spec struct {
	column  Column
	kind    kind
	sql     string // expression of the values
	name    string // of a number: expression of its name
	groupBy string // expression to aggregate by, "" if that makes no sense
}

// specs is the only place where a Column becomes SQL: no identifier of a query comes from anywhere else.
var specs = []spec{
	{column: UID, kind: exact, sql: "uid"},
	{column: Log, kind: exact, sql: "log", groupBy: "log"},
	{column: Jurisdiction, kind: member, sql: "jurisdiction", groupBy: "arrayStringConcat(jurisdiction, ' ')"},
	{column: Region, kind: folded, sql: "region", groupBy: "region"},
	{column: Provider, kind: folded, sql: "provider", groupBy: "provider"},
	{column: Account, kind: folded, sql: "account", groupBy: "account"},
	{column: Class, kind: number, sql: "class", name: "class_name", groupBy: "class_name"},
	{column: Activity, kind: number, sql: "activity", name: "activity_name", groupBy: "activity_name"},
	{column: Service, kind: folded, sql: "service", groupBy: "service"},
	{column: Operation, kind: folded, sql: "operation", groupBy: "operation"},
	{column: Actor, kind: member, sql: "actor", groupBy: "actor[1]"},
	{column: SrcIP, kind: folded, sql: "src_ip", groupBy: "src_ip"},
	{column: Status, kind: folded, sql: "status", groupBy: "status"},
	{column: Resource, kind: member, sql: "resource"},
}

// Columns returns the columns that one can filter by.
func Columns() []Column {
	list := make([]Column, len(specs))
	for i, s := range specs {
		list[i] = s.column
	}
	return list
}

// Groupable returns the columns that one can count by.
func Groupable() (list []Column) {
	for _, s := range specs {
		if s.groupBy != "" {
			list = append(list, s.column)
		}
	}
	return list
}

// specOf finds the row of a column.
func specOf(c Column) (*spec, error) {
	i := slices.IndexFunc(specs, func(s spec) bool { return s.column == c })
	if i < 0 {
		return nil, fmt.Errorf("%w: there is no column %s; there are %v", ErrQuestion, clip(string(c)), Columns())
	}
	return &specs[i], nil
}
