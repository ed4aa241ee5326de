package ledger

import "strings"

// The strings of control entries: ids, hashes, names. None admits a quote, a backslash, `<`, `>`, `&`, a space or
// anything outside printable ASCII; none is free text, because a control log leaves its jurisdiction. The JSON Schemas
// in schemas/control state the same sets as patterns.
var (
	entryID           = textKind{"an id", func(s string) bool { return isID(s, 128) }}
	entryLedger       = textKind{"the name of a ledger", ValidOriginWord}
	entryOrigin       = textKind{"the origin of a log", isOrigin}
	entryStoreID      = textKind{"the id of a store", func(s string) bool { return isID(s, 255) }}
	entryHex64        = textKind{"64 lower-case hex digits", func(s string) bool { return len(s) == 64 && consists(s, isHex) }}
	entryEpoch        = textKind{"32 lower-case hex digits", func(s string) bool { return len(s) == 32 && consists(s, isHex) }}
	entryCode         = textKind{"a code (lower-case letters, digits, _)", isCode}
	entryJurisdiction = textKind{"the id of a jurisdiction", isJurisdiction}
	entryRegion       = textKind{"a region with its provider", isRegion}
	entryKafkaName    = textKind{"a Kafka name", func(s string) bool { return len(s) >= 1 && len(s) <= 249 && consists(s, isKafka) }}
	entryVKey         = textKind{"a verifier key", isVKey}
	entryPointer      = textKind{"the pointer of a field", isFieldPointer}
	entryAttachment   = textKind{"the key of an attachment", func(s string) bool {
		digest, ok := strings.CutPrefix(s, "attachment/")
		return ok && entryHex64.ok(digest)
	}}
)

func consists(s string, of func(byte) bool) bool {
	for i := range len(s) {
		if !of(s[i]) {
			return false
		}
	}
	return true
}

func isLower(b byte) bool    { return b >= 'a' && b <= 'z' }
func isDigit(b byte) bool    { return b >= '0' && b <= '9' }
func isHex(b byte) bool      { return isDigit(b) || b >= 'a' && b <= 'f' }
func isAlphaNum(b byte) bool { return isLower(b) || isDigit(b) || b >= 'A' && b <= 'Z' }
func isKafka(b byte) bool    { return isAlphaNum(b) || b == '.' || b == '_' || b == '-' }

// isID tells whether s matches [A-Za-z0-9][A-Za-z0-9._/:+-]* and has at most limit bytes.
func isID(s string, limit int) bool {
	return s != "" && len(s) <= limit && isAlphaNum(s[0]) &&
		consists(s, func(b byte) bool { return isKafka(b) || b == '/' || b == ':' || b == '+' })
}

// isOrigin tells whether s is an origin with a shard number of at most nine digits.
func isOrigin(s string) bool {
	o, err := ParseOrigin(s)
	return err == nil && o.Shard < 1e9
}

// isCode tells whether s matches [a-z][a-z0-9_]{0,63}.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && isLower(s[0]) &&
		consists(s, func(b byte) bool { return isLower(b) || isDigit(b) || b == '_' })
}

// isJurisdiction tells whether s matches [a-z][a-z0-9-]{0,31}; "unknown" is one.
func isJurisdiction(s string) bool {
	return s != "" && len(s) <= 32 && isLower(s[0]) && consists(s, isRegionByte)
}

// isRegion tells whether s matches [a-z][a-z0-9]{0,15}:[a-z0-9][a-z0-9-]{0,62}.
func isRegion(s string) bool {
	provider, region, ok := strings.Cut(s, ":")
	return ok && provider != "" && len(provider) <= 16 && isLower(provider[0]) &&
		consists(provider, func(b byte) bool { return isLower(b) || isDigit(b) }) &&
		region != "" && len(region) <= 63 && region[0] != '-' && consists(region, isRegionByte)
}

func isRegionByte(b byte) bool { return isLower(b) || isDigit(b) || b == '-' }

// isVKey tells whether s has the shape of a signed note's verifier key: name, 8 hex digits, base64, joined by `+`.
func isVKey(s string) bool {
	name, rest, _ := strings.Cut(s, "+")
	hash, key, ok := strings.Cut(rest, "+")
	padding := len(key) - len(strings.TrimRight(key, "="))
	return ok && len(s) <= 512 && isID(name, 255) && len(hash) == 8 && consists(hash, isHex) &&
		padding <= 2 && len(key) > padding &&
		consists(key[:len(key)-padding], func(b byte) bool { return isAlphaNum(b) || b == '+' || b == '/' })
}

// isFieldPointer tells whether s matches (/[a-z0-9_]{1,64}){1,3}, the pointers of a record's fields.
func isFieldPointer(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	names := strings.Split(s[1:], "/")
	for _, name := range names {
		if name == "" || len(name) > 64 || !consists(name, func(b byte) bool { return isLower(b) || isDigit(b) || b == '_' }) {
			return false
		}
	}
	return len(names) <= 3
}
