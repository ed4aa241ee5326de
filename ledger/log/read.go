package log

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
	"domicile.dev/domicile/ledger/tile"
)

// A Reader reads what a log holds: leaves, records and proofs. It needs no writer and may run beside one. It is safe
// for concurrent use.
type Reader struct {
	chain
	open      store.Store
	keys      store.Keys // nil: records cannot be read
	verifiers note.Verifiers

	openers sync.Pool // of *opener

	mu     sync.Mutex
	cached struct { // the payload that Record read last: neighbours are often asked for together
		first uint64
		lines [][]byte
	}
}

// An opener decompresses payloads. Each reading goroutine has one.
type opener struct {
	codec  *ledger.PayloadCodec
	joined []byte // memory for Records
}

// NewReader reads the log that cfg names.
func NewReader(cfg Config, keys store.Keys) (*Reader, error) {
	verifier, err := note.NewVerifier(cfg.VKey)
	if err != nil {
		return nil, fmt.Errorf("log %s: its key: %w", cfg.Origin, err)
	}
	return &Reader{
		chain: chain{cfg.Locked, cfg.Origin}, open: cfg.Open, keys: keys, verifiers: note.VerifierList(verifier),
	}, nil
}

// Origin is the log's name.
func (r *Reader) Origin() string { return r.origin }

// Head returns the header of the newest commit.
func (r *Reader) Head(ctx context.Context) (*ledger.Header, error) {
	seq, err := r.head(ctx)
	if err != nil {
		return nil, err
	}
	header, _, err := r.header(ctx, seq)
	return header, err
}

// Header returns the header of a commit; ErrNoCommit if there is none.
func (r *Reader) Header(ctx context.Context, seq uint64) (*ledger.Header, error) {
	header, _, err := r.header(ctx, seq)
	return header, err
}

// Commit returns a commit with its leaves; ErrNoCommit if there is none.
func (r *Reader) Commit(ctx context.Context, seq uint64) (*ledger.Commit, error) {
	return r.read(ctx, seq)
}

// Checkpoint returns the newest published checkpoint and its signed note; store.ErrNotFound before the first.
func (r *Reader) Checkpoint(ctx context.Context) (ledger.Checkpoint, []byte, error) {
	return r.note(ctx, r.open, ledger.CheckpointKey)
}

// Archived returns the signed checkpoint of a published size.
func (r *Reader) Archived(ctx context.Context, size uint64) (ledger.Checkpoint, []byte, error) {
	return r.note(ctx, r.locked, ledger.ArchiveKey(size))
}

func (r *Reader) note(ctx context.Context, from store.Store, after string) (ledger.Checkpoint, []byte, error) {
	signed, _, err := from.Get(ctx, r.key(after))
	if err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("%s: %w", r.key(after), err)
	}
	cp, _, err := ledger.OpenCheckpoint(signed, r.origin, r.verifiers)
	if err != nil {
		return ledger.Checkpoint{}, nil, fmt.Errorf("%s: %w", r.key(after), err)
	}
	return cp, signed, nil
}

// tiles reads the open store as it is at a published size.
func (r *Reader) tiles(ctx context.Context, size uint64) *tile.Reader {
	return tile.NewReader(size, func(path string) ([]byte, error) {
		data, _, err := r.open.Get(ctx, r.key(path))
		return data, err
	})
}

// Proof returns the tlog-proof (C2SP) of a leaf at a published size, and the leaf's bytes.
func (r *Reader) Proof(ctx context.Context, index, size uint64) (leaf []byte, proof *ledger.Proof, err error) {
	cp, signed, err := r.Archived(ctx, size)
	if err != nil {
		return nil, nil, err
	}
	if index >= cp.Size {
		return nil, nil, fmt.Errorf("log %s: leaf %d is not among the %d that are published", r.origin, index, cp.Size)
	}
	tiles := r.tiles(ctx, size)
	if leaf, err = tiles.Entry(index); err != nil {
		return nil, nil, fmt.Errorf("log %s: leaf %d: %w", r.origin, index, err)
	}
	path, err := tiles.Inclusion(index, size)
	if err != nil {
		return nil, nil, fmt.Errorf("log %s: proof of leaf %d: %w", r.origin, index, err)
	}
	proof = &ledger.Proof{Index: index, Hashes: path, Checkpoint: signed}
	// A proof is checked before it is handed out: one from a damaged tile would only shame the auditor who trusts it.
	if err := proof.VerifyInclusion(ledger.LeafHash(leaf), cp); err != nil {
		return nil, nil, fmt.Errorf("log %s: the tiles of leaf %d do not give its root, run domicile log verify: %w", r.origin, index, err)
	}
	return leaf, proof, nil
}

// ErrNoRecord is wrapped by the error for a record that was erased or expired, or whose key is gone.
var ErrNoRecord = errors.New("the record cannot be read any more")

