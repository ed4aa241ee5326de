package normalize

import (
	"bytes"
	"sync"

	"domicile.dev/domicile/internal/rawjson"
)

// Azure Monitor records: the Activity log as Event Hubs, storage accounts and the REST interface deliver it, resource
// logs of the same envelope, and Entra's sign-in and audit logs from Azure Monitor and from Graph. One table serves
// them all: they differ in where a thing stands, not in what it is.

// Provider paths of an Azure record.
const (
	azActivityName slot = iota
	azActivityTime
	azAppID
	azAppName
	azCaller
	azCallerIP
	azCategory
	azClaimName
	azClaimOID
	azClaimUPN
	azCorrelation
	azCreated
	azDirectoryApp
	azDirectoryAppID
	azDirectoryUser
	azDirectoryUserID
	azDuration
	azErrorCode
	azEventDataID
	azFailureReason
	azID
	azIdentity
	azLevel
	azLocation
	azLoggedBy
	azMFA
	azOperation
	azPrincipalID
	azPrincipalName
	azRequestBody
	azResource
	azResponseBody
	azResult
	azResultSignature
	azResultType
	azStatusDetail
	azStatusMessage
	azSubmitted
	azSubscription
	azTenant
	azTime
	azUserAgent
	azUserID
	azUserName
)

var azurePaths = []string{
	azActivityName:    "properties/activityDisplayName|activityDisplayName",
	azActivityTime:    "properties/activityDateTime|activityDateTime",
	azAppID:           "properties/appId|identity/claims/appid|claims/appid|appId",
	azAppName:         "properties/appDisplayName|appDisplayName",
	azCaller:          "caller",
	azCallerIP:        "callerIpAddress|CallerIPAddress|properties/ipAddress|properties/initiatedBy/user/ipAddress|httpRequest/clientIpAddress|ipAddress|initiatedBy/user/ipAddress",
	azCategory:        "category|category/value",
	azClaimName:       "identity/claims/name|claims/name",
	azClaimOID:        "identity/claims/http:~~schemas.microsoft.com~identity~claims~objectidentifier|claims/http:~~schemas.microsoft.com~identity~claims~objectidentifier|identity/claims/oid|claims/oid",
	azClaimUPN:        "identity/claims/http:~~schemas.xmlsoap.org~ws~2005~05~identity~claims~upn|claims/http:~~schemas.xmlsoap.org~ws~2005~05~identity~claims~upn|identity/claims/upn|claims/upn",
	azCorrelation:     "correlationId|properties/correlationId",
	azCreated:         "properties/createdDateTime|createdDateTime",
	azDirectoryApp:    "properties/initiatedBy/app/displayName|initiatedBy/app/displayName",
	azDirectoryAppID:  "properties/initiatedBy/app/servicePrincipalId|initiatedBy/app/servicePrincipalId",
	azDirectoryUser:   "properties/initiatedBy/user/userPrincipalName|initiatedBy/user/userPrincipalName",
	azDirectoryUserID: "properties/initiatedBy/user/id|initiatedBy/user/id",
	azDuration:        "durationMs",
	azErrorCode:       "properties/status/errorCode|status/errorCode",
	azEventDataID:     "eventDataId",
	azFailureReason:   "properties/status/failureReason|status/failureReason|properties/resultReason|resultReason",
	azID:              "properties/id|id",
	azIdentity:        "identity",
	azLevel:           "level",
	azLocation:        "location",
	azLoggedBy:        "properties/loggedByService|loggedByService",
	azMFA:             "properties/authenticationRequirement|authenticationRequirement",
	azOperation:       "operationName|operationName/value",
	azPrincipalID:     "properties/servicePrincipalId|servicePrincipalId",
	azPrincipalName:   "properties/servicePrincipalName|servicePrincipalName",
	azRequestBody:     "properties/requestbody|properties/requestBody",
	azResource:        "resourceId",
	azResponseBody:    "properties/responseBody|properties/responsebody",
	azResult:          "properties/result|result",
	azResultSignature: "resultSignature",
	azResultType:      "resultType|status/value|status",
	azStatusDetail:    "resultDescription",
	azStatusMessage:   "properties/statusMessage",
	azSubmitted:       "submissionTimestamp",
	azSubscription:    "subscriptionId",
	azTenant:          "tenantId|properties/tenantId|identity/claims/http:~~schemas.microsoft.com~identity~claims~tenantid|claims/http:~~schemas.microsoft.com~identity~claims~tenantid",
	azTime:            "time|eventTimestamp|timeStamp",
	azUserAgent:       "properties/userAgent|userAgent",
	azUserID:          "properties/userId|userId",
	azUserName:        "properties/userPrincipalName|userPrincipalName",
}

