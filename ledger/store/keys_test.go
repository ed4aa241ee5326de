package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"domicile.dev/domicile/ledger/store"
)

const (
	keyA = "local/eu/events/0/payload/00000000000000000000-00112233445566aa"
	keyB = "local/eu/events/0/payload/00000000000000008192-00112233445566bb"
)

func newKeys(t *testing.T) (keys *store.LocalKeys, cell, temp string) {
	t.Helper()
	cell, temp = initCell(t)
	return openCell(t, cell, temp).Keys, cell, temp
}

func newPayloadKey(t *testing.T, keys store.Keys) *store.PayloadKey {
	t.Helper()
	key, err := keys.NewPayloadKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSealAndUnseal(t *testing.T) {
	keys, _, _ := newKeys(t)
	key, other := newPayloadKey(t, keys), newPayloadKey(t, keys)
	for _, size := range []int{0, 1, 1000, 1 << 20, 1<<20 - 56, 3<<20 + 17} {
		plaintext := make([]byte, size)
		rand.Read(plaintext)
		ad := []byte("local/eu/events/0\x00\x00\x00\x00\x00\x00\x00\x07")
		sealed, err := store.Seal(key, plaintext, ad)
		if err != nil {
			t.Fatal(err)
		}
		if size > 16 && bytes.Contains(sealed, plaintext[:16]) {
			t.Errorf("%d bytes: the plaintext shows", size)
		}
		got, err := store.Unseal(key, sealed, ad)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("%d bytes: %d came back, %v", size, len(got), err)
		}
		r, err := store.UnsealReader(key, bytes.NewReader(sealed), ad)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes as a stream: %d came back, %v", size, len(got), err)
		}
		flip := func(at int) []byte {
			b := slices.Clone(sealed)
			b[at] ^= 1
			return b
		}
		for what, open := range map[string]func() ([]byte, error){
			"another key":        func() ([]byte, error) { return store.Unseal(other, sealed, ad) },
			"other data":         func() ([]byte, error) { return store.Unseal(key, sealed, ad[1:]) },
			"a flipped header":   func() ([]byte, error) { return store.Unseal(key, flip(10), ad) },
			"a flipped last bit": func() ([]byte, error) { return store.Unseal(key, flip(len(sealed)-1), ad) },
			"a byte less":        func() ([]byte, error) { return store.Unseal(key, sealed[:len(sealed)-1], ad) },
			"a byte more":        func() ([]byte, error) { return store.Unseal(key, append(slices.Clone(sealed), 0), ad) },
			"nothing":            func() ([]byte, error) { return store.Unseal(key, nil, ad) },
			"half of it":         func() ([]byte, error) { return store.Unseal(key, sealed[:len(sealed)/2], ad) },
		} {
			if got, err := open(); err == nil {
				t.Errorf("%d bytes with %s: %d bytes came back", size, what, len(got))
			}
		}
	}
}

