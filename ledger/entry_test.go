package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"domicile.dev/domicile/ledger"
)

// Parts of the examples below.
const (
	entryHash   = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"
	entryHash2  = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	entryRoot   = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	entryEpoch  = "0123456789abcdef0123456789abcdef"
	entryTime   = "2026-11-24T05:30:00.000Z"
	entryVKey   = "local/eu/events/0+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
	entryCommon = `,"time":"` + entryTime + `","emitter":"cell","epoch":"` + entryEpoch + `","seq":7,"policy":"` + entryHash + `"`
)

// entryExamples are valid entries, written by hand: the encoder has no part in them.
var entryExamples = []struct{ name, text string }{
	{"policy, the first", `{"v":1,"type":"policy"` + entryCommon + `,"hash":"` + entryHash + `","object":"attachment/` + entryHash + `","supersedes":null,"effective":"` + entryTime + `","approvals":[]}`},
	{"policy, approved", `{"v":1,"type":"policy"` + entryCommon + `,"hash":"` + entryHash + `","object":"attachment/` + entryHash + `","supersedes":"` + entryHash2 + `","effective":"2027-01-01T00:00:00.001Z","approvals":[{"by":"` + entryHash + `","time":"` + entryTime + `"},{"by":"` + entryHash2 + `","time":"` + entryTime + `"}]}`},
	{"node, first start", `{"v":1,"type":"node"` + entryCommon + `,"event":"start","role":"cell","build":"v0.1.0+4f2c","region":null,"basis":"declared","evidence":null,"nonce":null,"prev_epoch":null,"prev_last":null}`},
	{"node, later start", `{"v":1,"type":"node"` + entryCommon + `,"event":"start","role":"writer","build":"v0.1.0","region":"aws:eu-central-1","basis":"attestation","evidence":"` + entryHash + `","nonce":"` + entryHash2 + `","prev_epoch":"` + entryEpoch + `","prev_last":18446744073709551615}`},
	{"node, stop", `{"v":1,"type":"node"` + entryCommon + `,"event":"stop","role":"gateway","build":"devel","region":"azure:westeurope","basis":"metadata","evidence":null,"nonce":null,"prev_epoch":null,"prev_last":null}`},
	{"key of a log", `{"v":1,"type":"key"` + entryCommon + `,"event":"create","purpose":"log","kid":"c74f20a3","vkey":"` + entryVKey + `","region":null,"multi_region":null,"origin":"local/eu/events/0"}`},
	{"key of payloads", `{"v":1,"type":"key"` + entryCommon + `,"event":"observe","purpose":"payload","kid":"arn:aws:kms:eu-central-1:1:key/a","vkey":null,"region":"aws:eu-central-1","multi_region":false,"origin":null}`},
	{"batch", `{"v":1,"type":"batch"` + entryCommon + `,"origin":"local/eu/events/0","commit_seq":3,"commit_hash":"` + entryHash + `","first":0,"size":300,"root":"` + entryRoot + `","classes":[{"class":"default","objects":2,"records":300,"lock":"none","min_retain_until":null}],"positions":[{"cluster":"_x1Qp-2","topic":"domicile.eu.events.0","partition":0,"from":10,"next":310}],"collectors":[{"id":"collector/1","epoch":"` + entryEpoch + `","from":0,"next":301}],"duplicates":1,"leaf_regions":{"aws:eu-central-1":300},"rules":"` + entryHash2 + `","hits":0}`},
	{"batch of an idle log", `{"v":1,"type":"batch"` + entryCommon + `,"origin":"local/eu/events/0","commit_seq":0,"commit_hash":"` + entryHash + `","first":0,"size":0,"root":"` + entryRoot + `","classes":[],"positions":[],"collectors":[],"duplicates":0,"leaf_regions":{},"rules":"` + entryHash2 + `","hits":0}`},
	{"quarantine, held", `{"v":1,"type":"quarantine"` + entryCommon + `,"source":"file","reason":"duplicate_member","foreign_jur":null,"count":1,"set":null,"store":"dir:` + entryEpoch + `:4711","action":"held","dest":null}`},
	{"quarantine, routed", `{"v":1,"type":"quarantine"` + entryCommon + `,"source":"aws/trail-1","reason":"foreign","foreign_jur":"us","count":9,"set":"` + entryRoot + `","store":"s3:bucket/prefix","action":"routed","dest":"us"}`},
	{"access, intent", `{"v":1,"type":"access"` + entryCommon + `,"phase":"intent","op":"proof","principal":"` + entryHash + `","role":"operator","purpose":"audit","recipient":{"jur":"eu","basis":"cell"},"decision":"allow","rule":"default","query":"` + entryHash2 + `","content":"full","profile":null,"fields":[],"records":null,"bytes":null,"set":null,"of":null}`},
	{"access, done", `{"v":1,"type":"access"` + entryCommon + `,"phase":"done","op":"search","principal":null,"role":"system","purpose":"operation","recipient":{"jur":"unknown","basis":"network"},"decision":"allow_masked","rule":"r/1","query":null,"content":"masked","profile":"gdpr-1","fields":["/actor/user/name"],"records":1,"bytes":2048,"set":"` + entryRoot + `","of":12}`},
	{"gap in time", `{"v":1,"type":"gap"` + entryCommon + `,"subject":"aws/trail-1","from":"` + entryTime + `","to":"2026-11-24T06:30:00.000Z","cause":"outage","state":"open","evidence":null,"approvals":[],"of":null}`},
	{"gap in numbers", `{"v":1,"type":"gap"` + entryCommon + `,"subject":"collector/1","from":17,"to":20,"cause":"crash","state":"explained","evidence":"` + entryHash + `","approvals":[{"by":"` + entryHash + `","time":"` + entryTime + `"},{"by":"` + entryHash2 + `","time":"` + entryTime + `"}],"of":40}`},
	{"finding", `{"v":1,"type":"finding"` + entryCommon + `,"kind":"uid_conflict","ref":{"origin":"local/eu/events/0","index":41},"region":null,"state":"open","reason":null,"approvals":[],"of":null}`},
	{"finding, resolved", `{"v":1,"type":"finding"` + entryCommon + `,"kind":"foreign_region","ref":null,"region":"gcp:us-east1","state":"resolved","reason":"moved","approvals":[],"of":3}`},
	{"heartbeat", `{"v":1,"type":"heartbeat"` + entryCommon + `,"control_size":8,"control_root":"` + entryRoot + `","logs":[{"origin":"local/eu/events/0","size":300,"root":"` + entryRoot + `"}],"queued":0,"foreign":{"us":{"held":1,"routed":0}}}`},
}

