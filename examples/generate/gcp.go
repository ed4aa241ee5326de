package main

import (
	"bytes"
	"fmt"
	"time"
)

type project struct {
	id, region string
	people     []string
}

var (
	gcpEurope  = project{"example-orders-eu", "europe-west3", []string{"anna.berg", "luis.ortega"}}
	gcpAmerica = project{"example-orders-us", "us-central1", []string{"dan.cole", "mei.chan"}}
	gcpIndia   = project{"example-orders-in", "asia-south1", []string{"priya.nair"}}
	gcpLondon  = project{"example-orders-uk", "europe-west2", []string{"luis.ortega"}}
)

// gcpCall is an operation on a resource; resource and name are formats of project and region.
type gcpCall struct {
	service, method, permission string
	kind                        string // type of the monitored resource
	name                        string // of project, region
	zonal                       bool
}

var gcpCalls = []gcpCall{
	{"compute.googleapis.com", "v1.compute.instances.insert", "compute.instances.create", "gce_instance", "projects/%s/zones/%s-b/instances/web-1", true},
	{"compute.googleapis.com", "v1.compute.instances.stop", "compute.instances.stop", "gce_instance", "projects/%s/zones/%s-b/instances/web-1", true},
	{"compute.googleapis.com", "v1.compute.disks.createSnapshot", "compute.disks.createSnapshot", "gce_disk", "projects/%s/zones/%s-b/disks/web-1", true},
	{"storage.googleapis.com", "storage.buckets.update", "storage.buckets.update", "gcs_bucket", "projects/_/buckets/%s-%s", false},
	{"storage.googleapis.com", "storage.setIamPermissions", "storage.buckets.setIamPolicy", "gcs_bucket", "projects/_/buckets/%s-%s", false},
	{"cloudsql.googleapis.com", "cloudsql.instances.update", "cloudsql.instances.update", "cloudsql_database", "projects/%s/locations/%s/instances/orders", false},
	{"container.googleapis.com", "google.container.v1.ClusterManager.UpdateCluster", "container.clusters.update", "gke_cluster", "projects/%s/locations/%s/clusters/orders", false},
	{"secretmanager.googleapis.com", "google.cloud.secretmanager.v1.SecretManagerService.AddSecretVersion", "secretmanager.versions.add", "audited_resource", "projects/%s/locations/%s/secrets/db", false},
	{"run.googleapis.com", "google.cloud.run.v1.Services.ReplaceService", "run.services.update", "cloud_run_revision", "projects/%s/locations/%s/services/orders", false},
}

func gcp(d *day) []file {
	exported := func(sink, hours string, records []obj) file {
		return file{path: "gcp/" + sink + "/cloudaudit.googleapis.com/activity/2026/10/01/" + hours + "_S0.json", bytes: lines(records, "\n")}
	}
	europe := d.entries(gcpEurope, 6, 12, 36)
	europe = append(europe, d.serviceAccountKey(gcpEurope, 10, 15))
	out := []file{
		exported("example-audit-eu", "06.00.00_11.59.59", ordered(europe)),
		exported("example-audit-us", "12.00.00_19.59.59", ordered(append(d.entries(gcpAmerica, 12, 20, 36), d.deniedPolicy(gcpAmerica, 15, 2)))),
		exported("example-audit-uk", "09.00.00_09.59.59", ordered(d.entries(gcpLondon, 9, 10, 4))),
		// What `gcloud logging read --format=json` prints: an array.
		{path: "gcp/gcloud-logging-read/asia-south1.json", bytes: encode(ordered(d.entries(gcpIndia, 4, 12, 30)))},
		// A bucket in the multi-region EU, and an operation that names no place at all.
		{path: "gcp/gcloud-logging-read/multi-region-and-unplaced.json", bytes: encode(ordered(append(d.multiRegion(gcpEurope, 8, 4), d.unplaced(gcpEurope, 11, 3)...)))},
	}
	// A file that was damaged on its way: the fifth line lacks its second half. The others are fine.
	broken := d.entries(gcpEurope, 13, 14, 8)
	ls := bytes.SplitAfter(lines(ordered(broken), "\n"), []byte("\n"))
	ls[4] = append(bytes.Clone(ls[4][:len(ls[4])/2]), '\n')
	return append(out, file{path: "gcp/damaged/13.00.00_13.59.59_S0.json", bytes: bytes.Join(ls, nil)})
}

