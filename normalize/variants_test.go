package normalize_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/normalize"
)

// respell writes a JSON value another way: members in another order, other white space, other escapes.
func respell(rnd *rand.Rand, dst, value []byte) []byte {
	space := func() {
		for range rnd.IntN(3) {
			dst = append(dst, " \n\t\r"[rnd.IntN(4)])
		}
	}
	switch value[0] {
	case '{':
		var members [][2][]byte
		o := rawjson.Members(value)
		for o.Next() {
			members = append(members, [2][]byte{o.Name, o.Value})
		}
		rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		dst = append(dst, '{')
		for i, m := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			space()
			name, _ := rawjson.AppendUnescaped(nil, m[0])
			dst = respellString(rnd, dst, name)
			space()
			dst = append(dst, ':')
			space()
			dst = respell(rnd, dst, m[1])
			space()
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		a := rawjson.Elements(value)
		for first := true; a.Next(); first = false {
			if !first {
				dst = append(dst, ',')
			}
			space()
			dst = respell(rnd, dst, a.Value)
			space()
		}
		return append(dst, ']')
	case '"':
		text, clean := rawjson.AppendUnescaped(nil, value[1:len(value)-1])
		if !clean {
			return append(dst, value...)
		}
		return respellString(rnd, dst, text)
	}
	return append(dst, value...)
}

func respellString(rnd *rand.Rand, dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range string(text) {
		switch {
		case c == '/' && rnd.IntN(2) == 0:
			dst = append(dst, '\\', '/')
		case c < 0x80 && c > 0x20 && rnd.IntN(8) == 0:
			dst = append(dst, '\\', 'u', '0', '0', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		default:
			s := rawjson.AppendString(nil, string(c))
			dst = append(dst, s[1:len(s)-1]...)
		}
	}
	return append(dst, '"')
}

// withoutRaw returns the event without what may differ between two spellings of one record.
func withoutRaw(t testing.TB, event []byte) string {
	t.Helper()
	var out []byte
	o := rawjson.Members(event)
	for o.Next() {
		switch string(o.Name) {
		case "raw_data", "raw_data_hash", "raw_data_size":
		default:
			out = append(append(append(out, o.Name...), ':'), o.Value...)
		}
	}
	if o.Err() != nil {
		t.Fatal(o.Err())
	}
	return string(out)
}

// However a provider orders, spaces and escapes a record, its event is the same but for the raw data.
func TestSpellingDoesNotMatter(t *testing.T) {
	dir, files := sampleFiles(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range normalizeAll(t, bytes.NewReader(data)) {
			if o.event == nil {
				continue
			}
			other := respell(rnd, nil, bytes.TrimSpace(o.raw))
			event, err := normalize.Normalize(normalize.Raw{Bytes: other}, testOptions)
			if err != nil {
				t.Fatalf("%s[%d]: %v\n%s", name, i, err, other)
			}
			if got, want := withoutRaw(t, event.JSON), withoutRaw(t, o.event.JSON); got != want {
				t.Fatalf("%s[%d]: another event\n%s\n%s", name, i, first(got, 3000), first(want, 3000))
			}
			got, want := event.Header, o.event.Header
			got.RawDigest, want.RawDigest = [32]byte{}, [32]byte{}
			if got.UID != want.UID || got.Time != want.Time || got.Region != want.Region || got.Account != want.Account ||
				got.Rule != want.Rule || !slices.Equal(got.Jurisdictions, want.Jurisdictions) {
				t.Fatalf("%s[%d]: header %+v, want %+v", name, i, got, want)
			}
			again, err := normalize.Normalize(normalize.Raw{Bytes: o.raw}, testOptions)
			if err != nil || !bytes.Equal(again.JSON, o.event.JSON) {
				t.Fatalf("%s[%d]: the same record made another event: %v", name, i, err)
			}
		}
	}
}

// Any JSON object that looks like a provider's record becomes a valid, lossless event, whatever its members hold.
func TestAnyMembersMakeAnEvent(t *testing.T) {
	names := map[string][]string{
		"aws": {"eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion", "sourceIPAddress", "userAgent",
			"requestParameters", "responseElements", "requestID", "eventID", "readOnly", "resources", "eventType", "recipientAccountId",
			"sharedEventID", "errorCode", "errorMessage", "additionalEventData", "vpcEndpointId", "apiVersion", "other"},
		"azure": {"time", "resourceId", "operationName", "category", "resultType", "resultSignature", "durationMs", "callerIpAddress",
			"correlationId", "level", "location", "identity", "claims", "properties", "tenantId", "status", "caller", "eventDataId"},
		"gcp": {"protoPayload", "insertId", "resource", "timestamp", "severity", "logName", "operation", "receiveTimestamp", "split", "labels"},
	}
	inner := []string{"arn", "type", "accountId", "userName", "principalId", "sessionContext", "invokedBy", "authenticationInfo", "principalEmail",
		"principalSubject", "serviceName", "methodName", "resourceName", "status", "code", "message", "request", "parent", "labels", "location",
		"requestMetadata", "callerIp", "authorizationInfo", "permission", "granted", "resourceLocation", "currentLocations", "id",
		"createdDateTime", "value", "requestbody", "ARN", "project_id", "serviceAccountDelegationInfo"}
	texts := []string{"", "x", "2026-05-01T10:00:00Z", "eu-central-1", "europe-west3-a", "West Europe", "iam.amazonaws.com", "203.0.113.25:443",
		"::1", "true", "0", "7", "\x00", "é\u2028", "SignInLogs", "AuditLogs", "login.googleapis.com", "projects/p/logs/a%2Fb", `{"location":"weu"}`, "ConsoleLogin", "signin.amazonaws.com"}
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			kind := rapid.IntRange(0, 7).Draw(t, "kind")
			if depth == 0 && kind > 4 {
				kind = 0
			}
			switch kind {
			case 0, 1, 2:
				return rapid.SampledFrom(texts).Draw(t, "text")
			case 3:
				return json.Number(rapid.SampledFrom([]string{"0", "7", "-1", "1e400", "12345678901234567890", "1.50"}).Draw(t, "number"))
			case 4:
				return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "literal")
			case 5:
				return rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "array")
			}
			return rapid.MapOfN(rapid.SampledFrom(inner), value(depth-1), 0, 6).Draw(t, "object")
		})
	}
	var schemas = ocsfSchemas(t)
	rapid.Check(t, func(rt *rapid.T) {
		provider := rapid.SampledFrom([]string{"aws", "azure", "gcp"}).Draw(rt, "provider")
		record := rapid.MapOfN(rapid.SampledFrom(names[provider]), value(3), 3, -1).Draw(rt, "record")
		for name, text := range map[string]string{"aws": "eventTime", "azure": "time", "gcp": "timestamp"} {
			if name == provider && rapid.IntRange(0, 9).Draw(rt, "timed") > 0 {
				record[text] = "2026-05-01T10:00:00.5Z"
			}
		}
		raw, err := json.Marshal(record)
		if err != nil {
			rt.Fatal(err)
		}
		event, err := normalize.Normalize(normalize.Raw{Bytes: raw}, testOptions)
		if err != nil {
			return
		}
		checkEvent(rt, string(raw), outcome{raw: raw, event: &event}, schemas)
	})
}