func TestEntryExamples(t *testing.T) {
	seen := map[ledger.EntryType]bool{}
	for _, example := range entryExamples {
		t.Run(example.name, func(t *testing.T) {
			e, err := ledger.ParseEntry([]byte(example.text))
			if err != nil {
				t.Fatal(err)
			}
			seen[e.Type()] = true
			c := e.Common()
			if c.Time != 1795498200000 || c.Emitter != "cell" || c.Epoch != entryEpoch || c.Seq != 7 || c.Policy[0] != 0x5f {
				t.Errorf("common members: %+v", c)
			}
			if got := ledger.AppendEntry([]byte("x"), e); string(got) != "x"+example.text {
				t.Errorf("encodes as %s", got)
			}
		})
	}
	for _, name := range ledger.EntryTypes() {
		if !seen[name] {
			t.Errorf("no example of type %s", name)
		}
	}
}

func TestParseEntryValues(t *testing.T) {
	parse := func(name string) ledger.Entry {
		for _, example := range entryExamples {
			if example.name == name {
				e, err := ledger.ParseEntry([]byte(example.text))
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
		}
		t.Fatalf("no example %q", name)
		return nil
	}
	batch := parse("batch").(*ledger.BatchEntry)
	if batch.Size != 300 || batch.Root != ledger.EmptyHash || batch.Collectors[0].Next != 301 || batch.Positions[0].From != 10 ||
		batch.LeafRegions[0] != (ledger.RegionCount{Region: "aws:eu-central-1", Count: 300}) || batch.Classes[0].MinRetainUntil != nil {
		t.Errorf("batch: %+v", batch)
	}
	done := parse("access, done").(*ledger.AccessEntry)
	if done.Principal != nil || *done.Of != 12 || *done.Bytes != 2048 || done.Fields[0] != "/actor/user/name" || done.Recipient.Jur != "unknown" {
		t.Errorf("access: %+v", done)
	}
	start := parse("node, later start").(*ledger.NodeEntry)
	if *start.PrevLast != 1<<64-1 || start.PrevEpoch != entryEpoch {
		t.Errorf("node: %+v", start)
	}
	gap := parse("gap in numbers").(*ledger.GapEntry)
	if gap.From != (ledger.GapEnd{Number: true, Value: 17}) || len(gap.Approvals) != 2 {
		t.Errorf("gap: %+v", gap)
	}
}

// Each row is a valid example with one part replaced; the reader must refuse it and say which member is wrong.
func TestParseEntryRefuses(t *testing.T) {
	rows := []struct{ name, example, old, new, want string }{
		{"white space", "batch", `"seq":7`, `"seq": 7`, `"seq"`},
		{"white space after", "batch", `"hits":0}`, `"hits":0} `, "after its end"},
		{"leading zero", "batch", `"seq":7`, `"seq":07`, `"seq"`},
		{"a fraction", "batch", `"seq":7`, `"seq":7.0`, `"policy"`},
		{"a number beyond 64 bits", "node, later start", "18446744073709551615", "18446744073709551616", "64 bits"},
		{"negative", "batch", `"seq":7`, `"seq":-7`, `"seq"`},
		{"an escape", "batch", `"cell"`, `"\u0063ell"`, `"emitter"`},
		{"upper-case hex", "batch", entryHash2, strings.ToUpper(entryHash2), `"rules"`},
		{"short hash", "batch", entryHash2, entryHash2[1:], `"rules"`},
		{"base64 without padding", "batch", entryRoot, entryRoot[:43], `"root"`},
		{"base64 with loose bits", "batch", "uFU=", "uFV=", `"root"`},
		{"base64 with a line feed", "batch", "+/TImW+5", "+/TI\nmW+5", `"root"`},
		{"base64url", "batch", "+/TImW+5", "-_TImW-5", `"root"`},
		{"seconds only", "gap in time", "05:30:00.000Z", "05:30:00Z", `"time"`},
		{"offset", "gap in time", "05:30:00.000Z", "05:30:00.000+00:00", `"time"`},
		{"no such day", "gap in time", "2026-11-24T06", "2026-02-30T06", `"to"`},
		{"before 1970", "gap in time", "2026-11-24T05", "1969-11-24T05", `"time"`},
		{"leap second", "gap in time", "05:30:00.000Z", "05:30:60.000Z", `"time"`},
		{"members exchanged", "finding", `"region":null,"state":"open"`, `"state":"open","region":null`, `"region"`},
		{"extra member", "finding", `"of":null`, `"of":null,"x":1`, `expected }`},
		{"member twice", "finding", `"region":null`, `"region":null,"region":null`, `"state"`},
		{"missing member", "finding", `"region":null,`, ``, `"region"`},
		{"other version", "finding", `"v":1`, `"v":2`, "begin"},
		{"unknown type", "finding", `"type":"finding"`, `"type":"note"`, "unknown type"},
		{"type of another", "finding", `"type":"finding"`, `"type":"gap"`, `"subject"`},
		{"outside the enum", "finding", `"uid_conflict"`, `"uid_Conflict"`, `"kind"`},
		{"free text", "finding", `"cell"`, `"the cell"`, `"emitter"`},
		{"beyond ASCII", "finding", `"cell"`, `"zürich"`, `"emitter"`},
		{"a person", "access, intent", entryHash + `","role`, `alice@example.org","role`, `"principal"`},
		{"regions unsorted", "batch", `{"aws:eu-central-1":300}`, `{"gcp:a":1,"aws:b":2}`, `"leaf_regions"`},
		{"region twice", "batch", `{"aws:eu-central-1":300}`, `{"aws:b":1,"aws:b":2}`, `"leaf_regions"`},
		{"fields unsorted", "access, done", `["/actor/user/name"]`, `["/b","/a"]`, `"fields"`},
		{"trailing comma", "access, done", `["/actor/user/name"]`, `["/a",]`, `"fields"`},
		{"field too deep", "access, done", `"/actor/user/name"`, `"/a/b/c/d"`, `"fields"`},
		{"approver twice", "gap in numbers", entryHash2 + `","time`, entryHash + `","time`, "ascending"},
		{"explained by one", "gap in numbers", `,{"by":"` + entryHash2 + `","time":"` + entryTime + `"}`, ``, "two approvals"},
		{"ends of two kinds", "gap in numbers", `"to":20`, `"to":"` + entryTime + `"`, "one kind"},
		{"done without its intent", "access, done", `"of":12`, `"of":null`, "done"},
		{"intent of something", "access, intent", `"of":null`, `"of":1`, "intent"},
		{"half a link", "node, later start", `"prev_last":18446744073709551615`, `"prev_last":null`, "belong together"},
		{"stop with a link", "node, later start", `"start"`, `"stop"`, "prev_epoch"},
		{"routed to nowhere", "quarantine, routed", `"dest":"us"`, `"dest":null`, "dest"},
		{"log key without origin", "key of a log", `"origin":"local/eu/events/0"`, `"origin":null`, "origin"},
		{"cut off in a string", "heartbeat", entryExamples[len(entryExamples)-1].text[40:], ``, "unterminated"},
		{"partition beyond 31 bits", "batch", `"partition":0`, `"partition":2147483648`, `"partition"`},
		{"shard beyond nine digits", "finding", `events/0`, `events/1234567890`, `"origin"`},
		{"foreign origin", "finding", `local/eu/events/0`, `local/eu/other/0`, `"origin"`},
		{"nothing", "finding", "", "", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			text := ""
			for _, example := range entryExamples {
				if example.name == row.example && row.old != "" {
					text = strings.Replace(example.text, row.old, row.new, 1)
					if text == example.text {
						t.Fatal("the row changes nothing")
					}
				}
			}
			e, err := ledger.ParseEntry([]byte(text))
			if err == nil {
				t.Fatalf("accepted as %+v", e)
			}
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %q does not say %q", err, row.want)
			}
		})
	}
}