var azureRows = []row{
	{to: "actor/app_name", in: inBoth, from: []slot{azAppName, azDirectoryApp}},
	{to: "actor/app_uid", in: inBoth, from: []slot{azAppID}},
	{to: "api/operation", in: inBoth, put: azureOperation, rule: "activityDisplayName, operationName; a sign-in from Graph has none and is called as in Azure Monitor"},
	{to: "api/request/data", in: inBoth, from: []slot{azRequestBody}, put: withCorrelation},
	{to: "api/request/uid", in: inBoth, from: []slot{azCorrelation}, put: textOnly},
	{to: "api/response/data", in: inBoth, from: []slot{azResponseBody}, put: whole},
	{to: "api/response/message", in: inBoth, from: []slot{azStatusMessage}},
	{to: "api/service/name", in: inBoth, put: azureService, rule: "loggedByService, else provider of operationName, else of resourceId"},
	{to: "cloud/account/type", put: azureAccountType, rule: "subscription or tenant"},
	{to: "cloud/account/type_id", put: azureAccountTypeID, rule: "subscription or tenant"},
	{to: "cloud/account/uid", put: azureAccount, rule: "subscription of resourceId, subscriptionId, tenantId"},
	{to: "cloud/provider", put: constant(`"Azure"`), rule: "constant"},
	{to: "duration", from: []slot{azDuration}, put: wholeNumber},
	{to: "http_request/user_agent", in: inBoth, from: []slot{azUserAgent}},
	{to: "is_mfa", in: inAuth, from: []slot{azMFA}, put: azureMFA},
	{to: "metadata/correlation_uid", from: []slot{azCorrelation}},
	{to: "metadata/log_level", from: []slot{azLevel}},
	{to: "metadata/log_name", from: []slot{azCategory}},
	{to: "metadata/logged_time", put: azureLogged(moment), rule: "submissionTimestamp; time, where a directory event has its own"},
	{to: "metadata/logged_time_dt", put: azureLogged(momentDT), rule: "submissionTimestamp; time, where a directory event has its own"},
	{to: "metadata/original_event_uid", put: azureEventID, rule: "eventDataId; id of a directory event"},
	{to: "metadata/original_time", from: []slot{azCreated, azActivityTime, azTime}},
	{to: "metadata/product/name", put: azureProduct, rule: "category"},
	{to: "metadata/product/vendor_name", put: constant(`"Microsoft"`), rule: "constant"},
	{to: "metadata/tenant_uid", from: []slot{azTenant}},
	{to: "resources", in: inAPI, from: []slot{azResource}, put: azureResource},
	{to: "service/name", in: inAuth, put: azureService, rule: "loggedByService, else provider of operationName, else of resourceId"},
	{to: "status_code", from: []slot{azErrorCode, azResultType}},
	{to: "status_detail", from: []slot{azFailureReason, azStatusDetail, azResultSignature}},
}

func azureUser(to string, in classes) []row {
	return []row{
		{to: to + "/name", in: in, put: azureUserName, rule: "user of the sign-in or directory event; claims upn, name; caller; identity"},
		{to: to + "/uid", in: in, from: []slot{azUserID, azPrincipalID, azDirectoryUserID, azDirectoryAppID, azClaimOID}},
	}
}

