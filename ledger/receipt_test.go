package ledger

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const receiptText = `{"v":1,"origin":"local/eu/control","emitter":"command","epoch":"0123456789abcdef0123456789abcdef","seq":3,"index":17,"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`

var receipt = Receipt{Origin: "local/eu/control", Emitter: "command", Epoch: "0123456789abcdef0123456789abcdef", Seq: 3, Index: 17}

func TestParseReceipt(t *testing.T) {
	edit := func(old, by string) string {
		if !strings.Contains(receiptText, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(receiptText, old, by, 1)
	}
	for _, test := range []struct{ name, text, err string }{
		{"as it is written", receiptText, ""},
		{"white space and order are free", "\n" + strings.NewReplacer(",", " ,\n ", `{"v":1,"origin":"local/eu/control"`, `{"origin" : "local/eu/control" , "v":1`).Replace(receiptText) + " \t", ""},
		{"escapes in strings are free", edit("command", `\u0063ommand`), ""},
		{"the largest numbers", edit(":17,", ":9223372036854775807,"), ""},

		{"nothing", ``, "too soon"},
		{"no object", `[]`, "receipt"},
		{"data after it", receiptText + "{}", "receipt"},
		{"another version", edit(`"v":1`, `"v":2`), "version 2"},
		{"a version as text", edit(`"v":1`, `"v":"1"`), "version"},
		{"an unknown member", edit(`"seq"`, `"next":0,"seq"`), `unknown member "next"`},
		{"a member in upper case", edit(`"seq"`, `"Seq"`), `unknown member "Seq"`},
		{"a member twice", edit(`"seq":3`, `"seq":3,"seq":3`), `"seq" stands twice`},
		{"a member missing", edit(`"seq":3,`, ``), `"seq" is missing`},
		{"null", edit(`"seq":3`, `"seq":null`), `"seq"`},
		{"a negative number", edit(`"seq":3`, `"seq":-3`), `"seq"`},
		{"a fraction", edit(`"seq":3`, `"seq":3.0`), `"seq"`},
		{"a number beyond 63 bits", edit(":17,", ":9223372036854775808,"), `"index"`},
		{"a number as text", edit(":17,", `:"17",`), `"index"`},
		{"an events log", edit("eu/control", "eu/events/0"), "not a control log"},
		{"no origin", edit("local/eu/control", "eu"), `"origin"`},
		{"a name that no emitter has", edit("command", "a command"), `"emitter": is not an id`},
		{"an epoch in upper case", edit("0123456789abcdef", "0123456789ABCDEF"), `"epoch"`},
		{"a short hash", edit("AAAA=", "AA=="), `"hash"`},
		{"a hash with loose bits", edit("AAA=", "AAB="), `"hash"`},
		{"a hash in hex", edit("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", strings.Repeat("0", 64)), `"hash"`},
		{"too long", receiptText + strings.Repeat(" ", MaxReceiptBytes), "at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseReceipt([]byte(test.text))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("%+v, %v; want an error with %q", got, err, test.err)
				}
				if got != (Receipt{}) {
					t.Errorf("%+v comes with an error", got)
				}
				return
			}
			want := receipt
			if strings.Contains(test.text, "9223372036854775807") {
				want.Index = 9223372036854775807
			}
			if err != nil || got != want {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
}

func TestReceiptJSON(t *testing.T) {
	if got := string(receipt.Append(nil)); got != receiptText {
		t.Errorf("got  %s\nwant %s", got, receiptText)
	}
	answer := struct {
		Receipt *Receipt `json:"receipt"`
	}{&receipt}
	text, err := json.Marshal(answer)
	if err != nil || string(text) != `{"receipt":`+receiptText+`}` {
		t.Errorf("%s, %v", text, err)
	}
	answer.Receipt = nil
	if err := json.Unmarshal(text, &answer); err != nil || *answer.Receipt != receipt {
		t.Errorf("%+v, %v", answer.Receipt, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := Receipt{
			Origin:  ControlOrigin(rapid.StringMatching(`[a-z0-9][a-z0-9.-]{0,9}`).Draw(t, "ledger"), rapid.StringMatching(`[a-z]{2}`).Draw(t, "jurisdiction")),
			Emitter: rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._/:+-]{0,127}`).Draw(t, "emitter"), Epoch: rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "epoch"),
			Seq: rapid.Uint64Max(1<<63-1).Draw(t, "seq"), Index: rapid.Uint64Max(1<<63-1).Draw(t, "index"), Hash: Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")),
		}
		if got, err := ParseReceipt(r.Append(nil)); err != nil || got != r {
			t.Fatalf("%s: %+v, %v", r.Append(nil), got, err)
		}
	})
}

func TestFindReceipts(t *testing.T) {
	other := strings.Replace(receiptText, `"index":17`, `"index":18`, 1)
	for _, test := range []struct {
		name, text string
		indexes    []uint64
		err        string
	}{
		{"a receipt", receiptText, []uint64{17}, ""},
		{"an answer", `{"events":[{"receipt":null,"event":{"receipt":7}}],"receipt":` + receiptText + `}`, []uint64{17}, ""},
		{"several", `{"receipts":[` + receiptText + `,` + other + `]}`, []uint64{17, 18}, ""},
		{"one twice", `{"receipts":[` + receiptText + `,` + receiptText + `],"receipt":` + receiptText + `}`, []uint64{17}, ""},
		{"of cells", `{"cells":[{"jurisdiction":"eu","receipt":` + other + `},{"jurisdiction":"us","error":"away","receipt":null},{"jurisdiction":"ch"}],"events":[]}`, []uint64{18}, ""},
		{"lines", `{"uid":"a"}` + "\n" + `{"receipt":` + receiptText + "}\n\n" + other + "\n", []uint64{17, 18}, ""},
		{"none", `{"events":[]}`, nil, ""},
		{"no object", `[1, "receipt"] 7`, nil, ""},
		{"nothing", " \n", nil, ""},
		{"cells in cells are none", `{"cells":[{"cells":[{"receipt":` + receiptText + `}]}]}`, nil, ""},
		{"a bad one", `{"receipt":{"v":1}}`, nil, "missing"},
		{"one that says more", `{"receipt":` + strings.Replace(receiptText, `"v":1`, `"v":1,"note":"x"`, 1) + `}`, nil, `unknown member "note"`},
		{"a receipt that says more", strings.Replace(receiptText, `"v":1`, `"v":1,"receipt":null`, 1), nil, `unknown member "receipt"`},
		{"no JSON", receiptText + "\n{", nil, "receipts: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := FindReceipts([]byte(test.text))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v, want an error with %q", err, test.err)
				}
				return
			}
			var indexes []uint64
			for _, r := range found {
				indexes = append(indexes, r.Index)
			}
			if err != nil || !slices.Equal(indexes, test.indexes) {
				t.Errorf("receipts of entries %d, %v; want %d", indexes, err, test.indexes)
			}
		})
	}
}

func FuzzFindReceipts(f *testing.F) {
	for _, seed := range []string{receiptText, `{"cells":[{"receipt":` + receiptText + `}],"receipts":[` + receiptText + `]}`, `{"receipt":null} [`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		found, err := FindReceipts(src)
		if err != nil && found != nil {
			t.Errorf("%d receipts with the error %v", len(found), err)
		}
		for _, r := range found {
			if again, err := ParseReceipt(r.Append(nil)); err != nil || again != r {
				t.Errorf("%+v reads as %+v: %v", r, again, err)
			}
		}
		if r, err := ParseReceipt(src); err == nil && !slices.Equal(found, []Receipt{r}) {
			t.Errorf("%s is a receipt, found %+v", src, found)
		}
	})
}
