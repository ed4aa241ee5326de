package main

import (
	"fmt"
	"slices"
	"time"
)

// The company's AWS accounts.
const (
	awsEurope  = "111122223333"
	awsAmerica = "444455556666"
	awsIndia   = "123456789012"
)

// awsCall is something that people or jobs do: a service's operation and its parameters.
type awsCall struct {
	service string
	name    string
	read    bool
	params  func(d *day, region, account string) obj
}

var awsCalls = []awsCall{
	{"ec2.amazonaws.com", "DescribeInstances", true, func(d *day, _, _ string) obj {
		return obj{"instancesSet", obj{"items", []obj{{"instanceId", "i-" + d.hex(17)}}}, "filterSet", obj{}}
	}},
	{"ec2.amazonaws.com", "DescribeVolumes", true, func(d *day, _, _ string) obj {
		return obj{"volumeSet", obj{}, "filterSet", obj{}, "maxResults", 100}
	}},
	{"ec2.amazonaws.com", "StartInstances", false, func(d *day, _, _ string) obj {
		return obj{"instancesSet", obj{"items", []obj{{"instanceId", "i-" + d.hex(17)}}}}
	}},
	{"ec2.amazonaws.com", "CreateSnapshot", false, func(d *day, _, _ string) obj {
		return obj{"volumeId", "vol-" + d.hex(17), "description", "nightly"}
	}},
	{"s3.amazonaws.com", "GetBucketLocation", true, func(_ *day, region, _ string) obj {
		return obj{"bucketName", "example-orders-" + region, "location", "", "Host", "s3." + region + ".amazonaws.com"}
	}},
	{"s3.amazonaws.com", "PutBucketVersioning", false, func(_ *day, region, _ string) obj {
		return obj{"bucketName", "example-orders-" + region, "VersioningConfiguration", obj{"Status", "Enabled"}, "versioning", ""}
	}},
	{"kms.amazonaws.com", "Decrypt", true, func(d *day, region, account string) obj {
		return obj{"encryptionContext", obj{"aws:s3:arn", "arn:aws:s3:::example-orders-" + region}, "encryptionAlgorithm", "SYMMETRIC_DEFAULT"}
	}},
	{"secretsmanager.amazonaws.com", "GetSecretValue", true, func(_ *day, region, account string) obj {
		return obj{"secretId", "arn:aws:secretsmanager:" + region + ":" + account + ":secret:orders/db-Ab1Cd2"}
	}},
	{"lambda.amazonaws.com", "UpdateFunctionCode20150331v2", false, func(d *day, _, _ string) obj {
		return obj{"functionName", "orders-worker", "publish", true, "dryRun", false}
	}},
	{"rds.amazonaws.com", "DescribeDBInstances", true, func(*day, string, string) obj {
		return obj{"dBInstanceIdentifier", "orders"}
	}},
	{"logs.amazonaws.com", "CreateLogStream", false, func(d *day, _, _ string) obj {
		return obj{"logGroupName", "/orders/app", "logStreamName", "web/" + d.hex(12)}
	}},
	{"dynamodb.amazonaws.com", "DescribeTable", true, func(*day, string, string) obj {
		return obj{"tableName", "baskets"}
	}},
}

var awsAgents = []string{
	"aws-cli/2.17.40 md/awscrt#0.21.2 ua/2.0 os/linux#6.8.0 lang/python#3.12.6",
	"Boto3/1.35.20 md/Botocore#1.35.20 ua/2.0 os/linux#5.15 lang/python#3.11.9",
	"APN/1.0 HashiCorp/1.0 Terraform/1.9.5 aws-sdk-go-v2/1.30.4",
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
}

