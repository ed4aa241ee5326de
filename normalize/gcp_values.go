package normalize

import (
	"bytes"
	"strings"

	"domicile.dev/domicile/internal/rawjson"
)

func gcpProject(json string) put {
	return func(b *builder, dst []byte, _ int32) []byte {
		switch {
		case b.account == "":
			return dst
		case json != "":
			return append(dst, json...)
		}
		if n := b.scalarNode(gcProject); n != rawjson.None {
			return text(b, dst, n)
		}
		return quoteString(dst, b.account)
	}
}

// withInsertID holds request data back where nothing can name the request: OCSF requires its uid.
func withInsertID(b *builder, dst []byte, n int32) []byte {
	if b.scalarNode(gcInsertID) == rawjson.None {
		return dst
	}
	return whole(b, dst, n)
}

// gcpAuthorizations lists the permissions that were checked. granted is left out by the provider where it is false.
func gcpAuthorizations(b *builder, dst []byte, n int32) []byte {
	if b.tree.Kind(n) != rawjson.KindArray {
		return dst
	}
	start := len(dst)
	dst = append(dst, '[')
	for _, kid := range b.tree.Kids(n) {
		if b.tree.Kind(kid) != rawjson.KindObject {
			continue
		}
		permission := b.tree.Member(kid, "permission")
		if permission == rawjson.None || !b.says(permission) {
			continue
		}
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		decision := `{"decision":"denied","policy":{"name":`
		if granted := b.tree.Member(kid, "granted"); granted != rawjson.None && truth(b.tree.Text(granted)) == 1 {
			decision = `{"decision":"granted","policy":{"name":`
		}
		dst = append(textOnly(b, append(dst, decision...), permission), "}}"...)
	}
	if len(dst) == start+1 {
		return dst[:start]
	}
	return append(dst, ']')
}

// gcpDelegate names who acted through the service account: the first of the delegation chain.
func gcpDelegate(b *builder, dst []byte, n int32) []byte {
	if b.tree.Kind(n) != rawjson.KindArray {
		return dst
	}
	for _, kid := range b.tree.Kids(n) {
		if b.tree.Kind(kid) != rawjson.KindObject {
			continue
		}
		for _, path := range [...]string{"firstPartyPrincipal/principalEmail", "principalSubject"} {
			at := kid
			for name := range strings.SplitSeq(path, "/") {
				if at != rawjson.None && b.tree.Kind(at) == rawjson.KindObject {
					at = b.tree.Member(at, name)
				} else {
					at = rawjson.None
				}
			}
			if at != rawjson.None && b.says(at) {
				return textOnly(b, dst, at)
			}
		}
	}
	return dst
}

func gcpUserName(b *builder, dst []byte, _ int32) []byte {
	if n := b.scalarNode(gcEmail); n != rawjson.None {
		return text(b, dst, n)
	}
	if b.scalarNode(gcSubject) != rawjson.None {
		return dst
	}
	return append(dst, `"unknown"`...)
}

func gcpKey(b *builder, dst []byte, n int32) []byte {
	if !b.says(n) {
		return dst
	}
	dst = append(dst, `[{"type":"Service Account Key","uid":`...)
	return append(text(b, dst, n), "}]"...)
}

// gcpUserType tells people, service accounts and Google itself apart, by the domain of the address.
func gcpUserType(id bool) put {
	return func(b *builder, dst []byte, n int32) []byte {
		email := b.tree.Text(n)
		switch {
		case !b.scalar(n):
			return dst
		case bytes.HasSuffix(email, []byte("gserviceaccount.com")):
			return pick(dst, id, `4`, `"Service"`)
		case string(email) == "system@google.com":
			return pick(dst, id, `3`, `"System"`)
		}
		return pick(dst, id, `1`, `"User"`)
	}
}

func pick(dst []byte, first bool, a, b string) []byte {
	if first {
		return append(dst, a...)
	}
	return append(dst, b...)
}

// gcpResource lists the resource that the entry is about, with every region that the evidence names.
func gcpResource(b *builder, dst []byte, n int32) []byte {
	if !b.says(n) {
		return dst
	}
	dst = append(dst, "[{"...)
	if b.place.region != "" {
		dst = append(quoteString(append(dst, `"region":`...), b.place.region), ',')
	}
	if kind := b.scalarNode(gcResourceType); kind != rawjson.None {
		dst = append(text(b, append(dst, `"type":`...), kind), ',')
	}
	return append(text(b, append(dst, `"uid":`...), n), "}]"...)
}
