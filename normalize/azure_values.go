package normalize

import (
	"bytes"

	"domicile.dev/domicile/internal/rawjson"
)

// azureSubscription returns the subscription of the record's resource.
func azureSubscription(b *builder) []byte {
	id := b.text(azResource)
	if rest, ok := cutFold(id, "/subscriptions/"); ok {
		sub, _, _ := bytes.Cut(rest, []byte("/"))
		if len(sub) > 0 {
			return bytes.ToLower(sub)
		}
	}
	return bytes.ToLower(b.text(azSubscription))
}

// azureProvider returns the resource provider (Microsoft.Storage) of a resource id.
func azureProvider(id []byte) []byte {
	rest, ok := cutFold(id, "/providers/")
	if !ok {
		return nil
	}
	name, _, _ := bytes.Cut(rest, []byte("/"))
	return name
}

// cutFold returns what follows the first sep (lower case ASCII), whatever its case.
func cutFold(s []byte, sep string) ([]byte, bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if s[i] == sep[0] && bytes.EqualFold(s[i:i+len(sep)], []byte(sep)) {
			return s[i+len(sep):], true
		}
	}
	return nil, false
}

func azureAccount(b *builder, dst []byte, _ int32) []byte {
	if b.account == "" {
		return dst
	}
	return quoteString(dst, b.account)
}

func azureAccountType(b *builder, dst []byte, _ int32) []byte {
	switch {
	case b.account == "":
		return dst
	case b.entra:
		return append(dst, `"Azure AD Account"`...)
	}
	return append(dst, `"Azure Subscription"`...)
}

func azureAccountTypeID(b *builder, dst []byte, _ int32) []byte {
	switch {
	case b.account == "":
		return dst
	case b.entra:
		return append(dst, '6')
	}
	return append(dst, "13"...)
}

// azureService names the service: who logged a directory event, else the provider of the operation or the resource.
func azureService(b *builder, dst []byte, _ int32) []byte {
	if n := b.scalarNode(azLoggedBy); n != rawjson.None {
		return text(b, dst, n)
	}
	if i := bytes.IndexByte(b.operation, '/'); i > 0 && bytes.IndexByte(b.operation[:i], '.') > 0 {
		return quote(dst, b.operation[:i])
	}
	if p := azureProvider(b.text(azResource)); len(p) > 0 {
		return quote(dst, p)
	}
	if b.entra {
		return append(dst, `"Microsoft.aadiam"`...)
	}
	return dst
}

func azureOperation(b *builder, dst []byte, _ int32) []byte {
	if n := b.scalarNode(azActivityName, azOperation); n != rawjson.None {
		return text(b, dst, n)
	}
	return quote(dst, b.operation)
}

func azureProduct(b *builder, dst []byte, _ int32) []byte { return quoteString(dst, b.product) }

// azureEventID is the provider's id of the event, where there is one.
func azureEventID(b *builder, dst []byte, _ int32) []byte {
	n := b.scalarNode(azEventDataID)
	if b.entra {
		n = b.scalarNode(azID)
	}
	if n == rawjson.None {
		return dst
	}
	return text(b, dst, n)
}

// azureLogged writes when the record was logged, where that is not when the event happened.
func azureLogged(p put) put {
	return func(b *builder, dst []byte, _ int32) []byte {
		n := b.scalarNode(azSubmitted)
		if n == rawjson.None && b.node(azCreated, azActivityTime) != rawjson.None {
			n = b.scalarNode(azTime)
		}
		if n == rawjson.None {
			return dst
		}
		return p(b, dst, n)
	}
}

// withCorrelation holds request data back where nothing can name the request: OCSF requires its uid.
func withCorrelation(b *builder, dst []byte, n int32) []byte {
	if id := b.node(azCorrelation); id == rawjson.None || !b.says(id) {
		return dst
	}
	return whole(b, dst, n)
}

// wholeNumber writes a whole number, also where it is written as text, and takes it.
func wholeNumber(b *builder, dst []byte, n int32) []byte {
	if b.tree.Kind(n) == rawjson.KindNumber {
		return integer(b, dst, n)
	}
	digits := b.tree.Text(n)
	if b.tree.Kind(n) != rawjson.KindString || len(digits) == 0 || len(digits) > 15 || digits[0] == '0' && len(digits) > 1 {
		return dst
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return dst
		}
	}
	b.take(n)
	return append(dst, digits...)
}

func azureMFA(b *builder, dst []byte, n int32) []byte {
	switch string(b.tree.Text(n)) {
	case "multiFactorAuthentication":
		return append(dst, "true"...)
	case "singleFactorAuthentication":
		return append(dst, "false"...)
	}
	return dst
}

// azureUserName names who acted. Where nothing does, "unknown" is the truth.
func azureUserName(b *builder, dst []byte, _ int32) []byte {
	for _, s := range [...]slot{azUserName, azPrincipalName, azDirectoryUser, azClaimUPN, azClaimName, azCaller, azIdentity} {
		if n := b.scalarNode(s); n != rawjson.None {
			return text(b, dst, n)
		}
	}
	if b.scalarNode(azUserID, azPrincipalID, azDirectoryUserID, azDirectoryAppID, azClaimOID) != rawjson.None {
		return dst
	}
	return append(dst, `"unknown"`...)
}

// azureResource lists the resource that the record is about.
func azureResource(b *builder, dst []byte, n int32) []byte {
	if !b.says(n) {
		return dst
	}
	dst = append(dst, "[{"...)
	if b.place.rule == ruleAzureBody || b.place.rule == ruleAzureLocation && b.place.region != "global" {
		dst = append(quoteString(append(dst, `"region":`...), b.place.region), ',')
	}
	dst = append(dst, `"uid":`...)
	return append(text(b, dst, n), "}]"...)
}
