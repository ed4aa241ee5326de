package normalize

import (
	"bytes"
	"crypto/sha256"
	"sync"

	"domicile.dev/domicile/internal/rawjson"
)

// Google Cloud LogEntry with an AuditLog payload: admin activity, data access, system event, policy denied. An entry of
// another log of the same shape becomes a Base Event.

// Provider paths of a LogEntry.
const (
	gcAuthorization slot = iota
	gcCallerIP
	gcCurrent
	gcDelegation
	gcEmail
	gcInsertID
	gcKeyName
	gcLabelLocation
	gcLabelRegion
	gcLabelZone
	gcLogName
	gcMethod
	gcOperation
	gcParent
	gcProject
	gcReceived
	gcRequest
	gcResourceName
	gcResourceType
	gcResponse
	gcService
	gcSeverity
	gcSplit
	gcStatusCode
	gcStatusMessage
	gcSubject
	gcTime
	gcUserAgent
)

var gcpPaths = []string{
	gcAuthorization: "protoPayload/authorizationInfo",
	gcCallerIP:      "protoPayload/requestMetadata/callerIp",
	gcCurrent:       "protoPayload/resourceLocation/currentLocations",
	gcDelegation:    "protoPayload/authenticationInfo/serviceAccountDelegationInfo",
	gcEmail:         "protoPayload/authenticationInfo/principalEmail",
	gcInsertID:      "insertId",
	gcKeyName:       "protoPayload/authenticationInfo/serviceAccountKeyName",
	gcLabelLocation: "resource/labels/location",
	gcLabelRegion:   "resource/labels/region",
	gcLabelZone:     "resource/labels/zone",
	gcLogName:       "logName",
	gcMethod:        "protoPayload/methodName",
	gcOperation:     "operation/id",
	gcParent:        "protoPayload/request/parent",
	gcProject:       "resource/labels/project_id",
	gcReceived:      "receiveTimestamp",
	gcRequest:       "protoPayload/request",
	gcResourceName:  "protoPayload/resourceName",
	gcResourceType:  "resource/type",
	gcResponse:      "protoPayload/response",
	gcService:       "protoPayload/serviceName",
	gcSeverity:      "severity",
	gcSplit:         "split",
	gcStatusCode:    "protoPayload/status/code",
	gcStatusMessage: "protoPayload/status/message",
	gcSubject:       "protoPayload/authenticationInfo/principalSubject",
	gcTime:          "timestamp",
	gcUserAgent:     "protoPayload/requestMetadata/callerSuppliedUserAgent",
}

var gcpRows = []row{
	{to: "actor/authorizations", in: inBoth, from: []slot{gcAuthorization}, put: gcpAuthorizations},
	{to: "actor/session/issuer", in: inBoth, from: []slot{gcDelegation}, put: gcpDelegate},
	{to: "api/operation", in: inBoth, from: []slot{gcMethod}},
	{to: "api/request/data", in: inBoth, from: []slot{gcRequest}, put: withInsertID},
	{to: "api/request/uid", in: inBoth, from: []slot{gcInsertID}},
	{to: "api/response/code", in: inBoth, from: []slot{gcStatusCode}, put: integer},
	{to: "api/response/data", in: inBoth, from: []slot{gcResponse}, put: whole},
	{to: "api/response/error_message", in: inBoth, from: []slot{gcStatusMessage}},
	{to: "api/service/name", in: inBoth, from: []slot{gcService}},
	{to: "cloud/account/type", put: gcpProject(`"GCP Project"`), rule: "project"},
	{to: "cloud/account/type_id", put: gcpProject("11"), rule: "project"},
	{to: "cloud/account/uid", put: gcpProject(""), rule: "resource.labels.project_id, else project of logName"},
	{to: "cloud/provider", put: constant(`"GCP"`), rule: "constant"},
	{to: "http_request/user_agent", in: inBoth, from: []slot{gcUserAgent}},
	{to: "metadata/correlation_uid", from: []slot{gcOperation}},
	{to: "metadata/is_truncated", from: []slot{gcSplit}, put: constant("true")},
	{to: "metadata/log_level", from: []slot{gcSeverity}},
	{to: "metadata/log_name", from: []slot{gcLogName}, put: gcpLog},
	{to: "metadata/logged_time", from: []slot{gcReceived}, put: moment},
	{to: "metadata/logged_time_dt", from: []slot{gcReceived}, put: momentDT},
	{to: "metadata/original_event_uid", from: []slot{gcInsertID}},
	{to: "metadata/original_time", from: []slot{gcTime}},
	{to: "metadata/product/name", put: constant(`"Cloud Audit Logs"`), rule: "constant"},
	{to: "metadata/product/vendor_name", put: constant(`"Google Cloud"`), rule: "constant"},
	{to: "resources", in: inAPI, from: []slot{gcResourceName}, put: gcpResource},
	{to: "service/name", in: inAuth, from: []slot{gcService}},
	{to: "status_code", from: []slot{gcStatusCode}},
	{to: "status_detail", from: []slot{gcStatusMessage}},
}

