package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
)

// VKeyOf derives the public side of a log's key from its secret side, as GenerateLogKey writes it. Errors never quote
// the key.
func VKeyOf(skey string) (vkey string, err error) {
	rest, ok := strings.CutPrefix(skey, "PRIVATE+KEY+")
	name, rest, ok2 := strings.Cut(rest, "+")
	_, encoded, ok3 := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || !ok2 || !ok3 || err != nil || len(key) != 1+ed25519.SeedSize || key[0] != typeEd25519 {
		return "", errors.New("not an Ed25519 signing key for notes")
	}
	public := ed25519.NewKeyFromSeed(key[1:]).Public().(ed25519.PublicKey)
	return formatVKey(name, typeEd25519, public), nil
}

// KeyIDOf is the key hash of a verifier key, in hex: what signature lines and `key` entries know the key by.
func KeyIDOf(vkey string) (string, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 || !isVKey(vkey) {
		return "", errors.New("not a verifier key for notes")
	}
	return parts[1], nil
}