func TestPayloadKeysAreKept(t *testing.T) {
	keys, cell, temp := newKeys(t)
	ctx := t.Context()
	key := newPayloadKey(t, keys)
	sealed, err := store.Seal(key, []byte("records"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // again, as after an unknown outcome
		if err := keys.Put(ctx, keyA, key); err != nil {
			t.Fatalf("Put: %v", err)
		}
	}
	if err := keys.Put(ctx, keyA, newPayloadKey(t, keys)); !errors.Is(err, store.ErrExists) {
		t.Errorf("Put of another key: %v, want ErrExists", err)
	}
	// By a later process.
	keys = openCell(t, cell, temp).Keys
	got, err := keys.Get(ctx, keyA)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := store.Unseal(got, sealed, nil); err != nil || string(plaintext) != "records" {
		t.Errorf("Unseal with the stored key: %q, %v", plaintext, err)
	}
	if _, err := keys.Get(ctx, keyB); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of no key: %v, want ErrNotFound", err)
	}
	if err := keys.Put(ctx, keyB, newPayloadKey(t, keys)); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Secret(ctx, "local/eu/pseudonyms", 32); err != nil {
		t.Fatal(err)
	}
	if got := listKeys(t, keys, "", ""); !slices.Equal(got, []string{keyA, keyB}) {
		t.Errorf("List: %q", got)
	}
	if got := listKeys(t, keys, "local/", keyA); !slices.Equal(got, []string{keyB}) {
		t.Errorf("List after the first: %q", got)
	}
	for range 2 {
		if err := keys.Delete(ctx, keyA); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, err := keys.Get(ctx, keyA); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
}

func listKeys(t *testing.T, keys store.Keys, prefix, after string) (names []string) {
	t.Helper()
	for name, err := range keys.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func TestAStoredKeyIsBoundToItsNameAndStore(t *testing.T) {
	keys, cell, _ := newKeys(t)
	others, otherCell, _ := newKeys(t)
	ctx := t.Context()
	if err := keys.Put(ctx, keyA, newPayloadKey(t, keys)); err != nil {
		t.Fatal(err)
	}
	if err := keys.PutSecret(ctx, "a", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	path := func(cell, name string) string { return filepath.Join(cell, "keys", name) }
	transplant := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o700)
		}
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	transplant(path(cell, keyA), path(cell, keyB))
	transplant(path(cell, keyA), path(otherCell, keyA))
	transplant(path(cell, "secrets/a"), path(cell, "secrets/b"))
	transplant(path(cell, "secrets/a"), path(otherCell, "secrets/a"))
	_, underOtherName := keys.Get(ctx, keyB)
	_, inOtherStore := others.Get(ctx, keyA)
	_, secretUnderOtherName := keys.GetSecret(ctx, "b")
	_, secretInOtherStore := others.GetSecret(ctx, "a")
	for what, err := range map[string]error{
		"a key under another name": underOtherName, "a key in another store": inOtherStore,
		"a secret under another name": secretUnderOtherName, "a secret in another store": secretInOtherStore,
	} {
		if err == nil || !strings.Contains(err.Error(), "does not open") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestKeyNamesAreChecked(t *testing.T) {
	keys, _, _ := newKeys(t)
	key := newPayloadKey(t, keys)
	for _, name := range []string{"", "kek.json", "secrets/a", "../kek.json", "/a", "a//b"} {
		_, getErr := keys.Get(t.Context(), name)
		for what, err := range map[string]error{
			"Put": keys.Put(t.Context(), name, key), "Get": getErr, "Delete": keys.Delete(t.Context(), name),
		} {
			if !errors.Is(err, store.ErrBadKey) {
				t.Errorf("%s(%q): %v, want ErrBadKey", what, name, err)
			}
		}
	}
	if err := keys.PutSecret(t.Context(), "../../store-id", nil); !errors.Is(err, store.ErrBadKey) {
		t.Errorf("PutSecret: %v, want ErrBadKey", err)
	}
}

func TestSecretsAreMadeOnce(t *testing.T) {
	keys, cell, temp := newKeys(t)
	ctx := t.Context()
	// Several processes ask for one that is not there yet.
	var group sync.WaitGroup
	secrets := make([][]byte, 16)
	for i := range secrets {
		own := openCell(t, cell, temp).Keys
		group.Go(func() {
			var err error
			if secrets[i], err = own.Secret(ctx, "local/eu/pseudonyms", 32); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, secret := range secrets {
		if !bytes.Equal(secret, secrets[0]) || bytes.Equal(secret, make([]byte, 32)) {
			t.Fatalf("secrets %x and %x", secrets[0], secret)
		}
	}
	if _, err := keys.Secret(ctx, "local/eu/pseudonyms", 16); err == nil {
		t.Error("a secret of 32 bytes is given as one of 16")
	}
	if other, err := keys.Secret(ctx, "local/us/pseudonyms", 32); err != nil || bytes.Equal(other, secrets[0]) {
		t.Errorf("another secret: %x, %v", other, err)
	}
	stored, err := os.ReadFile(filepath.Join(cell, "keys", "secrets", "local/eu/pseudonyms"))
	if err != nil || bytes.Contains(stored, secrets[0]) {
		t.Errorf("the secret is stored in the clear (%v)", err)
	}
}

func TestSecretValuesAreWrittenOnce(t *testing.T) {
	keys, _, _ := newKeys(t)
	ctx := t.Context()
	if _, err := keys.GetSecret(ctx, "salt/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("GetSecret: %v, want ErrNotFound", err)
	}
	for range 2 {
		if err := keys.PutSecret(ctx, "salt/1", []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	if err := keys.PutSecret(ctx, "salt/1", []byte("other")); !errors.Is(err, store.ErrExists) {
		t.Errorf("PutSecret of another value: %v, want ErrExists", err)
	}
	if value, err := keys.GetSecret(ctx, "salt/1"); err != nil || string(value) != "value" {
		t.Errorf("GetSecret: %q, %v", value, err)
	}
	if err := keys.DeleteSecret(ctx, "salt/1"); err != nil {
		t.Error(err)
	}
	if _, err := keys.GetSecret(ctx, "salt/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("GetSecret after DeleteSecret: %v, want ErrNotFound", err)
	}
}

func TestFilesOfTheKeyStoreAreTheOwnersAlone(t *testing.T) {
	keys, cell, temp := newKeys(t)
	if err := errors.Join(keys.Put(t.Context(), keyA, newPayloadKey(t, keys)), keys.PutSecret(t.Context(), "a", nil)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(snapshot(t, filepath.Join(cell, "keys"))) {
		if mode := strings.Fields(strings.TrimPrefix(line, " "))[0]; strings.HasPrefix(mode, "/") {
			mode = strings.Fields(line)[1]
			if mode != "-rw-------" && mode != "drwx------" {
				t.Errorf("%.80s", line)
			}
		}
	}
	kek := filepath.Join(cell, "keys", "kek.json")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644, 0o601} {
		if err := os.Chmod(kek, mode); err != nil {
			t.Fatal(err)
		}
		_, err := store.OpenCell(cell, temp)
		if err == nil || !strings.Contains(err.Error(), "chmod 600") || !strings.Contains(err.Error(), kek) {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err := store.InitDir(cell, temp, rand.Reader); err == nil {
			t.Errorf("mode %04o: init goes on", mode)
		}
	}
}

func TestADamagedKeyEncryptionKeyIsRefusedWithoutQuotingIt(t *testing.T) {
	_, cell, temp := newKeys(t)
	kek := filepath.Join(cell, "keys", "kek.json")
	text, err := os.ReadFile(kek)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := bytes.Cut(text, []byte(`"value":"`))
	if len(value) < 20 {
		t.Fatalf("no key material in kek.json")
	}
	for what, damaged := range map[string][]byte{
		"empty":     nil,
		"truncated": text[:len(text)-2],
		"no JSON":   append([]byte("x"), text...),
		"no keys":   []byte(`{"primaryKeyId":1,"key":[]}`),
		"bad type":  bytes.Replace(text, []byte("AesGcmKey"), []byte("NoSuchKey"), 1),
	} {
		if err := os.WriteFile(kek, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.OpenCell(cell, temp)
		if err == nil {
			t.Errorf("%s: opened", what)
		} else if strings.Contains(err.Error(), string(value[:20])) {
			t.Errorf("%s: the error quotes the key", what)
		}
	}
}