func gcpUser(to string, in classes) []row {
	return []row{
		{to: to + "/email_addr", in: in, from: []slot{gcEmail}},
		{to: to + "/name", in: in, put: gcpUserName, rule: "principalEmail"},
		{to: to + "/programmatic_credentials", in: in, from: []slot{gcKeyName}, put: gcpKey},
		{to: to + "/type", in: in, from: []slot{gcEmail}, put: gcpUserType(false)},
		{to: to + "/type_id", in: in, from: []slot{gcEmail}, put: gcpUserType(true)},
		{to: to + "/uid", in: in, from: []slot{gcSubject, gcEmail}},
	}
}

var gcpLogEntry = sync.OnceValue(func() *format {
	return compile(format{name: "gcp", provider: "gcp", paths: gcpPaths, derive: deriveGCP},
		commonRows, gcpRows, gcpUser("actor/user", inBoth), gcpUser("user", inAuth))
})

func deriveGCP(b *builder) Reason {
	if reason := b.happened(gcTime); reason != "" {
		return reason
	}
	b.classifyGCP()
	b.status = success
	if code := b.text(gcStatusCode); code != nil && string(code) != "0" {
		b.status = failure
	}
	b.severity = gcpSeverities[string(b.text(gcSeverity))]
	if b.severity == 0 {
		b.severity = 1
	}
	b.place = gcpPlace(b)
	b.source(gcCallerIP)
	b.account = string(b.text(gcProject))
	if b.account == "" {
		if container, _ := gcpLogName(b.text(gcLogName)); bytes.HasPrefix(container, []byte("projects/")) {
			b.account = string(container[len("projects/"):])
		}
	}
	if b.scalarNode(gcInsertID) != rawjson.None {
		container, _ := gcpLogName(b.text(gcLogName))
		h := append(b.scratch[:0], container...)
		h = append(append(h, '\n'), b.text(gcTime)...)
		h = append(append(h, '\n'), b.text(gcInsertID)...)
		b.scratch = h
		b.uid = "gcp:" + hexSum(sha256.Sum256(h))
	}
	return ""
}

func (b *builder) classifyGCP() {
	method := b.scalarNode(gcMethod)
	if method == rawjson.None || b.scalarNode(gcService) == rawjson.None {
		b.class, b.activity = baseEvent, unknown
		return
	}
	b.names = b.tree.AppendText(b.names[:0], method)
	b.operation = b.names
	last := b.operation[bytes.LastIndexByte(b.operation, '.')+1:]
	if string(b.text(gcService)) == "login.googleapis.com" {
		b.class, b.activity = authentication, other
		if a, ok := googleSignIns[string(last)]; ok {
			b.activity = a
		}
		return
	}
	b.class, b.activity = apiActivity, activityOf(last)
}

// googleSignIns are the methods of login.googleapis.com that OCSF has an activity for.
var googleSignIns = map[string]int{
	"loginSuccess": logon, "loginFailure": logon, "logout": logoff, "loginVerification": preauth, "loginChallenge": preauth,
}

var gcpSeverities = map[string]int{"WARNING": 3, "ERROR": 4, "CRITICAL": 5, "ALERT": 6, "EMERGENCY": 6}

