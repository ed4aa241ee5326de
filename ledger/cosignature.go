package ledger

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// A witness's signature covers `cosignature/v1`, a line with the time and the text of the checkpoint
// (c2sp.org/tlog-cosignature, Ed25519). Its value in the note is the time as uint64, then the Ed25519 signature.
const cosignatureBytes = 8 + ed25519.SignatureSize

// Cosignature is a verified statement of a witness: at Time, the checkpoint was the newest that it had seen of the log.
type Cosignature struct {
	Witness string // its name in the policy
	Key     string // the name of its key
	Time    time.Time
}

func appendCosigned(dst []byte, seconds uint64, text []byte) []byte {
	return append(fmt.Appendf(dst, "cosignature/v1\ntime %d\n", seconds), text...)
}

// Cosigner signs checkpoints as a witness does. It implements note.Signer.
type Cosigner struct {
	name    string
	private ed25519.PrivateKey
	now     func() time.Time
}

// NewCosigner returns the signer with that name and key. now is asked for the time of each cosignature.
func NewCosigner(name string, private ed25519.PrivateKey, now func() time.Time) (*Cosigner, error) {
	if !validKeyName(name) {
		return nil, fmt.Errorf("witness name %q: expected 1 to %d bytes without spaces and +", name, MaxOriginBytes)
	}
	if len(private) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("witness %s: private key of %d bytes, expected %d", name, len(private), ed25519.PrivateKeySize)
	}
	return &Cosigner{name, private, now}, nil
}

// Name returns the key's name.
func (c *Cosigner) Name() string { return c.name }

// KeyHash returns the key's id.
func (c *Cosigner) KeyHash() uint32 { return keyID(c.name, typeCosignature, c.public()) }

// VKey returns the verifier key, as it stands in policy files.
func (c *Cosigner) VKey() string { return formatVKey(c.name, typeCosignature, c.public()) }

func (c *Cosigner) public() ed25519.PublicKey { return c.private.Public().(ed25519.PublicKey) }

// Sign cosigns the text of a checkpoint; anything else is refused.
func (c *Cosigner) Sign(text []byte) ([]byte, error) {
	if _, err := parseCheckpointText(text); err != nil {
		return nil, err
	}
	now := c.now().Unix()
	if now < 0 {
		return nil, errors.New("cosign: the clock is before 1970")
	}
	sig := binary.BigEndian.AppendUint64(make([]byte, 0, cosignatureBytes), uint64(now))
	return append(sig, ed25519.Sign(c.private, appendCosigned(nil, uint64(now), text))...), nil
}

// verifyCosignature returns the time of the cosignature, false if it does not hold.
func verifyCosignature(public ed25519.PublicKey, text, value []byte) (time.Time, bool) {
	if len(value) != cosignatureBytes {
		return time.Time{}, false
	}
	seconds := binary.BigEndian.Uint64(value)
	if seconds > math.MaxInt64 || !ed25519.Verify(public, appendCosigned(nil, seconds, text), value[8:]) {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}
