package normalize

import (
	"bytes"
	"sync"

	"domicile.dev/domicile/internal/rawjson"
)

// AWS CloudTrail records (event versions 1.0 to 1.11): management, data, network-activity events.

// Provider paths of a CloudTrail record.
const (
	ctAPIVersion slot = iota
	ctARN
	ctAccessKey
	ctActorAccount
	ctActorName
	ctActorType
	ctAWSRegion
	ctCategory
	ctConsoleLogin
	ctErrorCode
	ctErrorMessage
	ctEventID
	ctEventName
	ctEventSource
	ctEventTime
	ctEventType
	ctEventVersion
	ctHost
	ctIdentity
	ctInvokedBy
	ctIssuerARN
	ctIssuerName
	ctMFAUsed
	ctOmitted
	ctParameters
	ctPrincipal
	ctReadOnly
	ctRecipient
	ctRequestID
	ctResources
	ctResponse
	ctSessionMFA
	ctSessionStart
	ctShared
	ctSourceIP
	ctUserAgent
	ctVPCEndpoint
)

var cloudTrailPaths = []string{
	ctAPIVersion:   "apiVersion",
	ctARN:          "userIdentity/arn",
	ctAccessKey:    "userIdentity/accessKeyId",
	ctActorAccount: "userIdentity/accountId",
	ctActorName:    "userIdentity/userName",
	ctActorType:    "userIdentity/type",
	ctAWSRegion:    "awsRegion",
	ctCategory:     "eventCategory",
	ctConsoleLogin: "responseElements/ConsoleLogin",
	ctErrorCode:    "errorCode",
	ctErrorMessage: "errorMessage",
	ctEventID:      "eventID",
	ctEventName:    "eventName",
	ctEventSource:  "eventSource",
	ctEventTime:    "eventTime",
	ctEventType:    "eventType",
	ctEventVersion: "eventVersion",
	ctHost:         "tlsDetails/clientProvidedHostHeader",
	ctIdentity:     "userIdentity",
	ctInvokedBy:    "userIdentity/invokedBy",
	ctIssuerARN:    "userIdentity/sessionContext/sessionIssuer/arn",
	ctIssuerName:   "userIdentity/sessionContext/sessionIssuer/userName",
	ctMFAUsed:      "additionalEventData/MFAUsed",
	ctOmitted:      "requestParameters/omitted",
	ctParameters:   "requestParameters",
	ctPrincipal:    "userIdentity/principalId",
	ctReadOnly:     "readOnly",
	ctRecipient:    "recipientAccountId",
	ctRequestID:    "requestID",
	ctResources:    "resources",
	ctResponse:     "responseElements",
	ctSessionMFA:   "userIdentity/sessionContext/attributes/mfaAuthenticated",
	ctSessionStart: "userIdentity/sessionContext/attributes/creationDate",
	ctShared:       "sharedEventID",
	ctSourceIP:     "sourceIPAddress",
	ctUserAgent:    "userAgent",
	ctVPCEndpoint:  "vpcEndpointId",
}

