package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Limits of a signed checkpoint. They are far above what a log with its witnesses needs (sixteen post-quantum
// signatures are about 80 KB) and keep what a stranger can make a verifier do small.
const (
	MaxNoteBytes   = 128 << 10
	MaxOriginBytes = 255 // as much as c2sp.org/tlog-cosignature lets a signed message hold
	MaxTreeSize    = math.MaxInt64
)

// Signature types of c2sp.org/signed-note that this package knows.
const (
	typeEd25519     = 0x01
	typeCosignature = 0x04
)

// Checkpoint is the head of a tree: its log, how many leaves it has, and their root (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Append appends the note text of c, the three lines that log and witnesses sign. There are no extension lines.
func (c Checkpoint) Append(dst []byte) []byte {
	dst = append(append(dst, c.Origin...), '\n')
	dst = append(strconv.AppendUint(dst, c.Size, 10), '\n')
	return append(base64.StdEncoding.AppendEncode(dst, c.Root[:]), '\n')
}

// SignCheckpoint returns the signed note of c: the log's signature first, those of further signers after it in the
// order given.
func SignCheckpoint(c Checkpoint, signer note.Signer, further ...note.Signer) ([]byte, error) {
	if err := checkOrigin(c.Origin); err != nil {
		return nil, err
	}
	if c.Size > MaxTreeSize {
		return nil, fmt.Errorf("checkpoint of %s: size %d is beyond %d", c.Origin, c.Size, uint64(MaxTreeSize))
	}
	if signer.Name() != c.Origin {
		return nil, fmt.Errorf("checkpoint of %s: the key is called %s; a log's key has its origin as name", c.Origin, signer.Name())
	}
	signed, err := note.Sign(&note.Note{Text: string(c.Append(nil))}, append([]note.Signer{signer}, further...)...)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint of %s at size %d: %w", c.Origin, c.Size, err)
	}
	return signed, nil
}

// ParseCheckpoint reads a signed note without verifying any signature. It requires the origin (any, if origin is
// empty), exactly three lines of text in the one spelling that Append writes, and well-formed signature lines, at most
// one of each key.
func ParseCheckpoint(signed []byte, origin string) (Checkpoint, error) {
	text, _, err := splitNote(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := parseCheckpointText(text)
	if err != nil {
		return Checkpoint{}, err
	}
	if origin != "" && c.Origin != origin {
		return Checkpoint{}, fmt.Errorf("checkpoint is of log %q, expected %q", c.Origin, origin)
	}
	return c, nil
}

// OpenCheckpoint is ParseCheckpoint together with the signatures: every signature by one of the verifiers must hold,
// and at least one must be there. The names in the note that it returns are those of the keys.
func OpenCheckpoint(signed []byte, origin string, verifiers note.Verifiers) (Checkpoint, *note.Note, error) {
	c, err := ParseCheckpoint(signed, origin)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	n, err := note.Open(signed, verifiers)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint of %s at size %d: %w", c.Origin, c.Size, err)
	}
	return c, n, nil
}

func parseCheckpointText(text []byte) (c Checkpoint, err error) {
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return c, fmt.Errorf("checkpoint has %d lines of text, expected 3 (extension lines are not allowed)", len(lines)-1)
	}
	c.Origin = lines[0]
	if err := checkOrigin(c.Origin); err != nil {
		return c, err
	}
	if c.Size, err = parseDecimal(lines[1]); err != nil {
		return c, fmt.Errorf("checkpoint of %s: tree size: %w", c.Origin, err)
	}
	if c.Root, err = parseHash(lines[2]); err != nil {
		return c, fmt.Errorf("checkpoint of %s: root hash: %w", c.Origin, err)
	}
	return c, nil
}

// signatureLine is one line below the text of a note: `— name base64(key id ‖ signature)`.
type signatureLine struct {
	name  string
	keyID uint32
	value []byte // after the key id
}

// splitNote cuts a signed note into its text (with the final newline) and its signature lines. It is stricter than
// note.Open, so that no byte of a note can change unnoticed: base64 has one spelling, a key signs once.
func splitNote(signed []byte) (text []byte, sigs []signatureLine, err error) {
	if len(signed) > MaxNoteBytes {
		return nil, nil, fmt.Errorf("note is %d bytes long, at most %d are allowed", len(signed), MaxNoteBytes)
	}
	for rest := signed; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n <= 1 || r < 0x20 && r != '\n' {
			return nil, nil, fmt.Errorf("note: byte %d is not UTF-8 text", len(signed)-len(rest))
		}
		rest = rest[n:]
	}
	cut := bytes.LastIndex(signed, []byte("\n\n"))
	if cut < 0 || signed[len(signed)-1] != '\n' || cut+2 == len(signed) {
		return nil, nil, errors.New("note has no signature lines after an empty line")
	}
	type key struct {
		name string
		id   uint32
	}
	seen := make(map[key]bool)
	for line := range strings.Lines(string(signed[cut+2:])) {
		s, ok := parseSignatureLine(strings.TrimSuffix(line, "\n"))
		if !ok {
			return nil, nil, fmt.Errorf("note: signature line %d is malformed", len(sigs)+1)
		}
		if k := (key{s.name, s.keyID}); seen[k] {
			return nil, nil, fmt.Errorf("note: the key %s+%08x signs twice", s.name, s.keyID)
		} else {
			seen[k] = true
		}
		sigs = append(sigs, s)
		if len(sigs) > 100 {
			return nil, nil, errors.New("note has more than 100 signatures")
		}
	}
	return signed[:cut+1], sigs, nil
}

