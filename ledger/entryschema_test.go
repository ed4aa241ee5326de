package ledger_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/schemas/control"
)

const schemaBase = "https://domicile.dev/schemas/control/"

// compileSchemas compiles every schema of schemas/control, by the name before .schema.json.
func compileSchemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	names, err := fs.Glob(control.Files, "*.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		raw, err := control.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := c.AddResource(schemaBase+name, doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	schemas := map[string]*jsonschema.Schema{}
	for _, name := range names {
		schema, err := c.Compile(schemaBase + name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		schemas[strings.TrimSuffix(name, ".schema.json")] = schema
	}
	return schemas
}

// A node of an ordered JSON tree: exactly one of the fields is used.
type node struct {
	scalar  string // raw JSON
	names   []string
	members []*node // of an object, with names; of an array, without
	array   bool
}

func parseNode(t *testing.T, dec *json.Decoder) *node {
	t.Helper()
	token, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		raw, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		return &node{scalar: string(raw)}
	}
	n := &node{array: delim == '['}
	for dec.More() {
		if !n.array {
			name, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			n.names = append(n.names, name.(string))
		}
		n.members = append(n.members, parseNode(t, dec))
	}
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) text() string {
	if n.scalar != "" {
		return n.scalar
	}
	var b strings.Builder
	for i, m := range n.members {
		if i > 0 {
			b.WriteByte(',')
		}
		if !n.array {
			fmt.Fprintf(&b, "%q:", n.names[i])
		}
		b.WriteString(m.text())
	}
	if n.array {
		return "[" + b.String() + "]"
	}
	return "{" + b.String() + "}"
}

// walk visits n and everything below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, m := range n.members {
		m.walk(visit)
	}
}

// mutations gives the texts that differ from root's in one place: members left out and added, and every value replaced
// by values of all types (the hash lies between the two of the examples, so that it keeps the order of elements, which
// no schema can state). They are in canonical form as far as the value was.
func mutations(root *node, more []string) []string {
	values := append([]string{"null", "true", "false", "0", "12", "0.5", "-1", "18446744073709551616", `""`, `"x"`, `"two words"`, `"unknown"`, "[]", "{}", `[0]`, `{"x":0}`, `"60` + entryHash2[2:] + `"`}, more...)
	var texts []string
	root.walk(func(n *node) {
		was := *n
		for _, other := range values {
			*n = node{scalar: other}
			texts = append(texts, root.text())
		}
		*n = was
		if was.scalar != "" || was.array {
			return
		}
		for i := range was.members {
			n.names = append(append([]string{}, was.names[:i]...), was.names[i+1:]...)
			n.members = append(append([]*node{}, was.members[:i]...), was.members[i+1:]...)
			texts = append(texts, root.text())
		}
		n.names = append(append([]string{}, was.names...), "extra")
		n.members = append(append([]*node{}, was.members...), &node{scalar: "1"})
		texts = append(texts, root.text())
		*n = was
	})
	return texts
}

// enumValues lists, as JSON, every string that stands in an enum of the schemas given.
func enumValues(t *testing.T, names ...string) []string {
	t.Helper()
	var found []string
	for _, name := range names {
		raw, err := control.Files.ReadFile(name + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		parseNode(t, dec).walk(func(n *node) {
			for i, member := range n.names {
				if member == "enum" {
					for _, value := range n.members[i].members {
						found = append(found, value.scalar)
					}
				}
			}
		})
	}
	return found
}

// agree requires that the schema and the decoder accept, or refuse, alike.
func agree(t *testing.T, schema *jsonschema.Schema, text string, decode func([]byte) error) (accepted bool) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	bySchema, byDecoder := schema.Validate(value), decode([]byte(text))
	if (bySchema == nil) != (byDecoder == nil) {
		t.Errorf("%s\nschema:  %v\ndecoder: %v", text, bySchema, byDecoder)
	}
	return byDecoder == nil
}

func decodeEntry(raw []byte) error { _, err := ledger.ParseEntry(raw); return err }

func decodePolicyDocument(raw []byte) error { _, err := ledger.ParsePolicyDocument(raw); return err }

// The schemas are what others validate with; what they say and what the program takes must be the same.
func TestSchemasAndDecodersAgree(t *testing.T) {
	schemas := compileSchemas(t)
	type row struct {
		name, schema, text string
		decode             func([]byte) error
	}
	var rows []row
	for _, example := range entryExamples {
		e, err := ledger.ParseEntry([]byte(example.text))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{example.name, string(e.Type()), example.text, decodeEntry})
	}
	rows = append(rows, row{"policy document", "policy-document", policyDocumentExample, decodePolicyDocument})
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			schema := schemas[row.schema]
			if schema == nil {
				t.Fatalf("no schema %s", row.schema)
			}
			if !agree(t, schema, row.text, row.decode) {
				t.Fatal("the example is refused")
			}
			dec := json.NewDecoder(strings.NewReader(row.text))
			dec.UseNumber()
			root := parseNode(t, dec)
			if root.text() != row.text {
				t.Fatalf("the tree is written as %s", root.text())
			}
			refused := 0
			for _, text := range mutations(root, enumValues(t, row.schema, "common")) {
				if !agree(t, schema, text, row.decode) {
					refused++
				}
			}
			if refused < 100 {
				t.Errorf("only %d mutations were refused", refused)
			}
		})
	}
}

// Every schema is for something, and refuses members that it does not name.
func TestSchemasAreClosed(t *testing.T) {
	schemas := compileSchemas(t)
	known := map[string]bool{"common": true, "policy-document": true}
	for _, name := range ledger.EntryTypes() {
		known[string(name)] = true
		if schemas[string(name)] == nil {
			t.Errorf("no schema for entries of type %s", name)
		}
	}
	for name := range schemas {
		if !known[name] {
			t.Errorf("%s.schema.json is for no entry type", name)
		}
	}
}
