package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// ItemStore keeps write-once objects in the cell's own store. Keys are slash paths below the quarantine's root.
type ItemStore interface {
	// Create stores data under a key that is free; existed says that the key was taken, and then nothing was written.
	// Without an error the object is durable, whoever wrote it.
	Create(ctx context.Context, key string, data []byte) (existed bool, err error)
	// Get returns an object. A missing one is an error that wraps ErrNoItem.
	Get(ctx context.Context, key string) ([]byte, error)
	// Head says whether the key is taken.
	Head(ctx context.Context, key string) (exists bool, err error)
	// List yields the keys that begin with prefix, in ascending byte order.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Sealer encrypts under keys of the cell, as payloads are.
type Sealer interface {
	// Seal returns the ciphertext of data, bound to name. What is needed to open it is durable on return. Sealing under
	// the same name again leaves earlier ciphertexts readable: a crash between Seal and Create makes that happen.
	Seal(ctx context.Context, name string, data []byte) ([]byte, error)
	Unseal(ctx context.Context, name string, sealed []byte) ([]byte, error)
}

// ErrNoItem is wrapped by an ItemStore, and by Show, when there is no such object.
var ErrNoItem = errors.New("no such quarantine item")

// Reasons of this package; all others are the normalizer's.
const (
	ReasonForeign  = "foreign"  // the event belongs to one known jurisdiction, for which there is no cell here
	ReasonRejected = "rejected" // the log of its cell refuses it
)

// Item is one record that was set aside. Raw is exactly what the provider wrote, as far as it was read.
type Item struct {
	Header ItemHeader
	Raw    []byte
}

// ItemHeader is what an item says of itself, in front of its bytes. It is sealed with them.
type ItemHeader struct {
	V         int       `json:"v"` // 1
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"` // never event data
	Source    string    `json:"source"`           // id of the source that brought it first
	Form      string    `json:"form,omitempty"`
	Offset    int64     `json:"offset"` // of the record in its decompressed source, in bytes
	Provider  string    `json:"provider,omitempty"`
	Foreign   string    `json:"foreign_jur,omitempty"`
	FirstSeen time.Time `json:"first_seen"`
}

// Held is what a list shows of an item.
type Held struct {
	Hash     string // SHA-256 of the raw bytes in hex: the item's address
	Bytes    int    // of the raw record
	Released bool
	ItemHeader
}

// Quarantine sets records aside in the store of one cell. Objects, all write-once:
//
//	item/<sha256 of the raw bytes>   sealed: header line, raw bytes
//	released/<the same>              the item was replayed; where to
//	group/<hash>                     sealed: the items and the salt behind one control entry
//	recorded/<hash>                  the control entry of that group is committed
//
// The same bytes are one item, however often and from wherever they come. An item is durable before the control entry
// that counts it; a crash between the two leaves an item that no entry names yet, never the other way round, and
// feeding the source again completes it.
type Quarantine struct {
	store    ItemStore
	sealer   Sealer
	recorder Recorder
	storeID  string
	now      func() time.Time
	rand     io.Reader
}

// NewQuarantine opens the quarantine of a cell. storeID is how control entries name the store; now and random are the
// clock and the source of salts.
func NewQuarantine(store ItemStore, sealer Sealer, recorder Recorder, storeID string, now func() time.Time, random io.Reader) *Quarantine {
	return &Quarantine{store: store, sealer: sealer, recorder: recorder, storeID: storeID, now: now, rand: random}
}

// Hold keeps an item and returns its address; again says that these bytes were held already, which leaves the first
// item as it is. The item is durable when Hold returns nil.
func (q *Quarantine) Hold(ctx context.Context, item Item) (hash [32]byte, again bool, err error) {
	hash = sha256.Sum256(item.Raw)
	key := "item/" + hex.EncodeToString(hash[:])
	// Looking first saves sealing what is there; Create decides all the same.
	if exists, err := q.store.Head(ctx, key); err != nil || exists {
		return hash, exists, wrapItem(key, err)
	}
	item.Header.V = 1
	item.Header.FirstSeen = q.now().UTC().Truncate(time.Millisecond)
	line, err := json.Marshal(item.Header)
	if err != nil {
		return hash, false, wrapItem(key, err)
	}
	again, err = q.create(ctx, key, append(append(line, '\n'), item.Raw...))
	return hash, again, err
}

// HoldOne keeps an item that no run counts, and has the control log name it: what a log refuses of a stream.
func (q *Quarantine) HoldOne(ctx context.Context, item Item) error {
	hash, _, err := q.Hold(ctx, item)
	if err != nil {
		return err
	}
	h := item.Header
	return q.record(ctx, &group{
		groupKey: groupKey{source: h.Source, reason: h.Reason, foreign: h.Foreign, action: ActionHeld}, items: [][32]byte{hash},
	})
}

func (q *Quarantine) create(ctx context.Context, key string, plain []byte) (existed bool, err error) {
	sealed, err := q.sealer.Seal(ctx, key, plain)
	if err != nil {
		return false, wrapItem(key, err)
	}
	existed, err = q.store.Create(ctx, key, sealed)
	return existed, wrapItem(key, err)
}

// List yields the headers of all items, in the order of their addresses. An item that cannot be opened is an error in
// its place; the list goes on.
func (q *Quarantine) List(ctx context.Context) iter.Seq2[Held, error] {
	return func(yield func(Held, error) bool) {
		for key, err := range q.store.List(ctx, "item/") {
			if err != nil {
				yield(Held{}, fmt.Errorf("list quarantine: %w", err))
				return
			}
			held, _, err := q.Show(ctx, strings.TrimPrefix(key, "item/"))
			if !yield(held, err) {
				return
			}
		}
	}
}

// Show returns an item whole. Reading it is an access to event data, which the caller has logged before.
func (q *Quarantine) Show(ctx context.Context, hash string) (Held, []byte, error) {
	held := Held{Hash: hash}
	want, err := hex.DecodeString(hash)
	if err != nil || len(want) != sha256.Size || strings.ToLower(hash) != hash {
		return held, nil, fmt.Errorf("%q is not the address of an item: want 64 lower-case hex digits", hash)
	}
	key := "item/" + hash
	plain, err := q.open(ctx, key)
	if err != nil {
		return held, nil, err
	}
	line, raw, ok := bytes.Cut(plain, []byte{'\n'})
	if !ok {
		return held, nil, wrapItem(key, errors.New("has no header line"))
	}
	if err := decodeOwn(line, &held.ItemHeader); err != nil {
		return held, nil, wrapItem(key, fmt.Errorf("header: %w", err))
	}
	if got := sha256.Sum256(raw); !bytes.Equal(got[:], want) {
		return held, nil, wrapItem(key, errors.New("its bytes do not hash to its address"))
	}
	held.Bytes = len(raw)
	held.Released, err = q.store.Head(ctx, "released/"+hash)
	return held, raw, wrapItem(key, err)
}

func (q *Quarantine) open(ctx context.Context, key string) ([]byte, error) {
	sealed, err := q.store.Get(ctx, key)
	if err != nil {
		return nil, wrapItem(key, err)
	}
	plain, err := q.sealer.Unseal(ctx, key, sealed)
	return plain, wrapItem(key, err)
}

// release marks an item as replayed into a cell. The item itself stays: it is evidence.
func (q *Quarantine) release(ctx context.Context, hash, cell string) error {
	key := "released/" + hash
	note, err := json.Marshal(struct {
		Cell string    `json:"cell"`
		Time time.Time `json:"time"`
	}{cell, q.now().UTC().Truncate(time.Millisecond)})
	if err != nil {
		return wrapItem(key, err)
	}
	_, err = q.store.Create(ctx, key, note)
	return wrapItem(key, err)
}

// decodeOwn reads JSON that this package wrote, strictly.
func decodeOwn(src []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("surplus bytes")
	}
	return nil
}

func wrapItem(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("quarantine %s: %w", key, err)
}