func aws(d *day) []file {
	var out []file
	routine := func(account, region string, from, to, n int) (ts []timed) {
		people := map[string][]string{
			awsEurope: {"anna.berg", "luis.ortega", "ci-deploy"}, awsAmerica: {"dan.cole", "mei.chan", "ci-deploy"}, awsIndia: {"priya.nair", "ci-deploy"},
		}[account]
		for _, t := range d.between(from, to, n) {
			c := pick(d, awsCalls)
			who := d.assumedRole(account, "Engineer", pick(d, people))
			r := d.cloudTrail(t, account, region, c.service, c.name, c.read, who, c.params(d, region, account), nil)
			if c.name == "Decrypt" {
				r = append(r, "resources", []obj{{"accountId", account, "type", "AWS::KMS::Key", "ARN", "arn:aws:kms:" + region + ":" + account + ":key/" + d.uuid()}})
			}
			if d.IntN(20) == 0 { // now and then somebody lacks a permission
				r = append(r, "errorCode", "AccessDenied", "errorMessage", "User is not authorized to perform this action")
			}
			ts = append(ts, timed{t, r})
		}
		return ts
	}
	deliver := func(account, region string, t time.Time, ts []timed) {
		out = append(out, file{
			path: fmt.Sprintf("aws/AWSLogs/%s/CloudTrail/%s/2026/10/01/%s_CloudTrail_%s_%s_%s.json.gz",
				account, region, account, region, t.Truncate(5*time.Minute).Format("20060102T1504Z"), d.upper(16)),
			bytes: zipped(encode(obj{"Records", ordered(ts)})),
		})
	}

	// Frankfurt: the morning, the afternoon with a replication to Ireland being switched on, the night's jobs.
	deliver(awsEurope, "eu-central-1", d.at(12, 0), routine(awsEurope, "eu-central-1", 6, 12, 60))
	afternoon := routine(awsEurope, "eu-central-1", 12, 18, 55)
	afternoon = append(afternoon, d.replication(14, 5, awsEurope, "eu-central-1", "arn:aws:s3:::example-orders-eu-west-1"))
	deliver(awsEurope, "eu-central-1", d.at(18, 0), afternoon)
	deliver(awsEurope, "eu-central-1", d.at(23, 55), routine(awsEurope, "eu-central-1", 20, 23, 20))
	// Ireland holds the replica.
	deliver(awsEurope, "eu-west-1", d.at(17, 0), routine(awsEurope, "eu-west-1", 8, 17, 30))
	// Mumbai, with a copy of a snapshot out of Frankfurt: data that leaves one jurisdiction for another.
	mumbai := append(routine(awsIndia, "ap-south-1", 4, 13, 40), d.snapshotCopy(10, 12, awsIndia, "ap-south-1", "eu-central-1"))
	deliver(awsIndia, "ap-south-1", d.at(13, 0), mumbai)
	// Virginia: a region like others, and where global services are recorded, also those of the European account.
	deliver(awsAmerica, "us-east-1", d.at(21, 0), append(routine(awsAmerica, "us-east-1", 12, 21, 45), d.signIns(awsAmerica, "dan.cole", 12, 58)...))
	deliver(awsEurope, "us-east-1", d.at(8, 30), append(d.signIns(awsEurope, "anna.berg", 6, 40), d.globalServices(awsEurope, 7)...))
	return out
}

// cloudTrail is a record in CloudTrail's own order of members.
func (d *day) cloudTrail(t time.Time, account, region, service, name string, read bool, who, params, response obj) obj {
	var req, resp any
	if params != nil {
		req = params
	}
	if response != nil {
		resp = response
	}
	return obj{
		"eventVersion", "1.11", "userIdentity", who, "eventTime", t.Format("2006-01-02T15:04:05Z"), "eventSource", service,
		"eventName", name, "awsRegion", region, "sourceIPAddress", fmt.Sprintf("192.0.2.%d", 1+d.IntN(60)),
		"userAgent", pick(d, awsAgents), "requestParameters", req, "responseElements", resp, "requestID", d.uuid(),
		"eventID", d.uuid(), "readOnly", read, "eventType", "AwsApiCall", "managementEvent", true,
		"recipientAccountId", account, "eventCategory", "Management",
	}
}

// with replaces members, or appends them.
func (o obj) with(members ...any) obj {
	o = slices.Clone(o)
next:
	for m := 0; m < len(members); m += 2 {
		for i := 0; i < len(o); i += 2 {
			if o[i] == members[m] {
				o[i+1] = members[m+1]
				continue next
			}
		}
		o = append(o, members[m], members[m+1])
	}
	return o
}

func iamUser(account, name string) obj {
	return obj{
		"type", "IAMUser", "principalId", "AIDACKCEVSQ6C2EXAMPLE", "arn", "arn:aws:iam::" + account + ":user/" + name,
		"accountId", account, "accessKeyId", "AKIAIOSFODNN7EXAMPLE", "userName", name,
	}
}

func (d *day) assumedRole(account, role, session string) obj {
	return obj{
		"type", "AssumedRole", "principalId", "AROACKCEVSQ6C2EXAMPLE:" + session,
		"arn", "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session, "accountId", account,
		"accessKeyId", "ASIAIOSFODNN7EXAMPLE", "sessionContext", obj{
			"sessionIssuer", obj{"type", "Role", "principalId", "AROACKCEVSQ6C2EXAMPLE", "arn", "arn:aws:iam::" + account + ":role/" + role, "accountId", account, "userName", role},
			"attributes", obj{"creationDate", d.at(5, 30).Format("2006-01-02T15:04:05Z"), "mfaAuthenticated", "true"},
		},
	}
}

func (d *day) replication(hour, minute int, account, region, destination string) timed {
	t := d.at(hour, minute)
	return timed{t, d.cloudTrail(t, account, region, "s3.amazonaws.com", "PutBucketReplication", false, d.assumedRole(account, "Engineer", "luis.ortega"), obj{
		"bucketName", "example-orders-" + region, "replication", "", "ReplicationConfiguration", obj{
			"Role", "arn:aws:iam::" + account + ":role/replication",
			"Rule", obj{"ID", "orders", "Status", "Enabled", "Destination", obj{"Bucket", destination, "StorageClass", "STANDARD_IA"}},
		},
	}, nil)}
}