func TestEntrySize(t *testing.T) {
	e := &ledger.AccessEntry{EntryCommon: ledger.EntryCommon{Emitter: "cell", Epoch: entryEpoch},
		Phase: ledger.AccessIntent, Op: ledger.OpSearch, Role: "x", Purpose: ledger.PurposeAudit,
		Recipient: ledger.Recipient{Jur: "eu", Basis: ledger.RecipientCell}, Decision: ledger.Allow, Rule: "x", Content: ledger.ContentFull}
	for i := range 1100 {
		e.Fields = append(e.Fields, "/"+strings.Repeat("x", 50)+string([]byte{'a' + byte(i/676), 'a' + byte(i/26%26), 'a' + byte(i%26)}))
	}
	fits, err := ledger.EncodeEntry(e)
	if err != nil || len(fits) > ledger.MaxEntryBytes {
		t.Fatalf("%d bytes: %v", len(fits), err)
	}
	for range 100 {
		e.Fields = append(e.Fields, "/y"+strings.Repeat("y", len(e.Fields)%64)+"/"+strings.Repeat("z", 64))
	}
	e.Fields = e.Fields[:1100]
	for i := range 90 {
		e.Fields = append(e.Fields, "/z"+strings.Repeat("y", 60)+string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})+"/"+strings.Repeat("z", 64))
	}
	if raw, err := ledger.EncodeEntry(e); err == nil || !strings.Contains(err.Error(), "at most 65535") {
		t.Errorf("%d bytes: error %v", len(raw), err)
	}
	if got := ledger.AppendEntry([]byte("x"), e); string(got) != "x" {
		t.Errorf("an entry too long was appended: %d bytes", len(got))
	}
}

