package query

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// secrets are keys of the cell that questions need, kept in memory once they were read.
type secrets struct {
	keys store.Keys

	mu    sync.Mutex
	known map[string][]byte
}

// maxSecrets bounds what is kept: a few are in use at a time, and a process may live for years.
const maxSecrets = 64

const secretBytes = 32

// get returns the key of a name, made on first use.
func (s *secrets) get(ctx context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.known[name]; ok {
		return key, nil
	}
	key, err := s.keys.Secret(ctx, name, secretBytes)
	if err != nil {
		return nil, err
	}
	if s.known == nil || len(s.known) >= maxSecrets {
		s.known = make(map[string][]byte)
	}
	s.known[name] = key
	return key, nil
}

// pseudonym is the keyed hash under which entries name somebody or something. The key is the cell's, a new one every
// quarter, so that nobody outside can test a guess and nobody can follow a person for ever.
func (c *Cell) pseudonym(ctx context.Context, kind, of string) (*ledger.Hash, error) {
	key, err := c.secrets.get(ctx, pseudonymKey(c.cfg.Clock()))
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s", kind, of)
	return (*ledger.Hash)(mac.Sum(nil)), nil
}

func pseudonymKey(now time.Time) string {
	now = now.UTC()
	return fmt.Sprintf("pseudonym/%d-q%d", now.Year(), (int(now.Month())+2)/3)
}

// intentsAKey is how many entries of the control log share the key from which the salts of their sets are made.
const intentsAKey = 1 << 16

// setSalt is the salt of the set that an access handed over, by the index of its intent: HMAC-SHA-256 of that, as eight
// bytes big-endian, under a key of the cell that serves a range of entries. So a salt is durable before the entry that
// uses it without a write of its own, and destroying a key makes the sets of its range unreadable.
func (c *Cell) setSalt(ctx context.Context, intent uint64) (salt [32]byte, err error) {
	key, err := c.secrets.get(ctx, fmt.Sprintf("set-key/%020d", intent/intentsAKey*intentsAKey))
	if err != nil {
		return salt, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, intent))
	return [32]byte(mac.Sum(nil)), nil
}