func (d *day) entries(p project, from, to, n int) (ts []timed) {
	for _, t := range d.between(from, to, n) {
		c := pick(d, gcpCalls)
		labels := obj{"project_id", p.id, "location", p.region}
		if c.zonal {
			labels = obj{"project_id", p.id, "zone", p.region + "-b", "instance_id", fmt.Sprint(1e18 + d.Int64N(8e18))}
		}
		r := d.entry(p, t, c, fmt.Sprintf(c.name, p.id, p.region), labels, pick(d, p.people)+"@example.com", []string{p.region})
		ts = append(ts, timed{t, r})
	}
	return ts
}

// entry is a LogEntry in the order in which Cloud Logging exports it. Without locations there is no resourceLocation.
func (d *day) entry(p project, t time.Time, c gcpCall, resource string, labels obj, who string, locations []string) obj {
	payload := obj{
		"@type", "type.googleapis.com/google.cloud.audit.AuditLog", "status", obj{},
		"authenticationInfo", obj{"principalEmail", who, "principalSubject", "user:" + who},
		"requestMetadata", obj{"callerIp", fmt.Sprintf("203.0.113.%d", 1+d.IntN(60)), "callerSuppliedUserAgent", "google-cloud-sdk gcloud/490.0.0", "requestAttributes", obj{"time", t.Format(time.RFC3339Nano), "auth", obj{}}, "destinationAttributes", obj{}},
		"serviceName", c.service, "methodName", c.method,
		"authorizationInfo", []obj{{"resource", resource, "permission", c.permission, "granted", true, "resourceAttributes", obj{}}},
		"resourceName", resource, "request", obj{"@type", "type.googleapis.com/" + c.method + "Request"},
	}
	if locations != nil {
		payload = append(payload, "resourceLocation", obj{"currentLocations", locations})
	}
	return obj{
		"protoPayload", payload, "insertId", d.hex(13), "resource", obj{"type", c.kind, "labels", labels},
		"timestamp", t.Format(time.RFC3339Nano), "severity", "NOTICE",
		"logName", "projects/" + p.id + "/logs/cloudaudit.googleapis.com%2Factivity",
		"receiveTimestamp", t.Add(time.Duration(200+d.IntN(900)) * time.Millisecond).Format(time.RFC3339Nano),
	}
}

// serviceAccountKey is a long-lived credential being made, which somebody should look at.
func (d *day) serviceAccountKey(p project, hour, minute int) timed {
	t := d.at(hour, minute)
	account := "ci-deploy@" + p.id + ".iam.gserviceaccount.com"
	c := gcpCall{service: "iam.googleapis.com", method: "google.iam.admin.v1.CreateServiceAccountKey", permission: "iam.serviceAccountKeys.create", kind: "service_account"}
	return timed{t, d.entry(p, t, c, "projects/-/serviceAccounts/100000000000000000042", obj{"project_id", p.id, "email_id", account, "unique_id", "100000000000000000042"}, "luis.ortega@example.com", nil)}
}

func (d *day) deniedPolicy(p project, hour, minute int) timed {
	t := d.at(hour, minute)
	c := gcpCall{service: "cloudresourcemanager.googleapis.com", method: "SetIamPolicy", permission: "resourcemanager.projects.setIamPolicy", kind: "project"}
	r := d.entry(p, t, c, "projects/"+p.id, obj{"project_id", p.id}, "mei.chan@example.com", nil)
	payload := r[1].(obj).with("status", obj{"code", 7, "message", "PERMISSION_DENIED"},
		"authorizationInfo", []obj{{"resource", "projects/" + p.id, "permission", c.permission, "granted", false, "resourceAttributes", obj{}}})
	return timed{t, r.with("protoPayload", payload, "severity", "ERROR")}
}

func (d *day) multiRegion(p project, hour, n int) (ts []timed) {
	for i, t := range d.between(hour, hour+1, n) {
		c := gcpCall{service: "storage.googleapis.com", method: []string{"storage.buckets.create", "storage.buckets.update"}[min(i, 1)], permission: "storage.buckets.update", kind: "gcs_bucket"}
		ts = append(ts, timed{t, d.entry(p, t, c, "projects/_/buckets/"+p.id+"-archive", obj{"bucket_name", p.id + "-archive", "location", "eu", "project_id", p.id}, "anna.berg@example.com", []string{"eu"})})
	}
	return ts
}

func (d *day) unplaced(p project, hour, n int) (ts []timed) {
	for _, t := range d.between(hour, hour+1, n) {
		c := gcpCall{service: "serviceusage.googleapis.com", method: "google.api.serviceusage.v1.ServiceUsage.EnableService", permission: "serviceusage.services.enable", kind: "audited_resource"}
		ts = append(ts, timed{t, d.entry(p, t, c, "projects/"+p.id+"/services/run.googleapis.com", obj{"project_id", p.id, "service", "serviceusage.googleapis.com", "method", c.method}, "anna.berg@example.com", nil)})
	}
	return ts
}
