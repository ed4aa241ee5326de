package index

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// A row is what the tables hold of one leaf. Its strings and record may share the memory of the record line.
type row struct {
	log      string
	index    uint64
	commit   uint64
	erased   bool
	time     int64
	uid      string
	region   string
	provider string
	account  string

	class        uint32
	className    string
	activity     uint32
	activityName string

	service   string
	operation string
	status    string
	srcIP     string

	jurisdictions []string
	actors        []string
	resources     []string

	text   string
	record string

	uidKey, content key
}

// A key is what the ledger knows a uid or a content by (log.UIDKey, log.ContentKey).
type key = [16]byte

// maxValue bounds what a column keeps of one value, in bytes. It is above what providers allow (an ARN has 2,048
// characters at most); what is longer is cut, and no filter can ask for it.
const maxValue = 2048

// A field says what a column takes from where in the event.
type field struct {
	pointer string
	take    func(d *deriver, r *row, value []byte)
}

// fields is the table of what becomes a column, by the pointer of the event's field, in ascending order. Where several
// pointers give one column the first that holds something counts, and of names all do.
var fields = []field{
	{"/activity_id", func(d *deriver, r *row, v []byte) { r.activity = uint32(integer(v)) }},
	{"/activity_name", func(d *deriver, r *row, v []byte) { r.activityName = d.text(v) }},
	{"/actor/app_name", func(d *deriver, r *row, v []byte) { d.app = d.text(v) }},
	{"/actor/user/email_addr", (*deriver).actor},
	{"/actor/user/name", (*deriver).shownActor},
	{"/actor/user/uid", (*deriver).actor},
	{"/api/operation", func(d *deriver, r *row, v []byte) { r.operation = d.text(v) }},
	{"/api/service/name", func(d *deriver, r *row, v []byte) { r.service = d.text(v) }},
	{"/class_name", func(d *deriver, r *row, v []byte) { r.className = d.text(v) }},
	{"/class_uid", func(d *deriver, r *row, v []byte) { r.class = uint32(integer(v)) }},
	{"/cloud/account/uid", func(d *deriver, r *row, v []byte) { r.account = d.text(v) }},
	{"/cloud/provider", func(d *deriver, r *row, v []byte) { r.provider = d.intern(v) }},
	{"/cloud/region", func(d *deriver, r *row, v []byte) { d.cloudRegion = d.text(v) }},
	{"/enrichments", (*deriver).residency},
	{"/metadata/uid", func(d *deriver, r *row, v []byte) { d.whole = d.full(v) }},
	{"/resources", (*deriver).resource},
	{"/src_endpoint/ip", (*deriver).source},
	{"/src_endpoint/name", (*deriver).source},
	{"/src_endpoint/svc_name", (*deriver).source},
	{"/status", func(d *deriver, r *row, v []byte) { r.status = d.text(v) }},
	{"/time", func(d *deriver, r *row, v []byte) { r.time = integer(v) }},
	{"/user/email_addr", (*deriver).actor},
	{"/user/name", (*deriver).shownActor},
	{"/user/uid", (*deriver).actor},
}

// A deriver makes rows of record lines. It keeps buffers between them and is not safe for concurrent use.
type deriver struct {
	cutter  ledger.Cutter
	fields  []ledger.Field
	texts   textList
	lower   map[string]string   // provider names in lower case
	sets    map[string]placeSet // by the bytes of the enrichment: there are few
	strings []string            // where the next row's lists begin

	// What is known of the row that is being made.
	app, cloudRegion, whole string
}

// placeSet is what an enrichment says of where an event belongs.
type placeSet struct {
	region        string
	jurisdictions []string
}

// unknown is the jurisdiction of what no evidence places.
const unknown = "unknown"

var unknownJurisdiction = []string{unknown}

// derive makes the row of a record line. An empty line is that of an erased record: its leaf says the hour and region,
// and nothing else is left. The row shares the line's memory.
func (d *deriver) derive(r *row, line []byte) error {
	rest, ok := cutRecord(line)
	if !ok {
		return fmt.Errorf("record line does not begin as one: %.40q", line)
	}
	var err error
	if d.fields, err = d.cutter.Cut(rest, d.fields[:0]); err != nil {
		return err
	}
	r.record = view(line)
	d.app, d.cloudRegion, d.whole = "", "", ""
	d.take(r)
	r.uid = clipValue(d.whole)
	r.uidKey, r.content = log.UIDKey(d.whole), log.ContentKey(d.fields)
	r.text = d.texts.of(d.fields)
	if len(r.actors) == 0 && d.app != "" {
		r.actors = d.one(d.app)
	}
	if r.region == "" && r.provider != "" {
		r.region = r.provider + ":" + or(d.cloudRegion, ledger.RegionUnknown)
	}
	if r.provider == "" {
		r.provider, _, _ = strings.Cut(r.region, ":")
	}
	if len(r.jurisdictions) == 0 {
		r.jurisdictions = unknownJurisdiction
	}
	return nil
}

// take walks the table and the event's fields at once: both are in ascending order.
func (d *deriver) take(r *row) {
	next := 0
	for i := range d.fields {
		f := &d.fields[i]
		for next < len(fields) && fields[next].pointer < f.Pointer {
			next++
		}
		if next == len(fields) {
			return
		}
		if fields[next].pointer == f.Pointer {
			fields[next].take(d, r, f.Value)
		}
	}
}

