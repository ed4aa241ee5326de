package normalize_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"domicile.dev/domicile/normalize"
)

// fuzzRecords feeds arbitrary bytes: they become a valid, lossless event that is the same the second time, or they are
// refused with all of their bytes.
func fuzzRecords(f *testing.F, seeds string, more ...string) {
	files, err := filepath.Glob(seeds)
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		seed, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimSpace(seed))
	}
	for _, seed := range more {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		event, err := normalize.Normalize(normalize.Raw{Bytes: record, Offset: 7}, testOptions)
		if err != nil {
			var bad *normalize.RecordError
			if !errors.As(err, &bad) || bad.Reason == "" || bad.Offset != 7 || !bytes.Equal(bad.Bytes, record) {
				t.Fatalf("%#v", err)
			}
			return
		}
		checkEvent(t, "fuzz", outcome{raw: record, event: &event}, nil)
		again, err := normalize.Normalize(normalize.Raw{Bytes: record}, testOptions)
		if err != nil || !bytes.Equal(again.JSON, event.JSON) {
			t.Fatalf("another event the second time: %v", err)
		}
		if _, err := normalize.Explain(normalize.Raw{Bytes: record}, testOptions); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzCloudTrail(f *testing.F) {
	fuzzRecords(f, "testdata/records/cloudtrail_*.json",
		`{"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","eventTime":"2026-01-01T00:00:00Z","userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"resources":[{"ARN":"arn:a:b:c"},1,{"ARN":2}],"sourceIPAddress":"[::1]:1"}`)
}

func FuzzAzure(f *testing.F) {
	fuzzRecords(f, "testdata/records/azure_*.json",
		`{"Time":"1/9/2007 9:41:00 AM +01:00","OperationName":{"value":"A/b/action"},"identity":"x","properties":{"requestbody":"{\"location\":1}"}}`,
		`{"activityDisplayName":"Add member to group","activityDateTime":"2026-01-01T00:00:00Z","initiatedBy":{"app":{"displayName":"x"}},"result":"failure"}`)
}

func FuzzGCP(f *testing.F) {
	fuzzRecords(f, "testdata/records/gcp_*.json",
		`{"logName":"organizations/1/logs/x%2fy","timestamp":"2026-01-01T00:00:00Z","jsonPayload":{"a":1},"insertId":1,"split":{}}`,
		`{"protoPayload":{"serviceName":"login.googleapis.com","methodName":"google.login.LoginService.loginSuccess","authorizationInfo":{},"authenticationInfo":{"serviceAccountDelegationInfo":[{"principalSubject":"x"}]}},"timestamp":"2026-01-01T00:00:00Z"}`)
}
