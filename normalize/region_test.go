package normalize_test

import (
	"strings"
	"testing"

	"domicile.dev/domicile/normalize"
)

// one normalizes one record.
func one(t testing.TB, record string) normalize.Event {
	t.Helper()
	event, err := normalize.Normalize(normalize.Raw{Bytes: []byte(record)}, testOptions)
	if err != nil {
		t.Fatalf("%v\n%s", err, record)
	}
	return event
}

// Which evidence decides where an event belongs, in order, for every provider.
func TestRegionEvidence(t *testing.T) {
	aws := func(members string) string {
		return `{"eventVersion":"1.08","eventTime":"2026-05-01T10:00:00Z","eventName":"X",` + members + `}`
	}
	azure := func(members string) string {
		return `{"time":"2026-05-01T10:00:00Z","operationName":"x",` + members + `}`
	}
	gcp := func(payload, labels string) string {
		return `{"timestamp":"2026-05-01T10:00:00Z","logName":"projects/p/logs/l","protoPayload":{"serviceName":"s","methodName":"m"` +
			payload + `},"resource":{"labels":{` + labels + `}}}`
	}
	for _, c := range []struct{ name, record, region, jurisdictions, rule string }{
		{"region", aws(`"eventSource":"s3.amazonaws.com","awsRegion":"eu-central-1"`), "aws:eu-central-1", "eu", "aws.region"},
		{"London is not EU", aws(`"eventSource":"s3.amazonaws.com","awsRegion":"eu-west-2"`), "aws:eu-west-2", "uk", "aws.region"},
		{"IAM has no region", aws(`"eventSource":"iam.amazonaws.com","awsRegion":"us-east-1"`), "aws:global", "", "aws.global_service"},
		{"IAM of GovCloud has", aws(`"eventSource":"iam.amazonaws.com","awsRegion":"us-gov-west-1"`), "aws:us-gov-west-1", "us", "aws.region"},
		{"IAM of China has", aws(`"eventSource":"iam.amazonaws.com","awsRegion":"cn-north-1"`), "aws:cn-north-1", "cn", "aws.region"},
		{"STS, global", aws(`"eventSource":"sts.amazonaws.com","awsRegion":"us-east-1"`), "aws:global", "", "aws.global_service"},
		{"STS, regional", aws(`"eventSource":"sts.amazonaws.com","awsRegion":"eu-west-1"`), "aws:eu-west-1", "eu", "aws.region"},
		{"STS, regional in us-east-1", aws(`"eventSource":"sts.amazonaws.com","awsRegion":"us-east-1","tlsDetails":{"clientProvidedHostHeader":"sts.us-east-1.amazonaws.com"}`), "aws:us-east-1", "us", "aws.region"},
		{"sign-in anywhere", aws(`"eventSource":"signin.amazonaws.com","awsRegion":"eu-north-1"`), "aws:global", "", "aws.global_service"},
		{"pseudo region", aws(`"eventSource":"s3.amazonaws.com","awsRegion":"aws-global"`), "aws:global", "", "aws.region"},
		{"not in the tables", aws(`"eventSource":"s3.amazonaws.com","awsRegion":"eu-nowhere-1"`), "aws:unknown", "", "aws.region_not_in_tables"},
		{"a number", aws(`"eventSource":"s3.amazonaws.com","awsRegion":1`), "aws:unknown", "", "aws.region_not_in_tables"},
		{"none", aws(`"eventSource":"s3.amazonaws.com"`), "aws:unknown", "", "aws.no_region"},

		{"name", azure(`"location":"westeurope"`), "azure:westeurope", "eu", "azure.location"},
		{"display name", azure(`"location":"Norway East"`), "azure:norwayeast", "eea", "azure.location"},
		{"code", azure(`"location":"UKS"`), "azure:uksouth", "uk", "azure.location"},
		{"global", azure(`"location":"global"`), "azure:global", "", "azure.location"},
		{"the request names one", azure(`"properties":{"requestbody":"{\"location\":\"centralindia\"}"}`), "azure:centralindia", "in", "azure.request_body"},
		{"the request is more exact", azure(`"location":"global","properties":{"requestbody":"{\"location\":\"centralindia\"}"}`), "azure:centralindia", "in", "azure.request_body"},
		{"the record is stronger", azure(`"location":"westus","properties":{"requestbody":"{\"location\":\"centralindia\"}"}`), "azure:westus", "us", "azure.location"},
		{"a broken request", azure(`"properties":{"requestbody":"{\"location\":"}`), "azure:unknown", "", "azure.no_location"},
		{"not in the tables", azure(`"location":"atlantis","properties":{"requestbody":"{\"location\":\"centralindia\"}"}`), "azure:unknown", "", "azure.location_not_in_tables"},
		{"none", azure(`"level":"Error"`), "azure:unknown", "", "azure.no_location"},
		{"the user's place says nothing", azure(`"category":"SignInLogs","location":"DE","properties":{"location":{"countryOrRegion":"DE"}}`), "azure:global", "", "azure.tenant"},

		{"where it is", gcp(`,"resourceLocation":{"currentLocations":["europe-west3"]}`, `"location":"us-central1"`), "gcp:europe-west3", "eu", "gcp.current_locations"},
		{"zone", gcp(`,"resourceLocation":{"currentLocations":["us-central1-a"]}`, ``), "gcp:us-central1", "us", "gcp.current_locations"},
		{"multi-region", gcp(`,"resourceLocation":{"currentLocations":["EUR5"]}`, ``), "gcp:eur5", "eu uk", "gcp.current_locations"},
		{"two that agree", gcp(`,"resourceLocation":{"currentLocations":["europe-west3-a","europe-west3-b"]}`, ``), "gcp:europe-west3", "eu", "gcp.current_locations"},
		{"two that differ", gcp(`,"resourceLocation":{"currentLocations":["europe-west3","europe-west2"]}`, ``), "gcp:unknown", "eu uk", "gcp.current_locations"},
		{"one of two without a place", gcp(`,"resourceLocation":{"currentLocations":["europe-west3","global"]}`, ``), "gcp:unknown", "", "gcp.current_locations"},
		{"label", gcp(``, `"zone":"asia-south1-b"`), "gcp:asia-south1", "in", "gcp.resource_label"},
		{"label after global", gcp(`,"resourceLocation":{"currentLocations":["global"]}`, `"region":"asia-south1"`), "gcp:asia-south1", "in", "gcp.resource_label"},
		{"placeholder", gcp(`,"resourceName":"projects/p/zones/us-central1-a/disks/d"`, `"zone":"${zone}"`), "gcp:unknown", "", "gcp.resource_label_not_in_tables"},
		{"name", gcp(`,"resourceName":"projects/p/zones/us-central1-a/disks/d"`, ``), "gcp:us-central1", "us", "gcp.resource_name"},
		{"parent", gcp(`,"request":{"parent":"projects/p/locations/europe-west6"}`, ``), "gcp:europe-west6", "ch", "gcp.request_parent"},
		{"global", gcp(`,"resourceName":"projects/p/locations/global/keyRings/k"`, ``), "gcp:global", "", "gcp.global"},
		{"none", gcp(``, ``), "gcp:unknown", "", "gcp.no_location"},
	} {
		provider, _, _ := strings.Cut(c.region, ":")
		t.Run(provider+" "+c.name, func(t *testing.T) {
			e := one(t, c.record)
			if e.Region != c.region || strings.Join(e.Jurisdictions, " ") != c.jurisdictions || e.Rule != c.rule {
				t.Errorf("%s %v by %s, want %s [%s] by %s", e.Region, e.Jurisdictions, e.Rule, c.region, c.jurisdictions, c.rule)
			}
			checkEvent(t, c.name, outcome{raw: []byte(c.record), event: &e}, nil)
			if rule := get(t, &e, "enrichments/0/data/rule"); rule != c.rule {
				t.Errorf("the event says %v", rule)
			}
		})
	}
}

