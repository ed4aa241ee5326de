package vectors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
	"domicile.dev/domicile/ledger/ledgertest"
)

var update = flag.Bool("update", false, "write the vectors anew")

// The files are what the maker makes, and nothing else lies among them.
func TestFiles(t *testing.T) {
	_, files := makeVectors(t)
	if *update {
		for _, folder := range []string{"policy", "bundle", "commit", "proof", "receipt"} {
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
		}
		for name, data := range files {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Skip("vectors written; run the tests again without -update")
	}
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got, err := Files.ReadFile(name)
		if want, ok := files[name]; err == nil && (!ok || !bytes.Equal(got, want)) {
			t.Errorf("%s is not what go test ./schemas/vectors -update would write", name)
		}
		delete(files, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range files {
		t.Errorf("%s is missing; run go test ./schemas/vectors -update", name)
	}
}

func readIndex(t *testing.T) Index {
	t.Helper()
	text, err := Files.ReadFile("index.json")
	if err != nil {
		t.Fatal(err)
	}
	var index Index
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Cases) == 0 {
		t.Fatal("no cases")
	}
	return index
}

func (c *Case) input(t *testing.T) []byte {
	t.Helper()
	if c.File != "" {
		data, err := Files.ReadFile(c.File)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if c.InputBase64 != "" {
		data, err := base64.StdEncoding.DecodeString(c.InputBase64)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return []byte(c.Input)
}

func (c *Case) policies(t *testing.T) (policies []ledger.Policy) {
	t.Helper()
	for _, name := range c.Policies {
		file, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ledger.ParsePolicy(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		policies = append(policies, p)
	}
	return policies
}

// expectation is what a case expects, without the input.
func expectation(c Case) Case {
	c.Name, c.Kind, c.Why, c.Input, c.InputBase64, c.File, c.Leaf, c.Log, c.Policies = "", "", "", "", "", "", "", "", nil
	return c
}

func TestGo(t *testing.T) {
	var tree ledgertest.Tree // of the good commits
	for _, c := range readIndex(t).Cases {
		t.Run(c.Name, func(t *testing.T) {
			got, err := runGo(t, c, &tree)
			if want := expectation(c); !reflect.DeepEqual(got, want) {
				a, _ := json.Marshal(got)
				b, _ := json.Marshal(want)
				t.Errorf("%v\ngot  %s\nwant %s", err, a, b)
			}
		})
	}
}

func runGo(t *testing.T, c Case, tree *ledgertest.Tree) (got Case, err error) {
	input := c.input(t)
	switch c.Kind {
	case "record":
		record, err := ledger.ParseRecord(input)
		if err != nil {
			return got, err
		}
		got.Valid, got.Commitment = true, ledger.FormatHash(record.Commitment())
		shown := ledger.Mask(record, func(string) bool { return true }).Fields
		hidden := ledger.Mask(record, func(string) bool { return false }).Fields
		for i, f := range record.Fields {
			got.Fields = append(got.Fields, Field{f.Pointer, string(f.Value),
				base64.RawURLEncoding.EncodeToString(shown[i].Salt[:]), ledger.FormatHash(hidden[i].Hash)})
		}
	case "view":
		view, err := ledger.ParseView(input)
		if err != nil {
			return got, err
		}
		got.Valid, got.Commitment = true, ledger.FormatHash(view.Commitment())
	case "leaf":
		leaf, err := ledger.ParseLeaf(input)
		if err != nil {
			return got, err
		}
		got = Case{Valid: true, Hour: leaf.Hour, Region: leaf.Region, Commitment: ledger.FormatHash(leaf.Commitment),
			LeafHash: ledger.FormatHash(ledger.LeafHash(input))}
	case "commit":
		commit, err := ledger.ParseCommit(input)
		if err != nil {
			return got, err
		}
		got = Case{Valid: true, HeaderHash: fmt.Sprintf("%x", sha256.Sum256(commit.Line)), Size: commit.Header.Size}
		for _, l := range commit.Leaves {
			got.Leaves = append(got.Leaves, string(l))
			tree.Add(t, l)
		}
		got.Root = ledger.FormatHash(tree.Root(t, uint64(len(tree.Leaves))))
	case "proof":
		proof, err := ledger.ParseProof(input)
		if err != nil {
			return got, err
		}
		policy := c.policies(t)[0]
		checkpoint, _, err := policy.Verify(proof.Checkpoint, "ledger.example/eu/events/0")
		if err != nil {
			return got, err
		}
		if err := proof.VerifyInclusion(ledger.LeafHash([]byte(c.Leaf)), checkpoint); err != nil {
			return got, err
		}
		got = Case{Valid: true, Index: proof.Index, Size: checkpoint.Size, Root: ledger.FormatHash(checkpoint.Root)}
	case "bundle":
		verdict := ledger.VerifyBundle(input, c.policies(t))
		exit := map[ledger.Result]int{ledger.ResultVerified: 0, ledger.ResultFailed: 1, ledger.ResultInconclusive: 2}[verdict.Result]
		got.Exit, got.Valid = &exit, exit == 0
		for _, check := range verdict.Checks {
			if check.ID == c.Failed && check.Status == ledger.Failed {
				got.Failed = c.Failed
			}
		}
	case "receipt":
		exit := 0
		receipts, err := ledger.FindReceipts(input)
		verdicts := []*audit.ReceiptVerdict{}
		for _, r := range receipts {
			verdicts = append(verdicts, audit.CheckReceipt(t.Context(), r, c.policies(t), []audit.Objects{stored{c.Log}}))
		}
		if err != nil {
			verdicts = append(verdicts, audit.UnreadableReceipt(err))
		}
		for _, v := range verdicts {
			exit = max(exit, map[ledger.Result]int{ledger.ResultVerified: 0, ledger.ResultFailed: 1, ledger.ResultInconclusive: 2}[v.Result])
			for _, check := range v.Checks {
				if check.ID == c.Failed && check.Status == ledger.Failed {
					got.Failed = c.Failed
				}
			}
		}
		got.Exit, got.Valid = &exit, exit == 0
	default:
		t.Fatalf("unknown kind %q", c.Kind)
	}
	return got, nil
}

// stored is a store among the vectors.
type stored struct{ folder string }

func (s stored) Read(_ context.Context, key string, _ []byte, _ int64) ([]byte, error) {
	return Files.ReadFile(s.folder + "/" + key)
}

func (stored) List(context.Context, string) iter.Seq2[audit.Object, error] { return nil }

// harness runs docs/verify_event.py as a module, one case a line.
const harness = `
import base64, contextlib, io, json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import verify_event as v
for line in sys.stdin:
    case = json.loads(line)
    data = base64.b64decode(case["data"])
    got = {"name": case["name"], "valid": True}
    try:
        if case["kind"] == "record":
            commitment, fields = v.read_record(data)
            got["commitment"], got["pointers"] = v.b64(commitment), [p.decode() for p in fields]
        elif case["kind"] == "view":
            got["commitment"] = v.b64(v.read_view(data)[0])
        elif case["kind"] == "leaf":
            hour, provider, region, commitment = v.read_leaf(data)
            got.update(hour=hour, region=(provider + b":" + region).decode(), commitment=v.b64(commitment))
        elif case["kind"] == "proof":
            index, path, note = v.read_proof(data)
            text, origin, size, root, _ = v.read_note(note)
            with open(case["policies"][0], "rb") as f:
                v.Policy(f.read()).verify(note)
            if v.root_of(index, size, case["leaf"].encode(), path) != root:
                raise v.Bad("another root")
            got.update(index=index, size=size, root=v.b64(root))
        elif case["kind"] == "bundle":
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                got["exit"] = v.main([case["file"]] + ["--policy=" + p for p in case["policies"] or []])
            got["valid"], got["reason"] = got["exit"] == 0, said.getvalue()
    except v.Bad as e:
        got = {"name": case["name"], "valid": False, "reason": str(e)}
    print(json.dumps(got))
`

// The Python verifier, which shares nothing with the Go one, has to come to the same results.
func TestPython(t *testing.T) {
	python, docs := findPython(t)
	type line struct {
		Name     string   `json:"name"`
		Kind     string   `json:"kind"`
		Data     []byte   `json:"data"`
		File     string   `json:"file"`
		Policies []string `json:"policies"`
		Leaf     string   `json:"leaf"`
	}
	var in bytes.Buffer
	cases := make(map[string]Case)
	for _, c := range readIndex(t).Cases {
		if c.Kind == "commit" || c.Kind == "receipt" || c.Name == "proof: extra line" {
			continue // the script reads no commits and no receipts, and of proofs what a bundle may hold
		}
		if err := json.NewEncoder(&in).Encode(line{c.Name, c.Kind, c.input(t), c.File, c.Policies, c.Leaf}); err != nil {
			t.Fatal(err)
		}
		cases[c.Name] = c
	}
	cmd := exec.Command(python, "-c", harness, docs)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v", err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var got struct {
			Case
			Pointers []string `json:"pointers"`
			Reason   string   `json:"reason"`
		}
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		want, ok := cases[got.Name]
		delete(cases, got.Name)
		var pointers []string
		for _, f := range want.Fields {
			pointers = append(pointers, f.Pointer)
		}
		if !ok || got.Valid != want.Valid || got.Commitment != want.Commitment || got.Hour != want.Hour || got.Region != want.Region ||
			got.Index != want.Index || got.Size != want.Size || got.Root != want.Root || !reflect.DeepEqual(got.Exit, want.Exit) ||
			strings.Join(got.Pointers, " ") != strings.Join(pointers, " ") {
			t.Errorf("%s: got %+v, because: %s", got.Name, got.Case, got.Reason)
		}
	}
	for name := range cases {
		t.Errorf("%s: no answer", name)
	}
}

// The script as a person runs it.
func TestPythonScript(t *testing.T) {
	python, docs := findPython(t)
	for _, tt := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"bundle/record.json", "--policy", "policy/control.policy"}, 0, "\nVERIFIED\n"},
		{[]string{"bundle/bad-record-changed.json", "--policy", "policy/control.policy"}, 1, "\nFAILED\n"},
		{[]string{"bundle/record.json"}, 2, "give the policy file of ledger.example/eu/control with --policy"},
		{[]string{"bundle/missing.json"}, 3, "No such file"},
		{[]string{"bundle/record.json", "--policy", "bundle/record.json"}, 3, "policy bundle/record.json: line 1"},
		{nil, 3, "usage: verify_event.py"},
	} {
		cmd := exec.Command(python, append([]string{"-B", filepath.Join(docs, "verify_event.py")}, tt.args...)...)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != tt.exit || !strings.Contains(string(out), tt.says) {
			t.Errorf("%q: exit code %d, want %d:\n%s", tt.args, code, tt.exit, out)
		}
	}
}

// findPython returns a Python and the folder of the script. Without Python 3 or OpenSSL 3 the test is skipped, except
// in CI, where both have to be there.
func findPython(t *testing.T) (python, docs string) {
	t.Helper()
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	skip := t.Skipf
	if os.Getenv("CI") != "" {
		skip = t.Fatalf
	}
	python, err = exec.LookPath("python3")
	if err != nil {
		skip("SKIPPED: the independent verifier docs/verify_event.py was not tried: no python3: %v", err)
	}
	openssl, err := exec.Command("openssl", "version").Output()
	if err != nil || !strings.HasPrefix(string(openssl), "OpenSSL 3") {
		skip("SKIPPED: the independent verifier docs/verify_event.py was not tried: no OpenSSL 3: %s %v", openssl, err)
	}
	return python, docs
}
