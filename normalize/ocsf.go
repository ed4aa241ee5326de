package normalize

// What OCSF 1.8.0 says of the classes that are emitted, and the rows that every format shares.

const ocsfVersion = "1.8.0"

// classes is a set of event classes, one bit for each plan.
type classes uint8

const (
	inBase classes = 1 << iota
	inAPI
	inAuth
	inBoth = inAPI | inAuth // what has an actor, an api and a source
)

// class is an OCSF event class: plan is its bit, and the index of its plan in a format.
type class struct {
	plan       int
	uid        int64
	name       string
	category   int64
	categories string
	activities map[int]string // captions by activity_id
}

var (
	baseEvent = &class{plan: 0, uid: 0, name: "Base Event", category: 0, categories: "Uncategorized",
		activities: map[int]string{0: "Unknown", 99: "Other"}}
	apiActivity = &class{plan: 1, uid: 6003, name: "API Activity", category: 6, categories: "Application Activity",
		activities: map[int]string{0: "Unknown", 1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: "Other"}}
	authentication = &class{plan: 2, uid: 3002, name: "Authentication", category: 3, categories: "Identity & Access Management",
		activities: map[int]string{0: "Unknown", 1: "Logon", 2: "Logoff", 3: "Authentication Ticket", 4: "Service Ticket Request",
			5: "Service Ticket Renew", 6: "Preauth", 7: "Account Switch", 99: "Other"}}
)

// Activities of API Activity and of Authentication that the tables name.
const (
	unknown = 0
	create  = 1
	read    = 2
	update  = 3
	remove  = 4
	other   = 99

	logon         = 1
	logoff        = 2
	ticket        = 3
	preauth       = 6
	accountSwitch = 7
)

// Outcomes (status_id).
const (
	success = 1
	failure = 2
)

var (
	statuses   = map[int]string{0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}
	severities = map[int]string{0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal", 99: "Other"}
)

// commonRows are the attributes that mean the same whatever the provider.
var commonRows = []row{
	{to: "activity_id", put: putActivity, rule: "class and activity tables"},
	{to: "activity_name", put: putActivityName, rule: "class and activity tables"},
	{to: "category_name", put: func(b *builder, dst []byte, _ int32) []byte { return literal(dst, b.class.categories) }, rule: "class table"},
	{to: "category_uid", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, b.class.category) }, rule: "class table"},
	{to: "class_name", put: func(b *builder, dst []byte, _ int32) []byte { return literal(dst, b.class.name) }, rule: "class table"},
	{to: "class_uid", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, b.class.uid) }, rule: "class table"},
	{to: "cloud/cloud_partition", put: putPartition, rule: "region table"},
	{to: "cloud/region", put: putRegion, rule: "region evidence"},
	{to: "cloud/zone", put: putZone, rule: "region evidence"},
	{to: "enrichments", put: putEnrichments, rule: "region evidence, flags"},
	{to: "metadata/loggers", put: putLoggers, rule: "constant"},
	{to: "metadata/processed_time", put: putProcessedTime, rule: "clock"},
	{to: "metadata/processed_time_dt", put: putProcessedTimeDT, rule: "clock"},
	{to: "metadata/profiles", put: constant(`["cloud","datetime"]`), rule: "constant"},
	{to: "metadata/uid", put: func(b *builder, dst []byte, _ int32) []byte { return quoteString(dst, b.uid) }, rule: "provider's id, else digest of the record"},
	{to: "metadata/version", put: constant(`"` + ocsfVersion + `"`), rule: "constant"},
	{to: "raw_data", put: func(b *builder, dst []byte, _ int32) []byte { return quote(dst, b.raw) }, rule: "the record as delivered"},
	{to: "raw_data_hash/algorithm", put: constant(`"SHA-256"`), rule: "constant"},
	{to: "raw_data_hash/algorithm_id", put: constant(`3`), rule: "constant"},
	{to: "raw_data_hash/value", put: putDigest, rule: "SHA-256 of the record as delivered"},
	{to: "raw_data_size", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, int64(len(b.raw))) }, rule: "length of the record as delivered"},
	{to: "severity", put: func(b *builder, dst []byte, _ int32) []byte { return literal(dst, severities[b.severity]) }, rule: "severity table"},
	{to: "severity_id", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, int64(b.severity)) }, rule: "severity table"},
	{to: "src_endpoint/ip", in: inBoth, put: putIP, rule: "source address, where it is one"},
	{to: "src_endpoint/name", in: inBoth, put: putEndpointName, rule: "source address, where it is a name"},
	{to: "src_endpoint/port", in: inBoth, put: putPort, rule: "source address"},
	{to: "src_endpoint/svc_name", in: inBoth, put: putServiceName, rule: "source address, where it is a service"},
	{to: "status", put: func(b *builder, dst []byte, _ int32) []byte { return literal(dst, statuses[b.status]) }, rule: "status table"},
	{to: "status_id", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, int64(b.status)) }, rule: "status table"},
	{to: "time", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, b.when.ms) }, rule: "time of the record"},
	{to: "time_dt", put: func(b *builder, dst []byte, _ int32) []byte {
		return append(append(append(dst, '"'), b.when.text...), '"')
	}, rule: "time of the record"},
	{to: "type_name", put: putTypeName, rule: "class and activity tables"},
	{to: "type_uid", put: func(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, b.class.uid*100+int64(b.activity)) }, rule: "class and activity tables"},
}