// The same record has the same uid however it is delivered, and other records have others.
func TestUIDs(t *testing.T) {
	record := `{"eventVersion":"1.08","eventTime":"2026-05-01T10:00:00Z","eventID":"e-1","recipientAccountId":"012345678901","eventSource":"s3.amazonaws.com","eventName":"GetObject"}`
	for name, c := range map[string]struct{ record, want string }{
		"cloudtrail":                             {record, "aws:012345678901:e-1"},
		"cloudtrail, caller's":                   {strings.Replace(record, `"recipientAccountId":"012345678901"`, `"userIdentity":{"accountId":"111122223333"}`, 1), "aws:111122223333:e-1"},
		"cloudtrail, no account":                 {strings.Replace(record, `"recipientAccountId":"012345678901",`, ``, 1), "aws:"},
		"cloudtrail, id no id can be":            {strings.Replace(record, `e-1`, `e\u0000 1`, 1), "aws:"},
		"azure rest":                             {`{"eventTimestamp":"2026-05-01T10:00:00Z","eventDataId":"d-1","operationName":{"value":"x"}}`, "azure:d-1"},
		"entra":                                  {`{"time":"2026-05-01T10:00:00Z","category":"SignInLogs","properties":{"id":"s-1"}}`, "azure:s-1"},
		"graph":                                  {`{"createdDateTime":"2026-05-01T10:00:00Z","appId":"a","userPrincipalName":"u","id":"s-1"}`, "azure:s-1"},
		"a resource log's id is not the event's": {`{"time":"2026-05-01T10:00:00Z","operationName":"SecretGet","properties":{"id":"https://kv/x"}}`, "azure:"},
		"gcp":                                    {`{"timestamp":"2026-05-01T10:00:00Z","insertId":"i","logName":"projects/p/logs/l","protoPayload":{}}`, "gcp:"},
	} {
		uid := one(t, c.record).UID
		if strings.HasSuffix(c.want, ":") && len(uid) != len(c.want)+64 || !strings.HasPrefix(uid, c.want) || !strings.HasSuffix(c.want, ":") && uid != c.want {
			t.Errorf("%s: %s, want %s", name, uid, c.want)
		}
	}
}
