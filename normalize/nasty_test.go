package normalize_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile.dev/domicile/internal/need"
	"domicile.dev/domicile/normalize"
)

// nastyLater are labelled cases that ask for what a later change brings.
var nastyLater = map[string]string{
	"nasty/gcp_location_moved.json": "movement rules",
}

// TestNastySamples holds the labelled edge cases: what must become of each.
func TestNastySamples(t *testing.T) {
	dir := filepath.Join(need.Samples(t), "samples")
	text, err := os.ReadFile(filepath.Join(dir, "nasty_labels.json"))
	if err != nil {
		t.Fatal(err)
	}
	var labels struct {
		Cases []struct{ File, Must string }
	}
	if err := json.Unmarshal(text, &labels); err != nil {
		t.Fatal(err)
	}
	for _, c := range labels.Cases {
		t.Run(strings.TrimPrefix(c.File, "nasty/"), func(t *testing.T) {
			if why, later := nastyLater[c.File]; later {
				t.Skipf("left for later (%s): %s", why, c.Must)
			}
			check := nastyCases[strings.TrimPrefix(c.File, "nasty/")]
			if check == nil {
				t.Fatalf("no test for this case: it must be %s", c.Must)
			}
			f, err := os.Open(filepath.Join(dir, c.File))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			out := normalizeAll(t, f)
			for i, o := range out {
				if o.event != nil {
					checkEvent(t, fmt.Sprintf("%s[%d]", c.File, i), o, nil)
				}
			}
			check(t, out)
		})
	}
}

// events requires n outcomes that are all events.
func events(t *testing.T, out []outcome, n int) []*normalize.Event {
	t.Helper()
	var list []*normalize.Event
	for _, o := range out {
		if o.event == nil {
			t.Fatalf("quarantined: %v", o.err)
		}
		list = append(list, o.event)
	}
	if len(list) != n {
		t.Fatalf("%d events, want %d", len(list), n)
	}
	return list
}

// has requires one event with these values.
func has(want map[string]any) func(*testing.T, []outcome) {
	return func(t *testing.T, out []outcome) {
		t.Helper()
		e := events(t, out, 1)[0]
		for path, value := range want {
			if got := get(t, e, path); fmt.Sprint(got) != fmt.Sprint(value) {
				t.Errorf("%s is %v, want %v", path, got, value)
			}
		}
	}
}

// each requires one event a value, which stands at path.
func each(path string, values ...any) func(*testing.T, []outcome) {
	return func(t *testing.T, out []outcome) {
		t.Helper()
		for i, e := range events(t, out, len(values)) {
			if got := get(t, e, path); fmt.Sprint(got) != fmt.Sprint(values[i]) {
				t.Errorf("record %d: %s is %v, want %v", i, path, got, values[i])
			}
		}
	}
}

// quarantined requires one quarantined record, for that reason.
func quarantined(reason normalize.Reason) func(*testing.T, []outcome) {
	return func(t *testing.T, out []outcome) {
		t.Helper()
		if len(out) != 1 || out[0].err == nil || out[0].err.Reason != reason || len(out[0].err.Bytes) == 0 {
			t.Fatalf("got %+v, want one record quarantined as %s", out, reason)
		}
	}
}

func all(checks ...func(*testing.T, []outcome)) func(*testing.T, []outcome) {
	return func(t *testing.T, out []outcome) {
		t.Helper()
		for _, c := range checks {
			c(t, out)
		}
	}
}

func sameUID(t *testing.T, out []outcome) {
	t.Helper()
	for _, o := range out {
		if o.event == nil || o.event.UID != out[0].event.UID {
			t.Errorf("%v: not the same uid", o)
		}
	}
}

func contains(text string) func(*testing.T, []outcome) {
	return func(t *testing.T, out []outcome) {
		t.Helper()
		if e := events(t, out, 1)[0]; !strings.Contains(string(e.JSON), text) {
			t.Errorf("the event lacks %s\n%s", text, e.JSON)
		}
	}
}

const none = "<nil>" // how a path that leads nowhere prints

var accepted = has(nil)

