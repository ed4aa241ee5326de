package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Header is the first line of a commit object: one atomic step of a log. Members are encoded in the order of the
// fields below, all of them present unless said. It is valid only if re-encoding its parsed values gives the same
// bytes.
type Header struct {
	V      int    `json:"v"` // 1
	Seq    uint64 `json:"seq"`
	Prev   string `json:"prev"` // hex H of the previous header line, 64 zeros in commit 0
	Origin string `json:"origin"`

	VKey   string    `json:"vkey,omitempty"`  // commit 0 only: the log's key, as a note verifier key
	Stream StreamRef `json:"stream,omitzero"` // commit 0 only

	Writer string `json:"writer"` // 32 hex digits, random per process
	Store  string `json:"store"`  // id of the store that the log lives in
	Time   int64  `json:"time"`   // ms since 1970, never less than the previous commit's

	First uint64 `json:"first"` // the commit holds leaves [First, Size)
	Size  uint64 `json:"size"`
	Root  string `json:"root"` // base64, RFC 6962 root at Size

	Payloads   []Payload   `json:"payloads"`
	Positions  []Position  `json:"positions"` // in process: none
	Duplicates uint64      `json:"duplicates"`
	Collectors []Collector `json:"collectors"`
	Rules      string      `json:"rules"` // hex hash of the movement rules in force
	Hits       uint64      `json:"hits"`
	Ahead      []uint64    `json:"ahead"` // indexes still held because they are dated in the future

	MovedTo string `json:"moved_to,omitempty"` // last commit only: the store in which the log goes on
}

// A StreamRef names the topic and partition that a shard reads; commit 0 of a log without a topic says null.
type StreamRef struct {
	Known     bool // the header has a stream member
	Topic     string
	Partition int
}

type streamJSON struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
}

// IsZero makes encoding/json leave the member out where the header has none.
func (s StreamRef) IsZero() bool { return !s.Known }

// MarshalJSON writes null or the topic and partition.
func (s StreamRef) MarshalJSON() ([]byte, error) {
	if s.Topic == "" {
		return []byte("null"), nil
	}
	return json.Marshal(streamJSON{s.Topic, s.Partition})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *StreamRef) UnmarshalJSON(src []byte) error {
	s.Known = true
	var ref streamJSON
	if err := json.Unmarshal(src, &ref); err != nil {
		return err
	}
	s.Topic, s.Partition = ref.Topic, ref.Partition
	return nil
}

// A Payload names one payload object of a commit.
type Payload struct {
	Class   string `json:"class"` // retention class
	First   uint64 `json:"first"` // index of its first record
	Records uint64 `json:"records"`
	Key     string `json:"key"`    // object key after the origin: payload/<first, 20 digits>-<16 hex>
	SHA256  string `json:"sha256"` // of the stored object
	Bytes   uint64 `json:"bytes"`  // of the stored object
}

// A Position is how far a commit has read a partition: everything below Next is committed, dropped or quarantined.
type Position struct {
	Cluster   string `json:"cluster"`
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Next      uint64 `json:"next"`
}

// A Collector is how far a commit has taken a collector's numbers of one epoch.
type Collector struct {
	ID    string `json:"id"`
	Epoch string `json:"epoch"`
	Next  uint64 `json:"next"`
}

// NoPrev is the Prev of commit 0.
var NoPrev = strings.Repeat("0", 64)

// Object keys of a log, after its origin.
const (
	CommitPrefix     = "commit/"
	PayloadPrefix    = "payload/"
	CheckpointPrefix = "checkpoints/"
	AttachmentPrefix = "attachment/"
	CheckpointKey    = "checkpoint"
)

// CommitKey is the object key of a commit, after the origin.
func CommitKey(seq uint64) string { return fmt.Sprintf("%s%020d", CommitPrefix, seq) }

// ArchiveKey is the object key of the archived checkpoint of a size, after the origin.
func ArchiveKey(size uint64) string { return fmt.Sprintf("%s%020d", CheckpointPrefix, size) }

// PayloadKey is the object key of a payload, after the origin; hash is that of the stored object.
func PayloadKey(first uint64, hash Hash) string {
	return fmt.Sprintf("%s%020d-%s", PayloadPrefix, first, hex.EncodeToString(hash[:8]))
}

// AttachmentKey is the object key of an attachment, after the origin; hash is the hex SHA-256 of its bytes.
func AttachmentKey(hash string) string { return AttachmentPrefix + hash }

