package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// opener decrypts and decompresses payloads; one for each worker.
type opener struct {
	codec     *ledger.PayloadCodec
	committer ledger.Committer
}

// payloads emits a job for each payload of a commit. bundle holds the commit's leaves.
func (c *chain) payloads(h *ledger.Header, bundle []byte) error {
	rest := bundle
	for _, p := range h.Payloads {
		begin := rest
		if c.Keys != nil {
			for range p.Records {
				_, rest, _ = nextLeaf(rest)
			}
		}
		leaves := begin[:len(begin)-len(rest)]
		var found []Finding
		err := c.emit(&job{
			do: func(ctx context.Context, s *scratch) { found = c.examinePayload(ctx, p, leaves, s) },
			then: func(context.Context) error {
				c.names[strings.TrimPrefix(p.Key, ledger.PayloadPrefix)] = true
				return c.findAll(found)
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *logAudit) examinePayload(ctx context.Context, p ledger.Payload, leaves []byte, s *scratch) (found []Finding) {
	key := l.origin + "/" + p.Key
	add := func(kind Kind, format string, args ...any) {
		found = append(found, Finding{kind, "locked/" + key, fmt.Sprintf(format, args...)})
	}
	sealed, err := l.cell.Locked.Read(ctx, key, s.object, maxPayload)
	switch {
	case errors.Is(err, ErrForbidden):
		add(Unverified, "%v", err)
		return found
	case errors.Is(err, fs.ErrNotExist):
		add(Failure, "is missing")
		return found
	case err != nil:
		add(Failure, "%v", err)
		return found
	}
	s.object = sealed
	if uint64(len(sealed)) != p.Bytes {
		add(Failure, "is %d bytes long, its commit says %d", len(sealed), p.Bytes)
		return found
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(sealed)); sum != p.SHA256 {
		add(Failure, "has the hash %s, its commit says %s", sum, p.SHA256)
		return found
	}
	l.payloadsRead.Add(1)
	if l.Keys == nil {
		return found
	}
	wrapped, err := l.Keys.Get(ctx, key)
	if err != nil {
		kind := Failure
		if errors.Is(err, store.ErrNotFound) {
			kind = Unverified
		}
		add(kind, "its key cannot be had, so its records were not checked: %v", err)
		return found
	}
	compressed, err := store.Unseal(wrapped, sealed, ledger.PayloadAssociatedData(l.origin, p.First))
	if err != nil {
		add(Failure, "does not open: %v", err)
		return found
	}
	if s.opener == nil {
		codec, err := ledger.NewPayloadCodec()
		if err != nil {
			add(Unverified, "%v", err)
			return found
		}
		s.opener = &opener{codec: codec}
	}
	lines, err := s.opener.codec.Lines(compressed, p.Records)
	if err != nil {
		add(Failure, "%v", err)
		return found
	}
	for i, line := range lines {
		var leaf []byte
		leaf, leaves, _ = nextLeaf(leaves)
		if err := s.opener.opens(line, leaf); err != nil {
			add(Failure, "record %d: %v", p.First+uint64(i), err)
			if !l.All {
				return found
			}
			continue
		}
		l.records.Add(1)
	}
	return found
}

// opens checks a record line against its leaf.
func (o *opener) opens(line, leaf []byte) error {
	if len(line) == 0 {
		return errors.New("is erased, and no entry says so")
	}
	record, err := ledger.ParseRecord(line)
	if err != nil {
		return err
	}
	want, err := ledger.ParseLeaf(leaf)
	if err != nil {
		return err
	}
	if got := o.committer.Commitment(&record.Salt, record.Fields); got != want.Commitment {
		return fmt.Errorf("has the commitment %s, its leaf %s", ledger.FormatHash(got), ledger.FormatHash(want.Commitment))
	}
	return want.CheckFields(record.Get)
}
