package index

// A table is one of the index's. Each has a row for every leaf.
type table struct {
	name    string
	columns []tableColumn
	values  func(b *batch) []any // of a batch, in the order of columns
}

// A tableColumn is a column and where a row keeps its value.
type tableColumn struct {
	name string
	at   func(r *row) any // a pointer
}

func (t *table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// tables are filled in this order: an event that is found has its record.
var tables = []*table{recordTable, uidTable, eventTable}

var recordTable = &table{
	name: "records",
	columns: []tableColumn{
		{"log", func(r *row) any { return &r.log }},
		{"leaf_index", func(r *row) any { return &r.index }},
		{"time", func(r *row) any { return &r.time }},
		{"uid", func(r *row) any { return &r.uid }},
		{"record", func(r *row) any { return &r.record }},
	},
	values: func(b *batch) []any {
		c := &b.columns
		return []any{c.log, c.leafIndex, c.time, c.uid, c.record}
	},
}

var uidTable = &table{
	name: "uids",
	columns: []tableColumn{
		{"uid_key", func(r *row) any { return &r.uidKey }},
		{"log", func(r *row) any { return &r.log }},
		{"leaf_index", func(r *row) any { return &r.index }},
		{"content", func(r *row) any { return &r.content }},
	},
	values: func(b *batch) []any {
		c := &b.columns
		return []any{views(c.uidKey), c.log, c.leafIndex, views(c.content)}
	},
}

var eventTable = &table{
	name: "events",
	columns: []tableColumn{
		{"time", func(r *row) any { return &r.time }},
		{"log", func(r *row) any { return &r.log }},
		{"leaf_index", func(r *row) any { return &r.index }},
		{"commit_seq", func(r *row) any { return &r.commit }},
		{"erased", func(r *row) any { return &r.erased }},
		{"uid", func(r *row) any { return &r.uid }},
		{"jurisdiction", func(r *row) any { return &r.jurisdictions }},
		{"region", func(r *row) any { return &r.region }},
		{"provider", func(r *row) any { return &r.provider }},
		{"account", func(r *row) any { return &r.account }},
		{"class", func(r *row) any { return &r.class }},
		{"class_name", func(r *row) any { return &r.className }},
		{"activity", func(r *row) any { return &r.activity }},
		{"activity_name", func(r *row) any { return &r.activityName }},
		{"service", func(r *row) any { return &r.service }},
		{"operation", func(r *row) any { return &r.operation }},
		{"status", func(r *row) any { return &r.status }},
		{"actor", func(r *row) any { return &r.actors }},
		{"src_ip", func(r *row) any { return &r.srcIP }},
		{"resource", func(r *row) any { return &r.resources }},
		{"text", func(r *row) any { return &r.text }},
	},
	values: func(b *batch) []any {
		c := &b.columns
		return []any{c.time, c.log, c.leafIndex, c.commitSeq, c.erased, c.uid, c.jurisdictions, c.region, c.provider, c.account,
			c.class, c.className, c.activity, c.activityName, c.service, c.operation, c.status, c.actors, c.srcIP, c.resources, c.text}
	},
}