func TestEncodeEntryNamesTheMember(t *testing.T) {
	e := &ledger.HeartbeatEntry{EntryCommon: ledger.EntryCommon{Emitter: `cell","x":"`, Epoch: entryEpoch}}
	if _, err := ledger.EncodeEntry(e); err == nil || !strings.Contains(err.Error(), `"emitter"`) {
		t.Errorf("error %v", err)
	}
	if got := ledger.AppendEntry(nil, e); len(got) != 0 {
		t.Errorf("appended %s", got)
	}
}

// setRootByDefinition is RFC 6962's recursion, the slow way.
func setRootByDefinition(leaves [][]byte) [32]byte {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := setRootByDefinition(leaves[:k]), setRootByDefinition(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
	}
}

func TestSetRoot(t *testing.T) {
	salt := [32]byte{1, 2, 3}
	var leaves, data [][]byte
	for n := range 20 {
		if got, want := ledger.SetRoot(salt, leaves), setRootByDefinition(data); got != want {
			t.Errorf("%d leaves: %x, want %x", n, got, want)
		}
		leaf := binary.BigEndian.AppendUint32([]byte("leaf"), uint32(n))
		h := sha256.Sum256(bytes.Join([][]byte{{0x13}, salt[:], leaf}, nil))
		leaves, data = append(leaves, leaf), append(data, h[:])
	}
	root := ledger.SetRoot([32]byte{9}, leaves)
	if root == ledger.SetRoot(salt, leaves) {
		t.Error("the salt makes no difference")
	}
	if s := base64.StdEncoding.EncodeToString(root[:]); len(s) != 44 {
		t.Error(s)
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, example := range entryExamples {
		f.Add([]byte(example.text))
	}
	f.Add([]byte(`{"v":1,"type":"batch","time":`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := ledger.ParseEntry(raw)
		if err != nil {
			return
		}
		if again := ledger.AppendEntry(nil, e); !bytes.Equal(again, raw) {
			t.Errorf("%s\nencodes as\n%s", raw, again)
		}
	})
}