// eraseRow makes the row of an erased record from its leaf.
func eraseRow(r *row, leaf []byte) error {
	l, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return err
	}
	r.erased, r.time, r.region = true, l.Hour*ledger.MillisPerHour, l.Region
	r.provider, _, _ = strings.Cut(l.Region, ":")
	r.jurisdictions = unknownJurisdiction
	return nil
}

// cutRecord returns the event of a record line. The line was checked when it was made, and is checked against its leaf
// before anybody relies on it.
func cutRecord(line []byte) (event []byte, ok bool) {
	const head = `{"salt":"`
	const mid = `","event":`
	if len(line) <= ledger.RecordOverhead || string(line[:len(head)]) != head || line[len(line)-1] != '}' {
		return nil, false
	}
	at := ledger.RecordOverhead - 1
	if string(line[at-len(mid):at]) != mid {
		return nil, false
	}
	return line[at : len(line)-1], true
}

// integer reads a JSON integer; what is none, or does not fit, is 0, as it is for an event that lacks the field.
func integer(v []byte) int64 {
	n, err := strconv.ParseInt(view(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// text is the text of a JSON string, cut to what a column keeps; "" for every other value.
func (d *deriver) text(v []byte) string { return clipValue(d.full(v)) }

func (d *deriver) full(v []byte) string {
	if len(v) < 2 || v[0] != '"' {
		return ""
	}
	body := v[1 : len(v)-1]
	for _, c := range body {
		if c == '\\' {
			plain, _ := rawjson.AppendUnescaped(make([]byte, 0, len(body)), body)
			return view(plain)
		}
	}
	return view(body)
}

// clipValue cuts what no column keeps, between two characters.
func clipValue(s string) string {
	if len(s) <= maxValue {
		return s
	}
	end := maxValue
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// intern returns a text in lower case.
func (d *deriver) intern(v []byte) string {
	s := d.text(v)
	if low, ok := d.lower[s]; ok {
		return low
	}
	low := strings.ToLower(s)
	if d.lower == nil {
		d.lower = make(map[string]string)
	}
	if len(d.lower) < maxKept {
		d.lower[strings.Clone(s)] = strings.Clone(low)
	}
	return low
}

// maxKept bounds what a deriver remembers: an attacker's events may all differ.
const maxKept = 1024

// one returns a list of one string.
func (d *deriver) one(s string) []string {
	if len(d.strings) == cap(d.strings) {
		d.strings = make([]string, 0, 1024) // rows that are on their way keep the one before
	}
	d.strings = append(d.strings, s)
	return d.strings[len(d.strings)-1 : len(d.strings) : len(d.strings)]
}

// add appends a name to a list of names unless it is there.
func (d *deriver) add(list []string, s string) []string {
	if s == "" {
		return list
	}
	for _, have := range list {
		if have == s {
			return list
		}
	}
	if list == nil {
		return d.one(s)[:1:1]
	}
	return append(list, s)
}

func (d *deriver) actor(r *row, v []byte) { r.actors = d.add(r.actors, d.text(v)) }

// shownActor puts a name before all others.
func (d *deriver) shownActor(r *row, v []byte) {
	name := d.text(v)
	before := r.actors
	r.actors = d.add(nil, name)
	for _, other := range before {
		r.actors = d.add(r.actors, other)
	}
}

func (d *deriver) source(r *row, v []byte) {
	if r.srcIP == "" {
		r.srcIP = d.text(v)
	}
}

// residency reads the enrichment that says where the event belongs:
// [{"data":{"countries":[…],"jurisdictions":[…],"region":"aws:eu-central-1",…},"name":"cloud.region","type":"residency","value":…},…].
func (d *deriver) residency(r *row, v []byte) {
	set, ok := d.sets[view(v)]
	if !ok {
		set = d.readResidency(v)
		if d.sets == nil {
			d.sets = make(map[string]placeSet)
		}
		if len(d.sets) < maxKept && len(v) < 4096 {
			d.sets[string(v)] = set
		}
	}
	r.region, r.jurisdictions = set.region, set.jurisdictions
}

func (d *deriver) readResidency(v []byte) (set placeSet) {
	list := rawjson.Elements(v)
	for list.Next() {
		var data []byte
		residency := false
		members := rawjson.Members(list.Value)
		for members.Next() {
			switch string(members.Name) {
			case "data":
				data = members.Value
			case "type":
				residency = string(members.Value) == `"residency"`
			}
		}
		if !residency || data == nil {
			continue
		}
		said := rawjson.Members(data)
		for said.Next() {
			switch string(said.Name) {
			case "region":
				set.region = strings.Clone(d.text(said.Value))
			case "jurisdictions":
				ids := rawjson.Elements(said.Value)
				for ids.Next() {
					if id := d.text(ids.Value); id != "" {
						set.jurisdictions = append(set.jurisdictions, strings.Clone(id))
					}
				}
			}
		}
		return set
	}
	return set
}

// resource reads the uids and names of [{"name":…,"uid":…},…].
func (d *deriver) resource(r *row, v []byte) {
	list := rawjson.Elements(v)
	for list.Next() {
		members := rawjson.Members(list.Value)
		for members.Next() {
			if n := string(members.Name); n == "uid" || n == "name" {
				r.resources = d.add(r.resources, d.text(members.Value))
			}
		}
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// view is b as a string that shares its memory: nobody writes into a record line.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
