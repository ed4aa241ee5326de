package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keys is the key store of a cell: small, mutable, in the jurisdiction, never
// locked. Destroying a payload's key is how a locked payload is erased.
//
// Names are keys of objects (ValidateKey). The name of a payload's key is the
// name of the payload: "<origin>/payload/<first, 20 digits>-<16 hex>". What is
// stored is bound to its name: moved under another one, it does not open.
type Keys interface {
	// NewPayloadKey makes a key that exists in memory alone until it is put.
	NewPayloadKey(ctx context.Context) (*PayloadKey, error)

	// Put stores the key, wrapped. On nil it is durable. A name is used once:
	// putting the same key again is success, another key is ErrExists.
	Put(ctx context.Context, name string, key *PayloadKey) error

	// Get returns a stored key, or ErrNotFound.
	Get(ctx context.Context, name string) (*PayloadKey, error)

	// Delete destroys a key. On nil it is gone durably, also if it was not
	// there. (The medium may keep traces of it until the blocks are reused.)
	Delete(ctx context.Context, name string) error

	// List yields the names of payload keys that begin with prefix and are
	// greater than after, ascending. Secrets are not among them.
	List(ctx context.Context, prefix, after string) iter.Seq2[string, error]

	// Secret returns the n random bytes that are kept under the name, which
	// are made and stored on first use, by whichever process is first.
	Secret(ctx context.Context, name string, n int) ([]byte, error)

	// PutSecret stores a small value once. On nil it is durable. Putting an
	// equal value again is success, another value is ErrExists.
	PutSecret(ctx context.Context, name string, value []byte) error

	// GetSecret returns a stored secret, or ErrNotFound.
	GetSecret(ctx context.Context, name string) ([]byte, error)

	// DeleteSecret destroys a secret as Delete does a key.
	DeleteSecret(ctx context.Context, name string) error
}

// Names in the folder of LocalKeys that are not names of payload keys.
const (
	kekFile       = "kek.json"
	secretsFolder = "secrets/"
)

// LocalKeys is the key store in a directory. Payload keys and secrets are
// encrypted with a key-encryption key (AES-256-GCM) that lies beside them in
// kek.json as a cleartext Tink keyset; whoever can read the folder can read the
// payloads. Every file has mode 0600 and the folder 0700.
type LocalKeys struct {
	dir *Dir
	kek tink.AEAD
}

var _ Keys = (*LocalKeys)(nil)

// initKeys makes the key-encryption key, unless there is one.
func initKeys(folder, temp string) error {
	path := filepath.Join(folder, kekFile)
	_, err := os.Lstat(path)
	if err == nil {
		return checkPrivate(path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("key store: %w", err)
	}
	// A new key beside keys that an older one wrapped would hide that all of
	// them are lost.
	if entries, err := os.ReadDir(folder); err != nil {
		return fmt.Errorf("key store: %w", err)
	} else if len(entries) > 0 {
		return fmt.Errorf("key store: %s is missing, but keys that it wrapped are there (%s): restore it from a backup", path, entries[0].Name())
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("key store: making the key-encryption key: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return fmt.Errorf("key store: making the key-encryption key: %w", err)
	}
	dir, err := NewDir(folder, temp, kindKeys)
	if err != nil {
		return err
	}
	err = dir.Create(context.Background(), Object{Key: kekFile, Data: text.Bytes()})
	if err != nil && !errors.Is(err, ErrExists) { // by an init that runs beside this one
		return fmt.Errorf("key store: storing the key-encryption key: %w", err)
	}
	return nil
}

// OpenKeys opens a key store that InitDir made. With temp "" it can only be
// read. It refuses a key-encryption key that others than its owner may use.
func OpenKeys(folder, temp string) (*LocalKeys, error) {
	dir, err := NewDir(folder, temp, kindKeys)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir.root, kekFile)
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key store: %w", err)
	}
	// Tink's errors say what is wrong with a keyset and never quote it.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("key store: %s is not a Tink keyset: %w", path, err)
	}
	kek, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("key store: %s is not a keyset for AEAD: %w", path, err)
	}
	return &LocalKeys{dir: dir, kek: kek}, nil
}

// checkPrivate refuses a key file that others than its owner may read or write.
func checkPrivate(path string) error {
	stat, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("key store: %w", err)
	}
	if mode := stat.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("key store: %s may be used by others than its owner (mode %04o): run: chmod 600 %q", path, mode, path)
	}
	return nil
}