var azureLog = sync.OnceValue(func() *format {
	return compile(format{name: "azure", provider: "azure", anyCase: true, paths: azurePaths, derive: deriveAzure},
		commonRows, azureRows, azureUser("actor/user", inBoth), azureUser("user", inAuth))
})

// azureLogs says which product a category belongs to; what is not listed is a resource log.
var azureLogs = map[string]struct {
	product string
	signIn  bool
	entra   bool
}{
	"Administrative": {product: activityLog}, "Security": {product: activityLog}, "ServiceHealth": {product: activityLog},
	"Alert": {product: activityLog}, "Recommendation": {product: activityLog}, "Policy": {product: activityLog},
	"Autoscale": {product: activityLog}, "ResourceHealth": {product: activityLog},
	"Write": {product: activityLog}, "Delete": {product: activityLog}, "Action": {product: activityLog}, // before 2019

	"AuditLogs":                    {product: entraID, entra: true},
	"SignInLogs":                   {product: entraID, entra: true, signIn: true},
	"NonInteractiveUserSignInLogs": {product: entraID, entra: true, signIn: true},
	"ServicePrincipalSignInLogs":   {product: entraID, entra: true, signIn: true},
	"ManagedIdentitySignInLogs":    {product: entraID, entra: true, signIn: true},
	"ADFSSignInLogs":               {product: entraID, entra: true, signIn: true},
}

const (
	activityLog = "Azure Activity Log"
	entraID     = "Entra ID"
)

func deriveAzure(b *builder) Reason {
	if reason := b.happened(azCreated, azActivityTime, azTime); reason != "" {
		return reason
	}
	log, listed := azureLogs[string(b.text(azCategory))]
	switch {
	case listed:
	case b.slots[azTime] == rawjson.None && b.node(azCreated) != rawjson.None: // Graph signIn
		log.product, log.entra, log.signIn = entraID, true, true
	case b.slots[azTime] == rawjson.None && b.node(azActivityTime) != rawjson.None: // Graph directoryAudit
		log.product, log.entra = entraID, true
	case b.node(azEventDataID) != rawjson.None:
		log.product = activityLog
	default:
		log.product = "Azure Resource Logs"
	}
	b.product, b.entra = log.product, log.entra
	b.classifyAzure(log.signIn)
	b.status = azureStatus(b)
	b.severity = azureSeverity(b.text(azLevel))
	b.place = azurePlace(b)
	b.source(azCallerIP)
	b.account = string(azureSubscription(b))
	if b.account == "" && b.entra {
		b.account = string(b.text(azTenant))
	}
	id := b.text(azEventDataID)
	if b.entra {
		id = b.text(azID)
	}
	if plainID(id) {
		b.uid = "azure:" + string(id)
	}
	return ""
}

func (b *builder) classifyAzure(signIn bool) {
	operation := b.scalarNode(azActivityName, azOperation)
	switch {
	case operation != rawjson.None:
		b.names = b.tree.AppendText(b.names[:0], operation)
	case signIn:
		b.names = append(b.names[:0], signInOperation...)
	default:
		b.class, b.activity = baseEvent, unknown
		return
	}
	b.operation = b.names
	if signIn {
		b.class, b.activity = authentication, logon
		return
	}
	b.class, b.activity = apiActivity, azureActivity(b.operation)
}

// signInOperation is how Azure Monitor names a sign-in; Graph leaves the name out.
const signInOperation = "Sign-in activity"

// azureActivity reads Microsoft.Storage/storageAccounts/write, …/listKeys/action, SecretGet, "Add user".
func azureActivity(name []byte) int {
	last := name[bytes.LastIndexByte(name, '/')+1:]
	if bytes.EqualFold(last, []byte("action")) && len(last) < len(name) {
		before := name[:len(name)-len(last)-1]
		last = before[bytes.LastIndexByte(before, '/')+1:]
	}
	if a := activityOf(last); a != other {
		return a
	}
	return lastVerb(last)
}