var cloudTrailRows = []row{
	{to: "actor/app_name", in: inBoth, from: []slot{ctInvokedBy}},
	{to: "actor/session/created_time", in: inBoth, from: []slot{ctSessionStart}, put: moment},
	{to: "actor/session/created_time_dt", in: inBoth, from: []slot{ctSessionStart}, put: momentDT},
	{to: "actor/session/is_mfa", in: inBoth, from: []slot{ctSessionMFA}, put: boolean},
	{to: "actor/session/issuer", in: inBoth, from: []slot{ctIssuerARN}},
	{to: "api/operation", in: inBoth, from: []slot{ctEventName}},
	{to: "api/request/data", in: inBoth, from: []slot{ctParameters}, put: withRequestID},
	{to: "api/request/uid", in: inBoth, from: []slot{ctRequestID, ctEventID}},
	{to: "api/response/data", in: inBoth, from: []slot{ctResponse}, put: whole},
	{to: "api/response/error", in: inBoth, from: []slot{ctErrorCode}},
	{to: "api/response/error_message", in: inBoth, from: []slot{ctErrorMessage}},
	{to: "api/service/name", in: inBoth, from: []slot{ctEventSource}},
	{to: "api/version", in: inBoth, from: []slot{ctAPIVersion}},
	{to: "cloud/account/type", from: []slot{ctRecipient, ctActorAccount}, put: constantIfText(`"AWS Account"`)},
	{to: "cloud/account/type_id", from: []slot{ctRecipient, ctActorAccount}, put: constantIfText("10")},
	{to: "cloud/account/uid", from: []slot{ctRecipient, ctActorAccount}},
	{to: "cloud/provider", put: constant(`"AWS"`), rule: "constant"},
	{to: "http_request/user_agent", in: inBoth, from: []slot{ctUserAgent}},
	{to: "is_mfa", in: inAuth, from: []slot{ctMFAUsed}, put: boolean},
	{to: "metadata/correlation_uid", from: []slot{ctShared, ctRequestID}},
	{to: "metadata/event_code", from: []slot{ctEventType}},
	{to: "metadata/is_truncated", from: []slot{ctOmitted}, put: truncatedIfTrue},
	{to: "metadata/log_name", from: []slot{ctCategory}},
	{to: "metadata/original_event_uid", from: []slot{ctEventID}},
	{to: "metadata/original_time", from: []slot{ctEventTime}},
	{to: "metadata/product/name", put: constant(`"CloudTrail"`), rule: "constant"},
	{to: "metadata/product/vendor_name", put: constant(`"AWS"`), rule: "constant"},
	{to: "metadata/product/version", from: []slot{ctEventVersion}},
	{to: "resources", in: inAPI, from: []slot{ctResources}, put: awsResources},
	{to: "service/name", in: inAuth, from: []slot{ctEventSource}},
	{to: "src_endpoint/uid", in: inBoth, from: []slot{ctVPCEndpoint}},
	{to: "status_code", from: []slot{ctErrorCode}},
	{to: "status_detail", from: []slot{ctErrorMessage}},
}

// awsUser are the attributes of the caller, who is the actor of every call and the user of an authentication.
func awsUser(to string, in classes) []row {
	return []row{
		{to: to + "/account/type", in: in, from: []slot{ctActorAccount}, put: constantIfText(`"AWS Account"`)},
		{to: to + "/account/type_id", in: in, from: []slot{ctActorAccount}, put: constantIfText("10")},
		{to: to + "/account/uid", in: in, from: []slot{ctActorAccount}},
		{to: to + "/name", in: in, put: awsUserName, rule: "userIdentity: userName, session name of the ARN, issuer, service"},
		{to: to + "/programmatic_credentials", in: in, from: []slot{ctAccessKey}, put: awsCredential},
		{to: to + "/type", in: in, from: []slot{ctActorType}, put: awsUserType},
		{to: to + "/type_id", in: in, put: awsUserTypeID, rule: "identity types, by userIdentity.type"},
		{to: to + "/uid", in: in, from: []slot{ctARN}},
		{to: to + "/uid_alt", in: in, from: []slot{ctPrincipal}},
	}
}

var cloudTrail = sync.OnceValue(func() *format {
	return compile(format{name: "cloudtrail", provider: "aws", paths: cloudTrailPaths, derive: deriveCloudTrail},
		commonRows, cloudTrailRows, awsUser("actor/user", inBoth), awsUser("user", inAuth))
})

func deriveCloudTrail(b *builder) Reason {
	if reason := b.happened(ctEventTime); reason != "" {
		return reason
	}
	b.classifyAWS()
	b.status = awsStatus(b)
	b.place = awsPlace(b)
	b.source(ctSourceIP)
	b.account = string(b.text(ctRecipient, ctActorAccount))
	if id := b.text(ctEventID); b.account != "" && plainID(id) && plainID([]byte(b.account)) {
		b.uid = "aws:" + b.account + ":" + string(id)
	}
	if n := b.node(ctIdentity); n != rawjson.None && b.tree.Kind(n) != rawjson.KindObject {
		b.flags = append(b.flags, "identity_not_an_object")
	}
	return ""
}

