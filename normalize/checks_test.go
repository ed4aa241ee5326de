package normalize_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/normalize"
)

// checker is a test, or a property.
type checker interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkEvent checks what must hold for every event; schemas may be nil.
func checkEvent(t checker, where string, o outcome, schemas map[int]*jsonschema.Schema) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(o.event.JSON))
	if err != nil {
		t.Errorf("%s: not JSON: %v\n%s", where, err, o.event.JSON)
		return
	}
	event := value.(map[string]any)
	uid, _ := event["class_uid"].(json.Number).Int64()
	if schemas != nil {
		if err := schemas[int(uid)].Validate(value); err != nil {
			t.Errorf("%s: %v\n%s", where, err, first(string(o.event.JSON), 3000))
		}
	}
	sum := sha256.Sum256(o.raw)
	if event["raw_data"] != string(o.raw) || event["raw_data_hash"].(map[string]any)["value"] != hex.EncodeToString(sum[:]) ||
		o.event.RawDigest != sum || fmt.Sprint(event["raw_data_size"]) != fmt.Sprint(len(o.raw)) {
		t.Errorf("%s: raw_data is not the record as delivered", where)
	}
	metadata, cloud := event["metadata"].(map[string]any), event["cloud"].(map[string]any)
	if metadata["uid"] != o.event.UID || o.event.UID == "" {
		t.Errorf("%s: uid %q", where, o.event.UID)
	}
	if fmt.Sprint(event["time"]) != fmt.Sprint(o.event.Time) || o.event.Time < 0 {
		t.Errorf("%s: time %v, header says %d", where, event["time"], o.event.Time)
	}
	// The leaf must agree with what the event discloses (ledger.md, "Leaf").
	provider, region, _ := strings.Cut(o.event.Region, ":")
	if provider != o.event.Provider || !strings.EqualFold(fmt.Sprint(cloud["provider"]), provider) {
		t.Errorf("%s: provider %v, region %s", where, cloud["provider"], o.event.Region)
	}
	if stated, ok := cloud["region"]; ok && stated != region || !ok && region != "unknown" {
		t.Errorf("%s: cloud.region %v, leaf says %s", where, cloud["region"], region)
	}
	if !slices.IsSorted(o.event.Jurisdictions) || o.event.Rule == "" {
		t.Errorf("%s: jurisdictions %v by rule %q", where, o.event.Jurisdictions, o.event.Rule)
	}
	if err := recordFormat(o.event.JSON); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	if missing := lost(o.raw, o.event.JSON); missing != "" {
		t.Errorf("%s: %s of the record stands nowhere in the event\n%s", where, missing, first(string(o.event.JSON), 3000))
	}
}

// freeForm are the members that a record keeps whole, whatever is in them (ledger.md, "Fields").
var freeForm = []string{"unmapped", "data", "xattributes", "evidence", "supporting_data", "access_result"}

// recordFormat checks the rules that the ledger has for an event.
func recordFormat(event []byte) error {
	if err := (rawjson.Form{Compact: true, MaxDepth: 64}).Valid(event); err != nil {
		return err
	}
	if len(event) > 4<<20 {
		return fmt.Errorf("event of %d bytes", len(event))
	}
	return ascending(event, 0)
}

func ascending(object []byte, depth int) error {
	previous := ""
	o := rawjson.Members(object)
	for n := 0; o.Next(); n++ {
		name := string(o.Name)
		if n > 0 && name <= previous {
			return fmt.Errorf("member %q after %q", name, previous)
		}
		if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return fmt.Errorf("member %q may not stand in an object that is cut", name)
		}
		previous = name
		if o.Value[0] == '{' && depth < 2 && !slices.Contains(freeForm, name) {
			if err := ascending(o.Value, depth+1); err != nil {
				return err
			}
		}
	}
	return o.Err()
}

// lost returns a leaf value of the record that stands nowhere in the event outside raw_data, "" if there is none.
// Values are compared in canonical spelling; one that was turned into a string counts as its text.
func lost(raw, event []byte) string {
	have := map[string]int{}
	o := rawjson.Members(event)
	for o.Next() {
		if string(o.Name) != "raw_data" {
			leaves(o.Value, func(v string) { have[v]++ })
		}
	}
	missing := ""
	leaves(raw, func(v string) {
		text := `"` + v + `"`
		switch {
		case have[v] > 0, have[text] > 0, have[strings.Trim(v, `"`)] > 0:
		case strings.HasPrefix(v, `"`) && addressSaid(strings.Trim(v, `"`), have):
		default:
			missing = v
		}
	})
	return missing
}

// addressSaid allows 203.0.113.25:443, which the event says as ip and port.
func addressSaid(v string, have map[string]int) bool {
	i := strings.LastIndexByte(v, ':')
	return i > 0 && have[`"`+strings.Trim(v[:i], "[]")+`"`] > 0 && have[v[i+1:]] > 0
}

func leaves(value []byte, visit func(string)) {
	switch value[0] {
	case '{':
		o := rawjson.Members(value)
		for o.Next() {
			leaves(o.Value, visit)
		}
	case '[':
		a := rawjson.Elements(value)
		for a.Next() {
			leaves(a.Value, visit)
		}
	default:
		c, _ := rawjson.AppendCanonical(nil, value)
		visit(string(c))
	}
}

// get returns the value at a path of the event, nil if there is none: names joined by "/", numbers for elements.
func get(t testing.TB, event *normalize.Event, path string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(event.JSON))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(path, "/") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i := 0
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	if n, ok := v.(json.Number); ok {
		return string(n)
	}
	return v
}
