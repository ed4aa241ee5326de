package normalize

import (
	"sync"

	"domicile.dev/domicile/internal/rawjson"
)

// A kind of record is recognized by the names of its top-level members, never by a file's name or place.
type kind struct {
	name     string
	provider string
	format   func() *format                      // nil: recognized as what it is, but no event
	unpack   func(outer []byte) ([]byte, Reason) // for the packing of records; nil, "" means it holds none
	all      []string                            // every one of these names …
	any      []string                            // … and, if there are some, one of these …
	none     []string                            // … and none of these
}

// kinds is asked in order: the first that fits is meant.
var kinds = []kind{
	{name: "cloudtrail-digest", all: []string{"digestStartTime", "digestEndTime"}},
	{name: "s3-notification", all: []string{"s3", "eventSource"}},
	{name: "cloudtrail", provider: "aws", format: cloudTrail, all: []string{"eventSource"}, any: []string{"eventName", "eventID", "eventVersion"}},
	{name: "cloudtrail", provider: "aws", format: cloudTrail, all: []string{"eventVersion"}, any: []string{"eventName", "eventID", "eventTime"}},
	{name: "gcp", provider: "gcp", format: gcpLogEntry, any: []string{"protoPayload", "logName"}},
	{name: "eventbridge", unpack: detail, all: []string{"detail"}, any: []string{"detail-type", "source"}},
	{name: "cloudwatch-logs", unpack: logMessage, all: []string{"id", "timestamp", "message"}},
	{name: "awslogs", unpack: awsLogs, all: []string{"awslogs"}},
	{name: "lookup-events", unpack: cloudTrailEvent, all: []string{"CloudTrailEvent"}},
	{name: "pubsub", unpack: pubSubMessage, all: []string{"message"}, any: []string{"subscription", "ackId"}},
	{name: "azure-rest", provider: "azure", format: azureLog, any: []string{"eventTimestamp", "eventDataId"}},
	{name: "graph-audit", provider: "azure", format: azureLog, all: []string{"activityDisplayName"}, any: []string{"activityDateTime", "loggedByService", "initiatedBy"}},
	{name: "graph-signin", provider: "azure", format: azureLog, all: []string{"createdDateTime", "appId"}, any: []string{"userPrincipalName", "servicePrincipalId"}},
	{name: "azure-monitor", provider: "azure", format: azureLog, any: []string{"time", "Time"}, none: []string{"specversion"}},
	{name: "azure-monitor", provider: "azure", format: azureLog, all: []string{"operationName"}, any: []string{"resourceId", "category"}},
}

// recognize returns the kind of a parsed record, nil if it is of none.
func recognize(t *rawjson.Tree) *kind {
	if t.Kind(0) != rawjson.KindObject {
		return nil
	}
	for i := range kinds {
		if kinds[i].fits(func(name string) bool { return t.Member(0, name) != rawjson.None }) {
			return &kinds[i]
		}
	}
	return nil
}

func (k *kind) fits(has func(name string) bool) bool {
	for _, name := range k.all {
		if !has(name) {
			return false
		}
	}
	for _, name := range k.none {
		if has(name) {
			return false
		}
	}
	for _, name := range k.any {
		if has(name) {
			return true
		}
	}
	return len(k.any) == 0
}

// marks notes which of the names that kinds ask for a record has, without parsing it.
type marks struct {
	has map[string]bool
}

var kindNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, k := range kinds {
		for _, list := range [][]string{k.all, k.any, k.none} {
			for _, name := range list {
				names[name] = true
			}
		}
	}
	return names
})

func (m *marks) reset() {
	if m.has == nil {
		m.has = map[string]bool{}
	}
	clear(m.has)
}

func (m *marks) add(name []byte) {
	if kindNames()[string(name)] {
		m.has[string(name)] = true
	}
}

// kind returns the kind of the record whose names were added, nil if it is of none.
func (m *marks) kind() *kind {
	for i := range kinds {
		if kinds[i].fits(func(name string) bool { return m.has[name] }) {
			return &kinds[i]
		}
	}
	return nil
}
