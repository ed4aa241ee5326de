package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os/user"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/log"
)

// accessByCommand is the access entry of a command that somebody runs on this machine. Who that is stands in it as a
// pseudonym; the recipient is taken to be in the cell, which is all that is known.
func (c *cell) accessByCommand(ctx context.Context, op ledger.AccessOp, purpose, query string) (ledger.AccessEntry, error) {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	principal, err := c.pseudonym(ctx, "principal", "os:"+name)
	if err != nil {
		return ledger.AccessEntry{}, err
	}
	asked, err := c.pseudonym(ctx, "query", string(op)+":"+query)
	if err != nil {
		return ledger.AccessEntry{}, err
	}
	return ledger.AccessEntry{
		Op: op, Principal: principal, Role: "operator", Purpose: ledger.AccessPurpose(purpose),
		Recipient: ledger.Recipient{Jur: c.jurisdiction, Basis: ledger.RecipientCell},
		Decision:  ledger.Allow, Rule: "default", Query: asked, Content: ledger.ContentNone,
	}, nil
}

// intend logs an access as a command of this process. Without the entry, nothing is read.
func (c *cell) intend(ctx context.Context, e ledger.AccessEntry) (*log.Access, error) {
	m, err := c.component(ctx, commandComponent)
	if err != nil {
		return nil, fmt.Errorf("event data is only read once that is logged, and the control log takes no entry: %w", err)
	}
	access, err := m.Intend(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("event data is only read once that is logged, and the control log takes no entry: %w", err)
	}
	return access, nil
}

// pseudonym is the keyed hash under which entries name somebody or something. The key is the cell's, a new one every
// quarter, so that nobody outside can test a guess and nobody can follow a person for ever.
func (c *cell) pseudonym(ctx context.Context, kind, of string) (*ledger.Hash, error) {
	now := time.Now().UTC()
	name := fmt.Sprintf("pseudonym/%d-q%d", now.Year(), (int(now.Month())+2)/3)
	key, err := c.stores.Keys.Secret(ctx, name, 32)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s", kind, of)
	return (*ledger.Hash)(mac.Sum(nil)), nil
}

// setOf commits to the events that an access handed over. The salt stays in the key store, under the number of the
// intent, and is durable before the entry that uses it.
func (c *cell) setOf(ctx context.Context, access *log.Access, leaves [][]byte) (*ledger.Hash, error) {
	var salt [32]byte
	rand.Read(salt[:])
	if err := c.stores.Keys.PutSecret(ctx, fmt.Sprintf("set/%020d", access.Receipt.Index), salt[:]); err != nil {
		return nil, err
	}
	root := ledger.SetRoot(salt, leaves)
	return &root, nil
}