func parseSignatureLine(line string) (s signatureLine, ok bool) {
	line, ok = strings.CutPrefix(line, "— ")
	if !ok {
		return s, false
	}
	name, b64, _ := strings.Cut(line, " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(raw) < 5 || !validKeyName(name) {
		return s, false
	}
	return signatureLine{name: name, keyID: binary.BigEndian.Uint32(raw), value: raw[4:]}, true
}

// GenerateLogKey makes the Ed25519 key of a log from 32 bytes of random. skey is secret; vkey is what verifiers get.
// Both are in the notation of golang.org/x/mod/sumdb/note; the key's name is the origin.
func GenerateLogKey(random io.Reader, origin string) (skey, vkey string, err error) {
	if err := checkOrigin(origin); err != nil {
		return "", "", err
	}
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return "", "", fmt.Errorf("generate the key of %s: %w", origin, err)
	}
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	vkey = formatVKey(origin, typeEd25519, public)
	skey = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, keyID(origin, typeEd25519, public),
		base64.StdEncoding.EncodeToString(append([]byte{typeEd25519}, seed[:]...)))
	return skey, vkey, nil
}

// keyID is the number that tells keys of one name apart (c2sp.org/signed-note, "Signatures").
func keyID(name string, kind byte, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	io.WriteString(h, name)
	h.Write([]byte{'\n', kind})
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func formatVKey(name string, kind byte, public ed25519.PublicKey) string {
	return fmt.Sprintf("%s+%08x+%s", name, keyID(name, kind, public),
		base64.StdEncoding.EncodeToString(append([]byte{kind}, public...)))
}

// parseVKey reads a verifier key of the given signature type (c2sp.org/signed-note, "Verifier keys").
func parseVKey(vkey string, kind byte) (name string, public ed25519.PublicKey, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	id, b64, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || !validKeyName(name) || len(raw) == 0 {
		return "", nil, errors.New("not a verifier key (<name>+<8 hex digits>+<base64>)")
	}
	if raw[0] != kind {
		return "", nil, fmt.Errorf("verifier key of %s has signature type 0x%02x, expected 0x%02x", name, raw[0], kind)
	}
	public = ed25519.PublicKey(raw[1:])
	if len(public) != ed25519.PublicKeySize {
		return "", nil, fmt.Errorf("verifier key of %s has a public key of %d bytes, expected %d", name, len(public), ed25519.PublicKeySize)
	}
	if formatVKey(name, kind, public) != vkey {
		return "", nil, fmt.Errorf("verifier key of %s: the key id %q does not belong to name and key: mistyped?", name, id)
	}
	return name, public, nil
}

// checkOrigin requires what every place that an origin stands in allows: a note's key name, a commit header, a folder.
func checkOrigin(origin string) error {
	if origin == "" || len(origin) > MaxOriginBytes {
		return fmt.Errorf("origin of %d bytes: expected 1 to %d", len(origin), MaxOriginBytes)
	}
	for _, c := range []byte(origin) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"\<>&+`, c) >= 0 {
			return fmt.Errorf("origin %q: the character %q is not allowed", origin, c)
		}
	}
	return nil
}

func validKeyName(name string) bool {
	return name != "" && len(name) <= MaxOriginBytes && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsSpace) && !strings.Contains(name, "+")
}

// parseDecimal reads a number in its one spelling: digits without a sign or leading zeros, at most MaxTreeSize.
func parseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || s != strconv.FormatUint(n, 10) {
		return 0, fmt.Errorf("%q is not a decimal number from 0 to %d in its shortest form", clip(s), uint64(MaxTreeSize))
	}
	return n, nil
}

// parseHash is ParseHash for lines of text: the decoder would skip a carriage return.
func parseHash(s string) (Hash, error) {
	if len(s) != 44 {
		return Hash{}, fmt.Errorf("%q is not a SHA-256 hash in base64", clip(s))
	}
	return ParseHash(s)
}