// Record returns the payload line of a leaf. It is event data: the access is logged before, by whoever calls this.
func (r *Reader) Record(ctx context.Context, index uint64) ([]byte, error) {
	r.mu.Lock()
	if i := index - r.cached.first; r.cached.lines != nil && index >= r.cached.first && i < uint64(len(r.cached.lines)) {
		line := r.cached.lines[i]
		r.mu.Unlock()
		return line, nil
	}
	r.mu.Unlock()
	header, err := r.commitOfIndex(ctx, index)
	if err != nil {
		return nil, err
	}
	for _, p := range header.Payloads {
		if index < p.First || index-p.First >= p.Records {
			continue
		}
		lines, err := r.payload(ctx, &p)
		if err != nil {
			return nil, err
		}
		line := lines[index-p.First]
		if len(line) == 0 {
			return nil, fmt.Errorf("log %s: record %d: %w: it was erased", r.origin, index, ErrNoRecord)
		}
		return line, nil
	}
	return nil, fmt.Errorf("log %s: no payload of commit %d holds record %d", r.origin, header.Seq, index)
}

// commitOfIndex finds the commit that holds a leaf.
func (r *Reader) commitOfIndex(ctx context.Context, index uint64) (*ledger.Header, error) {
	low, err := uint64(0), error(nil)
	high, err := r.head(ctx)
	if err != nil {
		return nil, err
	}
	for low < high {
		middle := low + (high-low)/2
		header, _, err := r.header(ctx, middle)
		if err != nil {
			return nil, err
		}
		if header.Size > index {
			high = middle
		} else {
			low = middle + 1
		}
	}
	header, _, err := r.header(ctx, low)
	if err != nil {
		return nil, err
	}
	if index < header.First || index >= header.Size {
		return nil, fmt.Errorf("log %s: there is no leaf %d, the log holds %d", r.origin, index, header.Size)
	}
	return header, nil
}

// payload returns the lines of one payload, and keeps them for Record.
func (r *Reader) payload(ctx context.Context, p *ledger.Payload) ([][]byte, error) {
	compressed, err := r.unseal(ctx, p)
	if err != nil {
		return nil, err
	}
	o, err := r.opener()
	if err != nil {
		return nil, err
	}
	defer r.openers.Put(o)
	lines, err := o.codec.Lines(compressed, p.Records)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.key(p.Key), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cached.first, r.cached.lines = p.First, lines
	return lines, nil
}

func (r *Reader) opener() (*opener, error) {
	if o, ok := r.openers.Get().(*opener); ok {
		return o, nil
	}
	codec, err := ledger.NewPayloadCodec()
	return &opener{codec: codec}, err
}

// unseal reads, checks and decrypts one payload.
func (r *Reader) unseal(ctx context.Context, p *ledger.Payload) (compressed []byte, err error) {
	key := r.key(p.Key)
	if r.keys == nil {
		return nil, fmt.Errorf("%s: no key store was given", key)
	}
	sealed, _, err := r.locked.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w: the payload is gone", key, ErrNoRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if sum := sha256.Sum256(sealed); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, fmt.Errorf("%s: its bytes are not those that its commit names", key)
	}
	payloadKey, err := r.keys.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w: its key was destroyed", key, ErrNoRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: its key: %w", key, err)
	}
	compressed, err = store.Unseal(payloadKey, sealed, ledger.PayloadAssociatedData(r.origin, p.First))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return compressed, nil
}

// Records calls each with the exact payload line of every record of a commit, in leaf order. The line of an erased
// record is empty. A line is valid during the call only. A commit that is not there is ErrNoCommit.
//
// A payload that cannot be read any more is passed over, and what is left of the commit is read all the same; the error
// that is returned at the end then wraps ErrNoRecord and names the payload. Any other error, of each too, ends it.
//
// Lines are event data: the access is logged before, by whoever calls this.
func (r *Reader) Records(ctx context.Context, seq uint64, each func(index uint64, line []byte) error) error {
	header, _, err := r.header(ctx, seq)
	if err != nil {
		return err
	}
	o, err := r.opener()
	if err != nil {
		return err
	}
	defer r.openers.Put(o)
	var gone []error
	for i := range header.Payloads {
		p := &header.Payloads[i]
		compressed, err := r.unseal(ctx, p)
		if errors.Is(err, ErrNoRecord) {
			gone = append(gone, err)
			continue
		}
		if err != nil {
			return err
		}
		if o.joined, err = o.codec.AppendJoined(o.joined[:0], compressed, p.Records); err != nil {
			return fmt.Errorf("%s: %w", r.key(p.Key), err)
		}
		rest := o.joined
		for index := p.First; index < p.First+p.Records; index++ {
			line, after, _ := bytes.Cut(rest, []byte("\n"))
			if err := each(index, line[:len(line):len(line)]); err != nil {
				return fmt.Errorf("%s: record %d: %w", r.key(p.Key), index, err)
			}
			rest = after
		}
	}
	return errors.Join(gone...)
}

// FindUID looks an event up by its uid by reading the payloads from the newest on. It is what is left without an
// index.
func (r *Reader) FindUID(ctx context.Context, uid string) (index uint64, ok bool, err error) {
	seq, err := r.head(ctx)
	if err != nil {
		return 0, false, err
	}
	for ; ; seq-- {
		err := r.Records(ctx, seq, new(reading).each(func(i uint64, rec *ledger.Record) error {
			if got, _, err := identity(rec); err == nil && got == uid {
				index, ok = i, true
			}
			return nil
		}))
		if err != nil && !errors.Is(err, ErrNoRecord) {
			return 0, false, err
		}
		if ok || seq == 0 {
			return index, ok, nil
		}
	}
}