// classifyAWS chooses class and activity.
func (b *builder) classifyAWS() {
	name, source := b.node(ctEventName), b.node(ctEventSource)
	if name == rawjson.None || source == rawjson.None || !b.says(name) || !b.says(source) {
		b.class, b.activity = baseEvent, unknown
		return
	}
	b.names = b.tree.AppendText(b.names[:0], name)
	b.operation = b.names
	if events := awsSignIns[string(b.tree.Text(source))]; events != nil {
		if activity, ok := events[string(b.operation)]; ok {
			b.class, b.activity = authentication, activity
			return
		}
	}
	b.class = apiActivity
	if truth(b.text(ctReadOnly)) == 1 {
		b.activity = read
		return
	}
	b.activity = activityOf(b.operation)
}

// says reports whether node n is a scalar that is not empty.
func (b *builder) says(n int32) bool { return b.scalar(n) && len(b.tree.Text(n)) > 0 }

// awsSignIns are the operations that are authentications, by event source.
var awsSignIns = map[string]map[string]int{
	"signin.amazonaws.com": {
		"ConsoleLogin": logon, "UserAuthentication": logon, "CredentialVerification": preauth, "CredentialChallenge": preauth,
		"SwitchRole": accountSwitch, "ExitRole": accountSwitch, "Logout": logoff,
	},
	"sts.amazonaws.com": {
		"AssumeRole": ticket, "AssumeRoleWithSAML": ticket, "AssumeRoleWithWebIdentity": ticket, "AssumeRoot": ticket,
		"GetSessionToken": ticket, "GetFederationToken": ticket,
	},
	"sso.amazonaws.com": {"Authenticate": logon, "Federate": logon, "Logout": logoff},
}

// awsStatus: no errorCode is success, but for a failed console login; a dry run changes nothing, so it is neither.
func awsStatus(b *builder) int {
	if code := b.text(ctErrorCode); code != nil {
		if bytes.HasSuffix(code, []byte("DryRunOperation")) {
			return other
		}
		return failure
	}
	if string(b.text(ctConsoleLogin)) == "Failure" {
		return failure
	}
	return success
}

// awsGlobalServices have no region: their events are recorded in one, us-east-1 as a rule, and that says nothing of
// where the data is. It holds for the commercial partition; the others (China, GovCloud, the European Sovereign Cloud)
// run these services within their own regions.
var awsGlobalServices = map[string]bool{
	"account.amazonaws.com": true, "billing.amazonaws.com": true, "billingconsole.amazonaws.com": true,
	"cloudfront.amazonaws.com": true, "globalaccelerator.amazonaws.com": true, "health.amazonaws.com": true,
	"iam.amazonaws.com": true, "organizations.amazonaws.com": true, "route53.amazonaws.com": true,
	"route53domains.amazonaws.com": true, "shield.amazonaws.com": true, "signin.amazonaws.com": true,
	"sts.amazonaws.com": true, "support.amazonaws.com": true, "trustedadvisor.amazonaws.com": true, "waf.amazonaws.com": true,
}

func awsPlace(b *builder) placement {
	name := b.text(ctAWSRegion)
	if name == nil {
		return nowhere("aws", ruleAWSNone)
	}
	p := b.places.Find("aws", name)
	switch {
	case p == nil:
		return nowhere("aws", ruleAWSNotInTables)
	case p.Kind == "global":
		return at(p, ruleAWSRegion)
	}
	if source := b.text(ctEventSource); p.Partition == "aws" && awsGlobalServices[string(source)] {
		// STS has regional end points; only the global one is recorded in us-east-1, as is the regional one there.
		regional := string(source) == "sts.amazonaws.com" &&
			(p.Region != "us-east-1" || string(b.text(ctHost)) == "sts.us-east-1.amazonaws.com")
		if !regional {
			global := everywhere("aws", ruleAWSGlobal)
			global.partition = p.Partition
			return global
		}
	}
	if n := b.node(ctAWSRegion); string(b.tree.Text(n)) == p.Region {
		b.take(n)
	}
	return at(p, ruleAWSRegion)
}
