package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
)

const policyDocumentExample = `{"v":1,"ledger":"local","jurisdiction":"eu","regions":["aws:eu-central-1"],` +
	`"logs":[{"origin":"local/eu/control","vkey":"local/eu/control+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"}],` +
	`"emitters":[{"id":"cell","role":"cell"}],"stores":[{"id":"dir:` + entryEpoch + `:4711","kind":"directory"}],` +
	`"rules":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","quorum":"none","settle_ms":0,"skew_ms":300000,` +
	`"limits":{"heartbeat_ms":60000,"silence_ms":180000,"late_ms":300000}}`

func TestPolicyDocument(t *testing.T) {
	p, err := ledger.ParsePolicyDocument([]byte(policyDocumentExample))
	if err != nil {
		t.Fatal(err)
	}
	if p.Rules != ledger.EmptyHash || p.SkewMs != 300000 || p.Limits.LateMs != 300000 || p.ControlOrigin() != "local/eu/control" {
		t.Errorf("%+v", p)
	}
	if role, ok := p.Emitter("cell"); !ok || role != ledger.RoleCell {
		t.Error("the emitter is not found")
	}
	if _, ok := p.Emitter("cel"); ok {
		t.Error("an emitter that is not declared is found")
	}
	if vkey, ok := p.Log("local/eu/control"); !ok || !strings.HasPrefix(vkey, "local/eu/control+") {
		t.Error("the log is not found")
	}
	raw, err := p.Encode()
	if err != nil || string(raw) != policyDocumentExample {
		t.Errorf("%s, %v", raw, err)
	}
	if hash, err := p.Hash(); err != nil || hash != sha256.Sum256([]byte(policyDocumentExample)) {
		t.Errorf("%x, %v", hash, err)
	}
}

func TestParsePolicyDocumentRefuses(t *testing.T) {
	rows := []struct{ name, old, new string }{
		{"white space", `"v":1,`, `"v":1, `},
		{"another version", `"v":1`, `"v":2`},
		{"emitter twice", `[{"id":"cell","role":"cell"}]`, `[{"id":"cell","role":"cell"},{"id":"cell","role":"init"}]`},
		{"unknown role", `"role":"cell"`, `"role":"sel"`},
		{"a quorum that nobody can check", `"none"`, `"any"`},
		{"skew that allows everything", `"skew_ms":300000`, `"skew_ms":86400001`},
		{"trailing bytes", `300000}}`, `300000}}` + "\n"},
		{"a log without key", `,"vkey":"local/eu/control+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"`, ``},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(policyDocumentExample, row.old, row.new, 1)
			if text == policyDocumentExample {
				t.Fatal("the row changes nothing")
			}
			if _, err := ledger.ParsePolicyDocument([]byte(text)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func FuzzParsePolicyDocument(f *testing.F) {
	f.Add([]byte(policyDocumentExample))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ledger.ParsePolicyDocument(raw)
		if err != nil {
			return
		}
		if again, err := p.Encode(); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s\nencodes as\n%s, %v", raw, again, err)
		}
	})
}