var nastyCases = map[string]func(*testing.T, []outcome){
	"aws_unicode.json":              accepted, // byte for byte: checkEvent
	"aws_escaped_surrogates.json":   all(contains("\"key\":\"🚀 \u202e \\u0000\""), has(map[string]any{"api/request/data/bucketName": "b"})),
	"aws_lone_surrogate.json":       has(map[string]any{"api/request/data/key": "\ufffdx", "enrichments/1/value": "lone_surrogate"}),
	"aws_invalid_utf8.json":         quarantined(normalize.InvalidUTF8),
	"aws_duplicate_keys.json":       quarantined(normalize.DuplicateMember),
	"aws_deep_nesting.json":         quarantined(normalize.TooDeep),
	"aws_deep_nesting_200k.json":    quarantined(normalize.TooDeep),
	"aws_250kb_event.json":          accepted,
	"aws_truncated_fields.json":     has(map[string]any{"metadata/is_truncated": true}),
	"aws_addendum.json":             has(map[string]any{"unmapped/addendum/originalEventID": "E0"}),
	"aws_big_ints.json":             contains(`"f":1e400,"key":"k","n":12345678901234567890123,"v":1.0,"z":-0.0`),
	"aws_bool_strings.json":         has(map[string]any{"activity_id": 3}),
	"aws_mfa_string.json":           has(map[string]any{"actor/session/is_mfa": false}),
	"aws_no_useridentity.json":      has(map[string]any{"actor/user/name": "unknown", "actor/user/type_id": 0, "actor/user/uid": none}),
	"aws_null_useridentity.json":    has(map[string]any{"actor/user/name": "unknown", "actor/user/type_id": 0, "actor/user/uid": none}),
	"aws_userinfo_string.json":      has(map[string]any{"enrichments/1/value": "identity_not_an_object"}),
	"aws_no_eventid.json":           contentUID,
	"aws_empty_eventid.json":        contentUID,
	"aws_no_region.json":            nowhere("aws.no_region"),
	"aws_unknown_region.json":       nowhere("aws.region_not_in_tables"),
	"aws_no_time.json":              quarantined(normalize.NoTime),
	"aws_time_fraction.json":        has(map[string]any{"time_dt": "2026-05-01T10:00:00.123456789Z", "time": 1777629600123}),
	"aws_time_leap.json":            has(map[string]any{"time": 1782864000000, "time_dt": "2026-06-30T23:59:60Z"}),
	"aws_time_epoch_number.json":    quarantined(normalize.BadTime),
	"aws_time_future.json":          has(map[string]any{"enrichments/1/value": "time_in_future"}),
	"aws_ip_port.json":              has(map[string]any{"src_endpoint/ip": "203.0.113.25", "src_endpoint/port": 443}),
	"aws_ip_service.json":           has(map[string]any{"src_endpoint/svc_name": "cloudformation.amazonaws.com", "src_endpoint/ip": none}),
	"aws_ip_internal.json":          has(map[string]any{"src_endpoint/name": "AWS Internal", "src_endpoint/ip": none}),
	"aws_ip_v6_mapped.json":         has(map[string]any{"src_endpoint/ip": "203.0.113.25", "unmapped/sourceIPAddress": "::ffff:203.0.113.25"}),
	"aws_ip_v6_zone.json":           has(map[string]any{"src_endpoint/ip": "fe80::1", "unmapped/sourceIPAddress": "fe80::1%eth0"}),
	"aws_crossaccount_shared.json":  all(each("metadata/correlation_uid", "SH1", "SH1"), differentUIDs),
	"aws_same_id_two_trails.ndjson": all(sameUID, func(t *testing.T, out []outcome) { events(t, out, 3) }),
	"aws_key_order_changed.ndjson":  sameUID,
	"aws_records_trailing_garbage.json": func(t *testing.T, out []outcome) {
		events(t, out[:1], 1)
		quarantined(normalize.Damaged)(t, out[1:])
	},
	"aws_records_truncated.json": func(t *testing.T, out []outcome) {
		events(t, out[:1], 1)
		quarantined(normalize.Truncated)(t, out[1:])
	},
	"aws_records_empty.json": func(t *testing.T, out []outcome) {
		if len(out) != 0 {
			t.Errorf("%v", out)
		}
	},
	"aws_error_success_signin.json":        has(map[string]any{"status_id": 2, "class_uid": 3002}),
	"aws_accessdenied_no_message.json":     has(map[string]any{"status_id": 2, "status_code": "AccessDenied"}),
	"aws_account_string_leading_zero.json": has(map[string]any{"cloud/account/uid": "012345678901"}),
	"aws_dryrun.json":                      has(map[string]any{"status_id": 99}),
	"az_identity_string.json":              has(map[string]any{"actor/user/name": "alice"}),
	"az_level_forms.ndjson":                each("severity_id", 1, 1, 1, 1, 4, 5, 1),
	"az_result_forms.ndjson":               each("status_id", 1, 1, 1, 1, 1, 2, 2, 2, 2, 99, 99, 99, 99, 99, 1),
	"az_location_forms.ndjson":             each("cloud/region", "westeurope", "westeurope", "westeurope", "westeurope", "global", none, "eastus2euap", none, none),
	"az_pascal_case.json":                  has(map[string]any{"api/operation": "SecretGet", "status_id": 1, "time_dt": "2026-05-01T11:00:05Z"}),
	"az_ip_port.json":                      has(map[string]any{"src_endpoint/ip": "203.0.113.25", "src_endpoint/port": 51234}),
	"az_single_quotes.json":                quarantined(normalize.InvalidJSON),
	"az_nan.json":                          quarantined(normalize.InvalidJSON),
	"gcp_ns_time.json":                     has(map[string]any{"time_dt": "2026-05-01T12:00:00.123456789Z", "time": 1777636800123}),
	"gcp_callerip_private.json":            has(map[string]any{"src_endpoint/ip": none, "src_endpoint/name": "private"}),
	"gcp_callerip_gce.json":                has(map[string]any{"src_endpoint/ip": none, "src_endpoint/name": "gce-internal-ip"}),
	"gcp_subject_only.json":                has(map[string]any{"actor/user/uid": "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/repo:x"}),
	"gcp_delegation.json":                  has(map[string]any{"actor/user/name": "sa@p.iam.gserviceaccount.com", "actor/session/issuer": "alice@example.com"}),
	"gcp_status_7.json":                    has(map[string]any{"status_id": 2, "status_code": "7", "status": "Failure"}),
	"gcp_granted_mixed.json":               has(map[string]any{"actor/authorizations/0/decision": "granted", "actor/authorizations/1/decision": "denied"}),
	"gcp_placeholder_zone.json":            nowhere("gcp.resource_label_not_in_tables"),
	"gcp_log_name_encoded.json":            has(map[string]any{"metadata/log_name": "cloudaudit.googleapis.com/data_access"}),
	"gcp_k8s_node_agent.json":              has(map[string]any{"resources/0/uid": "core/v1/namespaces/d/pods/p/exec", "cloud/region": "europe-west3"}),
	"gcp_insertid_reused.ndjson":           differentUIDs,
}

func nowhere(rule string) func(*testing.T, []outcome) {
	return func(t *testing.T, out []outcome) {
		t.Helper()
		e := events(t, out, 1)[0]
		if e.Region != e.Provider+":unknown" || len(e.Jurisdictions) != 0 || e.Rule != rule || get(t, e, "cloud/region") != nil {
			t.Errorf("region %s, jurisdictions %v, rule %s, want unknown by %s", e.Region, e.Jurisdictions, e.Rule, rule)
		}
	}
}

func contentUID(t *testing.T, out []outcome) {
	t.Helper()
	if uid := events(t, out, 1)[0].UID; len(uid) != len("aws:")+64 {
		t.Errorf("uid %s, want one made from the content", uid)
	}
}

func differentUIDs(t *testing.T, out []outcome) {
	t.Helper()
	list := events(t, out, 2)
	if list[0].UID == list[1].UID {
		t.Errorf("one uid for two events: %s", list[0].UID)
	}
}
