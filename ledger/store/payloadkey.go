package store

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A PayloadKey encrypts one payload, or one quarantine item: Tink streaming AEAD,
// AES-256-GCM-HKDF in segments of 1 MiB. What it makes any Tink implementation
// opens. It is safe for concurrent use and is never printed.
type PayloadKey struct {
	handle *keyset.Handle
	aead   tink.StreamingAEAD
}

func newPayloadKey() (*PayloadKey, error) {
	handle, err := keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a payload key: %w", err)
	}
	return payloadKey(handle)
}

func payloadKey(handle *keyset.Handle) (*PayloadKey, error) {
	aead, err := streamingaead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("not a keyset for streaming AEAD: %w", err)
	}
	return &PayloadKey{handle: handle, aead: aead}, nil
}

// equal compares key material.
func (k *PayloadKey) equal(other *PayloadKey) bool {
	a, errA := k.material()
	b, errB := other.material()
	return errA == nil && errB == nil && subtle.ConstantTimeCompare(a, b) == 1
}

func (k *PayloadKey) material() ([]byte, error) {
	var raw bytes.Buffer
	err := insecurecleartextkeyset.Write(k.handle, keyset.NewBinaryWriter(&raw))
	return raw.Bytes(), err
}

// String keeps key material out of messages.
func (k *PayloadKey) String() string { return "payload key" }

// Sizes of the streaming format, in bytes: what Seal adds to a plaintext.
const (
	segment        = 1 << 20
	segmentTag     = 16
	streamOverhead = 40 // header: its length, the salt and the nonce prefix
)

// Seal encrypts plaintext and binds it to associatedData, which Unseal must be
// given again: for a payload, origin ‖ uint64 first.
func Seal(key *PayloadKey, plaintext, associatedData []byte) ([]byte, error) {
	var sealed bytes.Buffer
	sealed.Grow(streamOverhead + len(plaintext) + (len(plaintext)/segment+2)*segmentTag)
	w, err := key.aead.NewEncryptingWriter(&sealed, associatedData)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if _, err := w.Write(plaintext); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return sealed.Bytes(), nil
}

// Unseal decrypts what Seal made. An error means that the bytes, the associated
// data or the key are not the ones of then; which, nobody can tell.
func Unseal(key *PayloadKey, sealed, associatedData []byte) ([]byte, error) {
	r, err := UnsealReader(key, bytes.NewReader(sealed), associatedData)
	if err != nil {
		return nil, err
	}
	var plaintext bytes.Buffer
	plaintext.Grow(len(sealed) + bytes.MinRead)
	if _, err := plaintext.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("decrypting: %w", err)
	}
	return plaintext.Bytes(), nil
}

// UnsealReader is Unseal for a stream. Every byte it gives is authentic, but
// only an io.EOF says that none is missing at the end.
func UnsealReader(key *PayloadKey, sealed io.Reader, associatedData []byte) (io.Reader, error) {
	r, err := key.aead.NewDecryptingReader(sealed, associatedData)
	if err != nil {
		return nil, fmt.Errorf("decrypting: %w", err)
	}
	return r, nil
}
