package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"domicile.dev/domicile/schemas/control"
)

// schemaFiles loads the embedded schemas by the last part of their address.
type schemaFiles struct{}

func (schemaFiles) Load(url string) (any, error) {
	raw, err := control.Files.ReadFile(path.Base(url))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(raw))
}

// entryPatterns says what the string fields of entries hold, by field name.
var entryPatterns = map[string]string{
	"Emitter": `[a-z][a-z0-9/.:+-]{0,20}`, "Epoch": `[0-9a-f]{32}`, "PrevEpoch": `([0-9a-f]{32})?`, "Object": `attachment/[0-9a-f]{64}`,
	"Build": `v[0-9]\.[0-9]`, "Region": `([a-z]{2,4}:[a-z0-9]{1,9}-[0-9])?`, "KID": `[A-Za-z0-9:/]{1,30}`, "Origin": `[a-z]{1,5}/[a-z]{2}/events/[0-9]`,
	"VKey": `[a-z/]{1,5}x\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}`, "Class": `[a-z_]{1,9}`, "Cluster": `[A-Za-z0-9_-]{22}`, "Topic": `[a-z.]{1,20}`,
	"ID": `[a-z]{1,9}`, "Source": `[a-z/]{1,9}`, "Reason": `([a-z_]{1,9})?`, "ForeignJur": `([a-z]{2})?`, "Store": `(s3|dir):[a-z0-9/]{1,9}`,
	"Dest": `([a-z]{2})?`, "Role": `[a-z]{1,9}`, "Jur": `[a-z]{2,9}`, "Rule": `[a-z0-9/]{1,9}`, "Profile": `([a-z0-9-]{1,9})?`,
	"Fields": `(/[a-z_]{1,9}){1,3}`, "Subject": `[a-z/]{1,9}`,
}

// entryEnums gives the sets of the enum types.
var entryEnums = map[reflect.Type][]string{}

func entryEnumSet[T ~string](set []T) {
	for _, v := range set {
		t := reflect.TypeFor[T]()
		entryEnums[t] = append(entryEnums[t], string(v))
	}
}

// drawValue fills v with a value that is mostly valid: orders and rules across members are left to chance.
func drawValue(t *rapid.T, v reflect.Value, field string) {
	switch v.Kind() {
	case reflect.Pointer:
		if rapid.Bool().Draw(t, field+" present") {
			v.Set(reflect.New(v.Type().Elem()))
			drawValue(t, v.Elem(), field)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			drawValue(t, v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 2).Draw(t, field+" length")
		for range n {
			one := reflect.New(v.Type().Elem()).Elem()
			drawValue(t, one, field)
			v.Set(reflect.Append(v, one))
		}
	case reflect.Array:
		copy(v.Slice(0, v.Len()).Bytes(), rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, field))
	case reflect.String:
		if set, ok := entryEnums[v.Type()]; ok {
			v.SetString(rapid.SampledFrom(set).Draw(t, field))
			return
		}
		pattern, ok := entryPatterns[field]
		if !ok {
			t.Fatalf("no pattern for the field %s", field)
		}
		v.SetString(rapid.StringMatching(pattern).Draw(t, field))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, field))
	case reflect.Int:
		v.SetInt(rapid.Int64Range(0, 1<<31-1).Draw(t, field))
	case reflect.Int64:
		v.SetInt(rapid.Int64Range(0, maxEntryTime).Draw(t, field))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, field))
	default:
		panic(fmt.Sprint("field of kind ", v.Kind()))
	}
}

// The schemas state as patterns what the program states as functions.
func TestEntryTextMatchesSchemaPatterns(t *testing.T) {
	raw, err := control.Files.ReadFile("common.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var common struct {
		Defs map[string]struct {
			Pattern   string
			MaxLength int
		} `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &common); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]textKind{"id": entryID, "origin": entryOrigin, "store": entryStoreID, "hash": entryHex64, "epoch": entryEpoch, "code": entryCode,
		"jurisdiction": entryJurisdiction, "region": entryRegion, "kafka_name": entryKafkaName, "vkey": entryVKey, "pointer": entryPointer, "attachment": entryAttachment}
	for name, def := range common.Defs {
		kind, ok := kinds[name]
		if !ok {
			continue
		}
		delete(kinds, name)
		t.Run(name, func(t *testing.T) {
			pattern := regexp.MustCompile(def.Pattern)
			rapid.Check(t, func(t *rapid.T) {
				b := []byte(rapid.StringMatching(def.Pattern).Draw(t, "text"))
				switch at := rapid.IntRange(0, len(b)-1).Draw(t, "at"); rapid.IntRange(0, 4).Draw(t, "edit") {
				case 1: // one byte out of those that matter
					b[at] = rapid.SampledFrom([]byte("aAzZ09gG_-./:+=\"\\<>& \n\x00\x7f\xff")).Draw(t, "byte")
				case 2:
					b = append(b[:at], b[at+1:]...)
				case 3:
					b = append(b, b[at:]...)
				case 4:
					b = bytes.Repeat(b, rapid.IntRange(0, 9).Draw(t, "times"))
				}
				want := pattern.Match(b) && (def.MaxLength == 0 || len(b) <= def.MaxLength)
				if got := kind.ok(string(b)); got != want {
					t.Fatalf("%q: the program says %v, the schema %v", b, got, want)
				}
			})
		})
	}
	for name := range kinds {
		t.Errorf("common.schema.json does not define %s", name)
	}
}

// What is encoded is read back as it was, and the schema of its type takes it.
func TestEntryRoundTrip(t *testing.T) {
	entryEnumSet(nodeEvents)
	entryEnumSet(nodeBases)
	entryEnumSet(roles)
	entryEnumSet(keyEvents)
	entryEnumSet(keyPurposes)
	entryEnumSet(lockModes)
	entryEnumSet(quarantineActions)
	entryEnumSet(accessPhases)
	entryEnumSet(accessOps)
	entryEnumSet(accessPurposes)
	entryEnumSet(recipientBases)
	entryEnumSet(decisions)
	entryEnumSet(contents)
	entryEnumSet(gapCauses)
	entryEnumSet(gapStates)
	entryEnumSet(findingKinds)
	entryEnumSet(findingStates)
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemaFiles{})
	for _, entryType := range entryTypes {
		t.Run(string(entryType.name), func(t *testing.T) {
			schema, err := compiler.Compile(string(entryType.name) + ".schema.json")
			if err != nil {
				t.Fatal(err)
			}
			encoded := 0
			check := func(t *rapid.T) {
				e := entryType.make()
				drawValue(t, reflect.ValueOf(e).Elem(), "")
				raw, err := EncodeEntry(e)
				if err != nil {
					return // chance broke a rule across members
				}
				encoded++
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
				if err != nil {
					t.Fatalf("%s\n%v", raw, err)
				}
				if err := schema.Validate(value); err != nil {
					t.Fatalf("%s\n%v", raw, err)
				}
				again, err := ParseEntry(raw)
				if err != nil {
					t.Fatalf("%s\n%v", raw, err)
				}
				if !reflect.DeepEqual(e, again) {
					t.Fatalf("%s\nis read as %+v\nwas        %+v", raw, again, e)
				}
			}
			// A short run draws few values, and chance may break a rule in all of them.
			for tries := 0; encoded == 0; tries++ {
				if tries == 100 {
					t.Fatal("no entry was ever encoded")
				}
				rapid.Check(t, check)
			}
		})
	}
}
