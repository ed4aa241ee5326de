package normalize

import (
	"bytes"

	"domicile.dev/domicile/internal/rawjson"
)

// withRequestID holds request data back where nothing can name the request: OCSF requires its uid.
func withRequestID(b *builder, dst []byte, n int32) []byte {
	if b.text(ctRequestID, ctEventID) == nil {
		return dst
	}
	return whole(b, dst, n)
}

func truncatedIfTrue(b *builder, dst []byte, n int32) []byte {
	if truth(b.tree.Text(n)) != 1 {
		return dst
	}
	return append(dst, "true"...)
}

func constantIfText(json string) put {
	return func(b *builder, dst []byte, n int32) []byte {
		if !b.says(n) {
			return dst
		}
		return append(dst, json...)
	}
}

// awsUserName names the caller: by userName; for an assumed role by the session's name; by the issuer; by the service.
// A caller without ARN and account must be called something, and "unknown" is the truth.
func awsUserName(b *builder, dst []byte, _ int32) []byte {
	if n := b.node(ctActorName); n != rawjson.None && b.says(n) {
		return text(b, dst, n)
	}
	arn := b.text(ctARN)
	if string(b.text(ctActorType)) == "AssumedRole" && arn != nil {
		arn = b.text(ctARN)
		if i := bytes.LastIndexByte(arn, '/'); i >= 0 && i+1 < len(arn) {
			return quote(dst, arn[i+1:])
		}
	}
	for _, s := range [...]slot{ctIssuerName, ctInvokedBy} {
		if n := b.node(s); n != rawjson.None && b.says(n) {
			return text(b, dst, n)
		}
	}
	if arn == nil && b.text(ctActorAccount) == nil {
		return append(dst, `"unknown"`...)
	}
	return dst
}

// awsUserTypes maps identity types to user.type_id and, except for Other, its caption.
var awsUserTypes = map[string]struct {
	id      int64
	caption string
}{
	"IAMUser": {1, "User"}, "IdentityCenterUser": {1, "User"}, "FederatedUser": {1, "User"}, "SAMLUser": {1, "User"},
	"WebIdentityUser": {1, "User"}, "Directory": {1, "User"}, "Root": {2, "Admin"}, "AWSService": {4, "Service"}, "Unknown": {0, "Unknown"},
}

func awsUserType(b *builder, dst []byte, n int32) []byte {
	if t, ok := awsUserTypes[string(b.tree.Text(n))]; ok {
		return quoteString(dst, t.caption)
	}
	return text(b, dst, n)
}

func awsUserTypeID(b *builder, dst []byte, _ int32) []byte {
	kind := b.text(ctActorType)
	if t, ok := awsUserTypes[string(kind)]; ok {
		return appendInt(dst, t.id)
	}
	if kind == nil {
		return append(dst, '0')
	}
	return append(dst, "99"...)
}

func awsCredential(b *builder, dst []byte, n int32) []byte {
	if !b.says(n) {
		return dst
	}
	dst = append(dst, `[{"type":"Access Key","uid":`...)
	return append(text(b, dst, n), "}]"...)
}

// awsResources lists the resources that have an ARN. They are taken if that says all of each.
func awsResources(b *builder, dst []byte, n int32) []byte {
	if b.tree.Kind(n) != rawjson.KindArray {
		return dst
	}
	start, all := len(dst), true
	dst = append(dst, '[')
	for _, r := range b.tree.Kids(n) {
		var arn, account, kind int32 = rawjson.None, rawjson.None, rawjson.None
		if b.tree.Kind(r) != rawjson.KindObject {
			all = false
			continue
		}
		for _, m := range b.tree.Kids(r) {
			switch name := b.tree.Name(m); {
			case !b.says(m):
				all = false
			case string(name) == "ARN", string(name) == "arn":
				arn = m
			case string(name) == "accountId":
				account = m
			case string(name) == "type":
				kind = m
			default:
				all = false
			}
		}
		if arn == rawjson.None {
			all = false
			continue
		}
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if account != rawjson.None {
			dst = append(dst, `"owner":{"account":{"type":"AWS Account","type_id":10,"uid":`...)
			dst = append(textOnly(b, dst, account), "}},"...)
		}
		if region := arnRegion(b.tree.Text(arn)); len(region) > 0 && b.places.Find("aws", region) != nil {
			dst = append(quote(append(dst, `"region":`...), region), ',')
		}
		if kind != rawjson.None {
			dst = append(textOnly(b, append(dst, `"type":`...), kind), ',')
		}
		dst = append(textOnly(b, append(dst, `"uid":`...), arn), '}')
	}
	if len(dst) == start+1 {
		return dst[:start]
	}
	if all {
		b.take(n)
	}
	return append(dst, ']')
}

// arnRegion returns the fourth part of arn:partition:service:region:account:resource.
func arnRegion(arn []byte) []byte {
	for range 3 {
		_, rest, ok := bytes.Cut(arn, []byte(":"))
		if !ok {
			return nil
		}
		arn = rest
	}
	region, _, _ := bytes.Cut(arn, []byte(":"))
	return region
}

// plainID reports whether a provider's id may stand in a uid: printable ASCII, not too long.
func plainID(id []byte) bool {
	if len(id) == 0 || len(id) > 200 {
		return false
	}
	for _, c := range id {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