// NewPayloadKey implements Keys.
func (k *LocalKeys) NewPayloadKey(ctx context.Context) (*PayloadKey, error) {
	return newPayloadKey()
}

// Put implements Keys.
func (k *LocalKeys) Put(ctx context.Context, name string, key *PayloadKey) error {
	if err := checkKeyName(name); err != nil {
		return err
	}
	var wrapped bytes.Buffer
	if err := key.handle.WriteWithAssociatedData(keyset.NewJSONWriter(&wrapped), k.kek, []byte(name)); err != nil {
		return fmt.Errorf("payload key %s: wrapping: %w", name, err)
	}
	err := k.dir.Create(ctx, Object{Key: name, Data: wrapped.Bytes()})
	if !errors.Is(err, ErrExists) {
		return err
	}
	// Wrapping is randomized, so the keys are compared and not their files.
	there, getErr := k.Get(ctx, name)
	if getErr != nil {
		return errors.Join(err, getErr)
	}
	if !there.equal(key) {
		return err
	}
	return nil
}

// Get implements Keys.
func (k *LocalKeys) Get(ctx context.Context, name string) (*PayloadKey, error) {
	if err := checkKeyName(name); err != nil {
		return nil, err
	}
	wrapped, _, err := k.dir.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(bytes.NewReader(wrapped)), k.kek, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("payload key %s: it does not open with %s: it was altered, moved, or wrapped by another key store: %w",
			name, filepath.Join(k.dir.root, kekFile), err)
	}
	return payloadKey(handle)
}

// Delete implements Keys.
func (k *LocalKeys) Delete(ctx context.Context, name string) error {
	if err := checkKeyName(name); err != nil {
		return err
	}
	return k.dir.Delete(ctx, name)
}

// List implements Keys.
func (k *LocalKeys) List(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range k.dir.List(ctx, prefix, after) {
			if err == nil && checkKeyName(info.Key) != nil {
				continue
			}
			if !yield(info.Key, err) {
				return
			}
		}
	}
}

// checkKeyName keeps payload keys away from the store's own names.
func checkKeyName(name string) error {
	if name == kekFile || strings.HasPrefix(name, secretsFolder) {
		return fmt.Errorf("payload key %s: %w: the name is reserved", name, ErrBadKey)
	}
	return ValidateKey(name)
}

// Secret implements Keys.
func (k *LocalKeys) Secret(ctx context.Context, name string, n int) ([]byte, error) {
	value, err := k.GetSecret(ctx, name)
	if errors.Is(err, ErrNotFound) {
		value = make([]byte, n)
		rand.Read(value)
		if err = k.PutSecret(ctx, name, value); errors.Is(err, ErrExists) {
			value, err = k.GetSecret(ctx, name) // another process was first
		}
	}
	if err != nil {
		return nil, err
	}
	if len(value) != n {
		return nil, fmt.Errorf("secret %s: %d bytes are stored and %d are asked for", name, len(value), n)
	}
	return value, nil
}

// PutSecret implements Keys.
func (k *LocalKeys) PutSecret(ctx context.Context, name string, value []byte) error {
	key := secretsFolder + name
	if err := ValidateKey(key); err != nil {
		return err
	}
	wrapped, err := k.kek.Encrypt(value, []byte(key))
	if err != nil {
		return fmt.Errorf("secret %s: wrapping: %w", name, err)
	}
	err = k.dir.Create(ctx, Object{Key: key, Data: wrapped})
	if !errors.Is(err, ErrExists) {
		return err
	}
	there, getErr := k.GetSecret(ctx, name)
	if getErr != nil {
		return errors.Join(err, getErr)
	}
	if subtle.ConstantTimeCompare(there, value) != 1 {
		return err
	}
	return nil
}

// GetSecret implements Keys.
func (k *LocalKeys) GetSecret(ctx context.Context, name string) ([]byte, error) {
	key := secretsFolder + name
	wrapped, _, err := k.dir.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	value, err := k.kek.Decrypt(wrapped, []byte(key))
	if err != nil {
		return nil, fmt.Errorf("secret %s: it does not open with %s: it was altered, moved, or wrapped by another key store: %w",
			name, filepath.Join(k.dir.root, kekFile), err)
	}
	return value, nil
}

// DeleteSecret implements Keys.
func (k *LocalKeys) DeleteSecret(ctx context.Context, name string) error {
	return k.dir.Delete(ctx, secretsFolder+name)
}
