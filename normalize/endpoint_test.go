package normalize

import "testing"

func TestSourceAddresses(t *testing.T) {
	for _, c := range []struct {
		in, ip  string
		port    uint16
		service bool
	}{
		{in: "203.0.113.25", ip: "203.0.113.25"},
		{in: "203.0.113.25:443", ip: "203.0.113.25", port: 443},
		{in: "2001:db8::1", ip: "2001:db8::1"},
		{in: "[2001:db8::1]:443", ip: "2001:db8::1", port: 443},
		{in: "::ffff:203.0.113.25", ip: "203.0.113.25"},
		{in: "fe80::1%eth0", ip: "fe80::1"},
		{in: "cloudformation.amazonaws.com", service: true},
		{in: "ec2.amazonaws.com", service: true}, // begins like a hexadecimal number
		{in: "AWS Internal"}, {in: "private"}, {in: "gce-internal-ip"}, {in: "(calling IP)"},
		{in: "203.0.113.256", service: true}, {in: "203.0.113.025", service: true}, {in: "1.2.3", service: true},
	} {
		var e endpoint
		address := e.address([]byte(c.in))
		ip := ""
		if e.addr.IsValid() {
			ip = e.addr.String()
		}
		if address != (c.ip != "") || ip != c.ip || e.port != c.port {
			t.Errorf("%s: %q port %d, want %q port %d", c.in, ip, e.port, c.ip, c.port)
		}
	}
}

func TestActivities(t *testing.T) {
	for name, want := range map[string]int{
		"CreateBucket": create, "RunInstances": create, "BatchGetItem": read, "GetBucketReplication": read, "DescribeUpdates": read,
		"PutBucketReplication": update, "DeleteObject": remove, "TerminateInstances": remove, "insert": create, "setIamPolicy": update,
		"SetIamPolicy": update, "Dance": other, "": other, "Get": read, "Getaway": other, "delete": remove, "BatchDance": other, "Batch": other,
		"DetachRolePolicy": update, "AVeryLongFirstWordThatIsNoVerb": other, "averyveryverylongword": other,
	} {
		if got := activityOf([]byte(name)); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]int{
		"Microsoft.Storage/storageAccounts/write": update, "Microsoft.Storage/storageAccounts/delete": remove,
		"Microsoft.Storage/storageAccounts/listKeys/action": read, "Microsoft.Compute/virtualMachines/start/action": update,
		"SecretGet": read, "VaultDelete": remove, "Add user": update, "Sign-in activity": other, "Microsoft.Resourcehealth/healthevent/Updated/action": other,
	} {
		if got := azureActivity([]byte(name)); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}