func (d *day) snapshotCopy(hour, minute int, account, region, from string) timed {
	t := d.at(hour, minute)
	return timed{t, d.cloudTrail(t, account, region, "ec2.amazonaws.com", "CopySnapshot", false, d.assumedRole(account, "Engineer", "priya.nair"), obj{
		"sourceRegion", from, "sourceSnapshotId", "snap-" + d.hex(17), "description", "orders, for analysis", "encrypted", true,
	}, obj{"requestId", d.uuid(), "snapshotId", "snap-" + d.hex(17)})}
}

// signIns is a mistyped password and then the right one.
func (d *day) signIns(account, user string, hour, minute int) []timed {
	var ts []timed
	for i, answer := range []string{"Failure", "Failure", "Success"} {
		t := d.at(hour, minute+i/2)
		who := iamUser(account, user)
		r := d.cloudTrail(t, account, "us-east-1", "signin.amazonaws.com", "ConsoleLogin", false, slices.Delete(slices.Clone(who), 8, 10), nil, obj{"ConsoleLogin", answer}).with(
			"eventType", "AwsConsoleSignIn", "sourceIPAddress", "203.0.113.17", "userAgent", awsAgents[3],
			"additionalEventData", obj{"LoginTo", "https://console.aws.amazon.com/console/home", "MobileVersion", "No", "MFAUsed", map[bool]string{true: "Yes", false: "No"}[answer == "Success"]},
		)
		if answer == "Failure" {
			r = r.with("errorMessage", "Failed authentication")
		}
		ts = append(ts, timed{t.Add(time.Duration(i) * time.Minute), r.with("eventTime", t.Add(time.Duration(i)*time.Minute).Format("2006-01-02T15:04:05Z"))})
	}
	return ts
}

// globalServices is a deployment role being assumed, and access being granted: IAM, STS and Organizations are recorded
// in us-east-1 wherever the caller and the account are at home.
func (d *day) globalServices(account string, hour int) []timed {
	admin := iamUser(account, "anna.berg")
	call := func(minute int, service, name string, read bool, params, response obj) timed {
		t := d.at(hour, minute)
		return timed{t, d.cloudTrail(t, account, "us-east-1", service, name, read, admin, params, response)}
	}
	role := "arn:aws:iam::" + account + ":role/Deploy"
	return []timed{
		call(2, "sts.amazonaws.com", "AssumeRole", true, obj{"roleArn", role, "roleSessionName", "anna.berg", "durationSeconds", 3600}, obj{
			"credentials", obj{"accessKeyId", "ASIAIOSFODNN7EXAMPLE", "sessionToken", "EXAMPLE", "expiration", "Oct 1, 2026, 8:02:00 AM"},
			"assumedRoleUser", obj{"assumedRoleId", "AROACKCEVSQ6C2EXAMPLE:anna.berg", "arn", "arn:aws:sts::" + account + ":assumed-role/Deploy/anna.berg"},
		}),
		call(4, "sts.amazonaws.com", "GetCallerIdentity", true, nil, nil),
		call(9, "iam.amazonaws.com", "ListUsers", true, obj{"maxItems", 1000}, nil),
		call(11, "iam.amazonaws.com", "CreateUser", false, obj{"userName", "luis.ortega", "tags", []obj{{"key", "team", "value", "orders"}}}, obj{
			"user", obj{"path", "/", "userName", "luis.ortega", "userId", "AIDACKCEVSQ6C2EXAMPLE", "arn", "arn:aws:iam::" + account + ":user/luis.ortega", "createDate", "Oct 1, 2026, 7:11:00 AM"},
		}),
		call(12, "iam.amazonaws.com", "AddUserToGroup", false, obj{"userName", "luis.ortega", "groupName", "engineers"}, nil),
		call(15, "iam.amazonaws.com", "AttachRolePolicy", false, obj{"roleName", "Engineer", "policyArn", "arn:aws:iam::aws:policy/AmazonS3FullAccess"}, nil),
		call(16, "iam.amazonaws.com", "CreateAccessKey", false, obj{"userName", "ci-deploy"}, obj{
			"accessKey", obj{"accessKeyId", "AKIAIOSFODNN7EXAMPLE", "status", "Active", "userName", "ci-deploy", "createDate", "Oct 1, 2026, 7:16:00 AM"},
		}),
		call(20, "organizations.amazonaws.com", "ListAccounts", true, obj{}, nil),
		call(31, "route53.amazonaws.com", "ChangeResourceRecordSets", false, obj{"hostedZoneId", "Z0123456789EXAMPLE", "changeBatch", obj{"changes", []obj{{"action", "UPSERT", "resourceRecordSet", obj{"name", "orders.example.com.", "type", "A", "tTL", 300}}}}}, nil),
	}
}