// azureStatus reads the many spellings of an outcome.
func azureStatus(b *builder) int {
	if code := b.text(azErrorCode); code != nil && b.entra {
		switch string(code) {
		case "0":
			return success
		case "50140", "50158": // interrupts: the user is asked for more
			return other
		}
		return failure
	}
	outcome := b.text(azResultType)
	if result := b.text(azResult); result != nil && b.entra {
		outcome = result
	}
	if outcome == nil {
		outcome = b.text(azResultSignature)
	}
	return outcomeOf(outcome)
}

func outcomeOf(text []byte) int {
	var lower [10]byte
	n := copy(lower[:], text)
	for i, c := range lower[:n] {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	for _, o := range outcomes {
		if bytes.HasPrefix(lower[:n], []byte(o.prefix)) {
			return o.status
		}
	}
	switch {
	case n == 0 || string(text) == "None":
		return unknown
	case string(text) == "0" || string(text) == "OK":
		return success
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return other
		}
	}
	return failure
}

// outcomes by how their text begins.
var outcomes = []struct {
	prefix string
	status int
}{
	{"succe", success}, {"fail", failure}, {"error", failure}, {"denied", failure}, {"unauthor", failure}, {"forbidden", failure},
	{"start", other}, {"accept", other}, {"active", other}, {"inprogres", other}, {"in progres", other},
}

// azureSeverity reads the level as text or number.
func azureSeverity(level []byte) int {
	switch {
	case bytes.EqualFold(level, []byte("critical")), string(level) == "1":
		return 5
	case bytes.EqualFold(level, []byte("error")), string(level) == "2":
		return 4
	case bytes.EqualFold(level, []byte("warning")), string(level) == "3":
		return 3
	}
	return 1
}

// azurePlace: location, where it names a region; else the location that a write asks for; else global, where location
// says so. A directory event has no region, and its location is the user's, never the data's.
func azurePlace(b *builder) placement {
	if b.entra {
		return everywhere("azure", ruleAzureTenant)
	}
	var stated *Place
	location := b.text(azLocation)
	if location != nil {
		if stated = b.places.azure(location); stated == nil {
			return nowhere("azure", ruleAzureUnlisted)
		}
		if stated.Kind != "global" {
			if string(location) == stated.Region {
				b.take(b.node(azLocation))
			}
			return at(stated, ruleAzureLocation)
		}
	}
	if body := b.text(azRequestBody); len(body) > 0 {
		if wanted := bodyLocation(body); wanted != nil {
			p := b.places.azure(wanted)
			switch {
			case p == nil:
				return nowhere("azure", ruleAzureUnlisted)
			case p.Kind != "global":
				return at(p, ruleAzureBody)
			}
		}
	}
	if stated != nil {
		return at(stated, ruleAzureLocation)
	}
	return nowhere("azure", ruleAzureNone)
}

// azure finds a region by name, display name ("West Europe") or short code ("weu"), whatever the case.
func (p *Places) azure(name []byte) *Place {
	var short [48]byte
	n := 0
	for _, c := range name {
		if c == ' ' {
			continue
		}
		if n == len(short) {
			return nil
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		short[n] = c
		n++
	}
	return p.Find("azure", short[:n])
}

// bodyLocation returns the top-level location of the JSON text that a write sent, nil if there is none.
func bodyLocation(body []byte) []byte {
	var t rawjson.Tree
	if t.Parse(bytes.Clone(body), maxRecordDepth) != nil || t.Kind(0) != rawjson.KindObject {
		return nil
	}
	n := t.Member(0, "location")
	if n == rawjson.None || t.Kind(n) != rawjson.KindString || len(t.Text(n)) == 0 {
		return nil
	}
	return t.Text(n)
}