// Line encodes the header, without a line feed.
func (h *Header) Line() ([]byte, error) {
	c := *h
	// An absent list is an empty list: null has no meaning in a header.
	c.Payloads, c.Positions, c.Collectors, c.Ahead = list(c.Payloads), list(c.Positions), list(c.Collectors), list(c.Ahead)
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&c); err != nil {
		return nil, fmt.Errorf("commit header: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// A Commit is a parsed commit object. Line and Leaves share its memory.
type Commit struct {
	Header Header
	Line   []byte // the header's bytes, what the next commit's Prev hashes
	Bundle []byte // the leaves as a C2SP entry bundle
	Leaves [][]byte
}

// AppendCommit appends a commit object: its header line, a line feed, its leaves as an entry bundle.
func AppendCommit(dst, line, bundle []byte) []byte {
	return append(append(append(dst, line...), '\n'), bundle...)
}

// ParseCommit reads a commit object and checks everything that can be checked without its neighbours: one encoding,
// ranges, payloads that tile them, as many leaves as the range holds. Roots are the reader's to recompute.
func ParseCommit(object []byte) (*Commit, error) {
	line, bundle, ok := bytes.Cut(object, []byte("\n"))
	if !ok {
		return nil, errors.New("commit: header line does not end")
	}
	c := &Commit{Line: line, Bundle: bundle}
	h, err := ParseHeader(line)
	if err != nil {
		return nil, err
	}
	c.Header = *h
	if c.Leaves, err = ParseBundle(bundle); err != nil {
		return nil, fmt.Errorf("commit %d: %w", h.Seq, err)
	}
	if uint64(len(c.Leaves)) != h.Size-h.First {
		return nil, fmt.Errorf("commit %d: holds %d leaves for the range [%d, %d)", h.Seq, len(c.Leaves), h.First, h.Size)
	}
	return c, nil
}

// ParseHeader reads a header line alone.
func ParseHeader(line []byte) (*Header, error) {
	var h Header
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, fmt.Errorf("commit header: %w", err)
	}
	again, err := h.Line()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, line) {
		return nil, errors.New("commit header: not in its one encoding")
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("commit header %d: %w", h.Seq, err)
	}
	return &h, nil
}

var (
	hexHash   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	hexWriter = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// plainString reports whether s is printable ASCII without " \ < > &, the strings that every JSON encoder writes alike.
func plainString(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}

func (h *Header) check() error {
	texts := []string{h.Prev, h.Origin, h.VKey, h.Stream.Topic, h.Writer, h.Store, h.Root, h.Rules, h.MovedTo}
	for _, p := range h.Payloads {
		texts = append(texts, p.Class, p.Key, p.SHA256)
	}
	for _, p := range h.Positions {
		texts = append(texts, p.Cluster, p.Topic)
	}
	for _, c := range h.Collectors {
		texts = append(texts, c.ID, c.Epoch)
	}
	for _, s := range texts {
		if !plainString(s) {
			return fmt.Errorf("string %q is not printable ASCII without \" \\ < > &", clip(s))
		}
	}
	switch first := h.Seq == 0; {
	case h.V != 1:
		return fmt.Errorf("version %d is not 1", h.V)
	case !hexHash.MatchString(h.Prev) || first && h.Prev != NoPrev:
		return errors.New("prev is not the hash of a header line")
	case first != (h.VKey != "") || first != h.Stream.Known:
		return errors.New("vkey and stream stand in commit 0, and only there")
	case !hexWriter.MatchString(h.Writer):
		return errors.New("writer is not 32 hex digits")
	case h.Store == "":
		return errors.New("store missing")
	case h.First > h.Size || first && h.Size != 0:
		return fmt.Errorf("range [%d, %d) is not one", h.First, h.Size)
	case !hexHash.MatchString(h.Rules):
		return errors.New("rules is not a hash")
	}
	if _, err := ParseHash(h.Root); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return h.checkPayloads()
}

func (h *Header) checkPayloads() error {
	next, class := h.First, ""
	for _, p := range h.Payloads {
		sum, err := hex.DecodeString(p.SHA256)
		if err != nil || !hexHash.MatchString(p.SHA256) {
			return errors.New("payload: sha256 is not a hash")
		}
		switch {
		case p.Class == "" || p.Class < class:
			return fmt.Errorf("payload %s: classes are not in byte order", p.Key)
		case p.First != next || p.Records == 0 || p.Records > h.Size-next:
			return fmt.Errorf("payload %s: payloads do not tile the range [%d, %d)", p.Key, h.First, h.Size)
		case p.Key != PayloadKey(p.First, Hash(sum)):
			return fmt.Errorf("payload %s: key does not follow from its first index and hash", p.Key)
		}
		next, class = p.First+p.Records, p.Class
	}
	origin, err := ParseOrigin(h.Origin)
	if err != nil {
		return err
	}
	if origin.Control {
		if len(h.Payloads) > 0 {
			return errors.New("a control log has no payloads")
		}
		return nil
	}
	if next != h.Size {
		return fmt.Errorf("payloads end at %d, the range at %d", next, h.Size)
	}
	return nil
}
