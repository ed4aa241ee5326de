package main

import (
	"fmt"
	"strings"
	"time"
)

// The company's Azure tenant and its subscription in each part of the world.
const tenant = "11111111-2222-4333-8444-555555555555"

type subscription struct {
	id, location, group string
	people              []string
}

var (
	azEurope  = subscription{"aaaaaaaa-1111-4111-8111-aaaaaaaaaaaa", "westeurope", "orders-weu", []string{"anna.berg", "luis.ortega"}}
	azAmerica = subscription{"bbbbbbbb-2222-4222-8222-bbbbbbbbbbbb", "eastus", "orders-eus", []string{"dan.cole", "mei.chan"}}
	azIndia   = subscription{"cccccccc-3333-4333-8333-cccccccccccc", "centralindia", "orders-inc", []string{"priya.nair"}}
)

var azureCalls = []struct{ operation, kind, name string }{
	{"Microsoft.Compute/virtualMachines/start/action", "Microsoft.Compute/virtualMachines", "web-01"},
	{"Microsoft.Compute/virtualMachines/write", "Microsoft.Compute/virtualMachines", "web-02"},
	{"Microsoft.Compute/disks/beginGetAccess/action", "Microsoft.Compute/disks", "web-01-os"},
	{"Microsoft.Storage/storageAccounts/write", "Microsoft.Storage/storageAccounts", "exampleorders"},
	{"Microsoft.Storage/storageAccounts/listKeys/action", "Microsoft.Storage/storageAccounts", "exampleorders"},
	{"Microsoft.KeyVault/vaults/write", "Microsoft.KeyVault/vaults", "orders-vault"},
	{"Microsoft.Network/networkSecurityGroups/securityRules/write", "Microsoft.Network/networkSecurityGroups", "web-nsg"},
	{"Microsoft.Sql/servers/firewallRules/write", "Microsoft.Sql/servers", "orders-sql"},
	{"Microsoft.Web/sites/restart/action", "Microsoft.Web/sites", "orders-api"},
	{"Microsoft.Insights/diagnosticSettings/write", "Microsoft.Storage/storageAccounts", "exampleorders"},
}

func azure(d *day) []file {
	hub := func(name string, ts []timed) file {
		return file{path: "azure/eventhubs/insights-activity-logs/" + name + ".json", bytes: encode(obj{"records", ordered(ts)})}
	}
	blob := func(s subscription, hour int, ts []timed) file {
		return file{
			path: fmt.Sprintf("azure/blobs/insights-activity-logs/resourceId=/SUBSCRIPTIONS/%s/y=2026/m=10/d=01/h=%02d/m=00/PT1H.json", strings.ToUpper(s.id), hour),
			// Azure ends lines the Windows way.
			bytes: lines(ordered(ts), "\r\n"),
		}
	}
	europe := append(d.activity(azEurope, 7, 12, 14), d.roleAssignment(azEurope, 9, 20)...)
	return []file{
		hub("0_westeurope", europe),
		hub("0_eastus", d.activity(azAmerica, 13, 20, 14)),
		hub("1_centralindia", d.activity(azIndia, 4, 11, 10)),
		blob(azEurope, 14, append(d.activity(azEurope, 14, 15, 8), d.geoRedundancy(azEurope, 14, 40)...)),
		blob(azAmerica, 16, d.activity(azAmerica, 16, 17, 8)),
		blob(azIndia, 6, d.activity(azIndia, 6, 7, 6)),
	}
}

func (s subscription) resource(kind, name string) string {
	return strings.ToUpper("/subscriptions/" + s.id + "/resourceGroups/" + s.group + "/providers/" + kind + "/" + name)
}

// activity is routine: each operation is two events, one when it was accepted and one when it was done.
func (d *day) activity(s subscription, from, to, n int) (ts []timed) {
	for _, t := range d.between(from, to, n) {
		c := pick(d, azureCalls)
		ts = append(ts, d.operation(s, t, c.operation, s.resource(c.kind, c.name), pick(d, s.people), nil, d.IntN(12) == 0)...)
	}
	return ts
}

func (d *day) operation(s subscription, t time.Time, operation, resource, who string, properties obj, fails bool) (ts []timed) {
	correlation := d.uuid()
	result, signature := "Success", "Succeeded."
	if fails {
		result, signature = "Failure", "Failed.Forbidden"
	}
	action := strings.ToLower(operation)
	for i, step := range []struct{ kind, signature string }{{"Start", "Started."}, {result, signature}} {
		when := t.Add(time.Duration(i) * time.Duration(900+d.IntN(4000)) * time.Millisecond)
		ts = append(ts, timed{when, obj{
			"RoleLocation", "West Europe", "time", when.Format("2006-01-02T15:04:05.0000000Z"), "resourceId", resource,
			"operationName", strings.ToUpper(operation), "category", "Administrative", "resultType", step.kind,
			"resultSignature", step.signature, "durationMs", fmt.Sprint(i * (900 + d.IntN(4000))),
			"callerIpAddress", fmt.Sprintf("198.51.100.%d", 1+d.IntN(60)), "correlationId", correlation,
			"identity", obj{
				"authorization", obj{"scope", strings.ToLower(resource), "action", action, "evidence", obj{"role", "Contributor", "roleAssignmentScope", "/subscriptions/" + s.id, "principalType", "User"}},
				"claims", obj{
					"aud", "https://management.core.windows.net/", "iss", "https://sts.windows.net/" + tenant + "/",
					"http://schemas.microsoft.com/identity/claims/objectidentifier", "99999999-0000-4000-8000-0000000000" + fmt.Sprintf("%02d", len(who)),
					"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn", who + "@example.com", "name", who,
				},
			},
			"level", map[bool]string{true: "Error", false: "Information"}[fails && i == 1], "location", s.location,
			"properties", append(obj{"statusCode", map[int]string{0: "Accepted", 1: "OK"}[i], "serviceRequestId", d.uuid(), "eventCategory", "Administrative", "entity", strings.ToLower(resource), "message", action, "hierarchy", tenant + "/" + s.id}, properties...),
		}})
	}
	return ts
}

func (d *day) roleAssignment(s subscription, hour, minute int) []timed {
	resource := strings.ToUpper("/subscriptions/"+s.id+"/providers/Microsoft.Authorization/roleAssignments/") + d.uuid()
	body := encode(obj{"Id", d.uuid(), "Properties", obj{"PrincipalId", d.uuid(), "PrincipalType", "User", "RoleDefinitionId", "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7", "Scope", "/subscriptions/" + s.id}})
	ts := d.operation(s, d.at(hour, minute), "Microsoft.Authorization/roleAssignments/write", resource, "anna.berg", obj{"requestbody", string(body)}, false)
	for i := range ts {
		ts[i].record = ts[i].record.with("location", "global")
	}
	return ts
}

// geoRedundancy switches a storage account to a copy in the paired region, which lies in another country.
func (d *day) geoRedundancy(s subscription, hour, minute int) []timed {
	body := encode(obj{"sku", obj{"name", "Standard_GRS"}, "location", s.location, "properties", obj{}})
	return d.operation(s, d.at(hour, minute), "Microsoft.Storage/storageAccounts/write", s.resource("Microsoft.Storage/storageAccounts", "exampleorders"), "luis.ortega", obj{"requestbody", string(body)}, false)
}