func putActivity(b *builder, dst []byte, _ int32) []byte { return appendInt(dst, int64(b.activity)) }

func putActivityName(b *builder, dst []byte, _ int32) []byte {
	if b.activity == other && len(b.operation) > 0 {
		return quote(dst, b.operation)
	}
	return literal(dst, b.class.activities[b.activity])
}

func putTypeName(b *builder, dst []byte, _ int32) []byte {
	dst = append(append(dst, '"'), b.class.name...)
	return append(append(append(dst, ": "...), b.class.activities[b.activity]...), '"')
}

func putLoggers(b *builder, dst []byte, _ int32) []byte {
	dst = append(dst, `[{"name":"domicile"`...)
	if b.opt.ProductVersion != "" {
		dst = quoteString(append(dst, `,"version":`...), b.opt.ProductVersion)
	}
	return append(dst, "}]"...)
}

func putProcessedTime(b *builder, dst []byte, _ int32) []byte {
	if b.now.IsZero() {
		return dst
	}
	return appendInt(dst, b.now.UnixMilli())
}

func putProcessedTimeDT(b *builder, dst []byte, _ int32) []byte {
	if b.now.IsZero() {
		return dst
	}
	return append(dst, b.nowText...)
}

func putDigest(b *builder, dst []byte, _ int32) []byte {
	dst = append(dst, '"')
	for _, c := range b.digest {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// putEnrichments says where the event belongs and why, and what was odd about the record.
func putEnrichments(b *builder, dst []byte, _ int32) []byte {
	p := &b.place
	dst = append(dst, `[{"data":{"countries":`...)
	dst = appendStrings(dst, p.countries)
	dst = appendStrings(append(dst, `,"jurisdictions":`...), p.jurisdictions)
	dst = literal(append(dst, `,"region":`...), p.leaf)
	if len(p.regions) > 0 {
		dst = appendStrings(append(dst, `,"regions":`...), p.regions)
	}
	dst = literal(append(dst, `,"rule":`...), p.rule)
	dst = append(dst, `},"name":"cloud.region","type":"residency","value":`...)
	value := p.region
	if value == "" {
		value = "unknown"
	}
	dst = append(literal(dst, value), '}')
	for _, f := range b.flags {
		dst = literal(append(dst, `,{"data":{"flag":`...), f)
		dst = literal(append(dst, `},"name":"raw_data","type":"quality","value":`...), f)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = literal(dst, s)
	}
	return append(dst, ']')
}