// gcpLogName splits projects/p/logs/cloudaudit.googleapis.com%2Factivity into its container and its log, decoded.
func gcpLogName(name []byte) (container, log []byte) {
	container, log, ok := bytes.Cut(name, []byte("/logs/"))
	if !ok {
		return name, nil
	}
	return container, log
}

func gcpLog(b *builder, dst []byte, n int32) []byte {
	_, log := gcpLogName(b.tree.Text(n))
	if len(log) == 0 {
		return textOnly(b, dst, n)
	}
	decoded := b.scratch[:0]
	for i := 0; i < len(log); i++ {
		if log[i] == '%' && i+2 < len(log) && log[i+1] == '2' && log[i+2]|0x20 == 'f' {
			decoded = append(decoded, '/')
			i += 2
			continue
		}
		decoded = append(decoded, log[i])
	}
	b.scratch = decoded
	return quote(dst, decoded)
}

// gcpPlace: where the resource is now, all of it; else the labels of the resource; else its name; else the parent that
// the request names. "global" is an answer only where nothing names a region.
func gcpPlace(b *builder) placement {
	global := false
	if n := b.slots[gcCurrent]; n != rawjson.None && b.tree.Kind(n) == rawjson.KindArray && len(b.tree.Kids(n)) > 0 {
		var places []*Place
		zone := ""
		for _, kid := range b.tree.Kids(n) {
			p, z := b.places.gcp(b.tree.Text(kid))
			if p == nil {
				return nowhere("gcp", ruleGCPCurrentUnl)
			}
			places, zone = append(places, p), z
		}
		if len(places) > 1 || places[0].Kind != "global" {
			all := b.places.among(places, ruleGCPCurrent)
			if len(places) == 1 {
				all.zone = zone
			}
			return all
		}
		global = true
	}
	for _, evidence := range [...]struct {
		rule, unlisted string
		from           slot
		path           bool
	}{
		{ruleGCPLabel, ruleGCPLabelUnl, gcLabelLocation, false},
		{ruleGCPLabel, ruleGCPLabelUnl, gcLabelRegion, false},
		{ruleGCPLabel, ruleGCPLabelUnl, gcLabelZone, false},
		{ruleGCPName, ruleGCPNameUnlisted, gcResourceName, true},
		{ruleGCPParent, ruleGCPNameUnlisted, gcParent, true},
	} {
		name := b.text(evidence.from)
		if evidence.path {
			name = pathLocation(name)
		}
		if len(name) == 0 {
			continue
		}
		p, zone := b.places.gcp(name)
		if p == nil {
			return nowhere("gcp", evidence.unlisted)
		}
		if p.Kind == "global" {
			global = true
			continue
		}
		place := at(p, evidence.rule)
		place.zone = zone
		return place
	}
	if global {
		return everywhere("gcp", ruleGCPGlobal)
	}
	return nowhere("gcp", ruleGCPNone)
}

// gcp finds a region or multi-region, or the region of a zone (its name without the letter), whatever the case.
func (p *Places) gcp(name []byte) (place *Place, zone string) {
	var lower [48]byte
	if len(name) > len(lower) {
		return nil, ""
	}
	n := copy(lower[:], name)
	for i, c := range lower[:n] {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	if place = p.Find("gcp", lower[:n]); place != nil {
		return place, ""
	}
	if n > 2 && lower[n-2] == '-' && lower[n-1] >= 'a' && lower[n-1] <= 'z' {
		if place = p.Find("gcp", lower[:n-2]); place != nil && place.Kind == "region" {
			return place, string(lower[:n])
		}
	}
	return nil, ""
}

// pathLocation returns what follows /locations/, /regions/ or /zones/ in a resource name.
func pathLocation(name []byte) []byte {
	for _, mark := range [...]string{"/locations/", "/regions/", "/zones/"} {
		if _, rest, ok := bytes.Cut(name, []byte(mark)); ok {
			place, _, _ := bytes.Cut(rest, []byte("/"))
			return place
		}
	}
	return nil
}
