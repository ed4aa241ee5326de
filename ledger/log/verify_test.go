package log

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/store"
)

// What follows reads a cell's stores from scratch and checks everything that ledger.md says of a log, written plainly
// and without the writer's code: hashes of the tree by the recursion of RFC 6962, notes by hand, tiles by slicing.

// holding is what verifyAll found.
type holding struct {
	control, events logFound
	records         []recordFound // of the events log, by leaf index
	byUID           map[string][]uint64
	bound           uint64   // leaves that batch entries bind
	batches         int      // batch entries
	findings        []uint64 // leaves that finding entries name
	repeats         uint64   // that commits counted
	orphans         int      // payloads that no commit names
}

// logFound is what lies in the stores of one log.
type logFound struct {
	origin      string
	headers     []headerFound
	lines       [][]byte
	leaves      [][]byte
	hashes      [][32]byte // of leaves
	published   int64      // size that checkpoint says, -1 without one
	archived    map[uint64][32]byte
	attachments map[string][]byte
}

type headerFound struct {
	V          int
	Seq        uint64
	Prev       string
	Origin     string
	VKey       string
	Writer     string
	Store      string
	Time       int64
	First      uint64
	Size       uint64
	Root       string
	Payloads   []payloadFound
	Positions  []any
	Duplicates uint64
	Collectors []struct {
		ID, Epoch string
		Next      uint64
	}
	Rules   string
	Hits    uint64
	Ahead   []uint64
	MovedTo string `json:"moved_to"`
}

type payloadFound struct {
	Class          string
	First, Records uint64
	Key, SHA256    string
	Bytes          uint64
}

type recordFound struct {
	uid, class string
	operation  string
	time       int64
	salt       [32]byte
}

// verifyAll checks both logs of the cell and how they belong together. Whatever is committed has to be right; what is
// not published or bound yet may be missing, and settled asks for that.
func (c *cell) verifyAll() *holding {
	c.t.Helper()
	h := &holding{byUID: make(map[string][]uint64)}
	h.control = c.verifyLog(testControl)
	h.events = c.verifyLog(testEvents)
	c.verifyPayloads(h)
	c.verifyControl(h)
	return h
}

// settled is verifyAll for a cell where everything was flushed.
func (c *cell) settled() *holding {
	c.t.Helper()
	h := c.verifyAll()
	for _, l := range []*logFound{&h.control, &h.events} {
		if l.published != int64(len(l.leaves)) {
			c.t.Fatalf("%s: checkpoint at %d of %d leaves", l.origin, l.published, len(l.leaves))
		}
	}
	if h.bound != uint64(len(h.events.leaves)) {
		c.t.Fatalf("batch entries bind %d of %d leaves", h.bound, len(h.events.leaves))
	}
	return h
}

func mth(hashes [][32]byte) [32]byte {
	switch len(hashes) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return hashes[0]
	}
	k := 1
	for 2*k < len(hashes) {
		k *= 2
	}
	left, right := mth(hashes[:k]), mth(hashes[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func (c *cell) objects(s store.Store, prefix string) map[string][]byte {
	c.t.Helper()
	found := make(map[string][]byte)
	for info, err := range s.List(context.Background(), prefix, "") {
		c.must(err)
		data, _, err := s.Get(context.Background(), info.Key)
		c.must(err)
		found[strings.TrimPrefix(info.Key, prefix)] = data
	}
	return found
}

func (c *cell) verifyLog(origin string) logFound {
	c.t.Helper()
	l := logFound{origin: origin, published: -1, archived: make(map[uint64][32]byte), attachments: make(map[string][]byte)}
	locked := c.objects(c.locked, origin+"/")
	for seq := uint64(0); ; seq++ {
		key := fmt.Sprintf("commit/%020d", seq)
		object, ok := locked[key]
		if !ok {
			break
		}
		delete(locked, key)
		c.verifyCommit(&l, seq, object)
	}
	if len(l.headers) == 0 {
		c.t.Fatalf("%s: no commit 0", origin)
	}
	for key, data := range locked {
		folder, name, _ := strings.Cut(key, "/")
		switch folder {
		case "payload": // verifyPayloads
		case "attachment":
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != name {
				c.t.Fatalf("%s/%s: its bytes have another hash", origin, key)
			}
			l.attachments[name] = data
		case "checkpoints":
			size, root := c.verifyNote(&l, origin+"/"+key, data)
			if fmt.Sprintf("%020d", size) != name {
				c.t.Fatalf("%s/%s: is of size %d", origin, key, size)
			}
			l.archived[size] = root
		default:
			c.t.Fatalf("%s/%s: has no place in the locked store", origin, key)
		}
	}
	open := c.objects(c.open, origin+"/")
	if data, ok := open["checkpoint"]; ok {
		delete(open, "checkpoint")
		size, root := c.verifyNote(&l, origin+"/checkpoint", data)
		if archived, ok := l.archived[size]; !ok || archived != root {
			c.t.Fatalf("%s: the checkpoint of size %d is not archived", origin, size)
		}
		l.published = int64(size)
	}
	for key, data := range open {
		want, ok := l.tileBytes(key)
		if !ok {
			c.t.Fatalf("%s/%s: has no place in the open store of a log of %d leaves", origin, key, len(l.leaves))
		}
		if !bytes.Equal(data, want) {
			c.t.Fatalf("%s/%s: does not hold what the leaves give", origin, key)
		}
	}
	for _, key := range tilesOf(uint64(max(l.published, 0))) {
		if _, ok := open[key]; !ok {
			c.t.Fatalf("%s/%s: missing, with a checkpoint at %d", origin, key, l.published)
		}
	}
	return l
}

func (c *cell) verifyCommit(l *logFound, seq uint64, object []byte) {
	c.t.Helper()
	bad := func(format string, args ...any) {
		c.t.Helper()
		c.t.Fatalf("%s: commit %d: "+format, append([]any{l.origin, seq}, args...)...)
	}
	line, bundle, _ := bytes.Cut(object, []byte("\n"))
	if _, err := ledger.ParseCommit(object); err != nil { // the one encoding
		bad("%v", err)
	}
	var h headerFound
	if err := json.Unmarshal(line, &h); err != nil {
		bad("%v", err)
	}
	prev, before := strings.Repeat("0", 64), headerFound{}
	if seq > 0 {
		sum := sha256.Sum256(l.lines[seq-1])
		prev, before = hex.EncodeToString(sum[:]), l.headers[seq-1]
	}
	switch {
	case h.V != 1 || h.Seq != seq || h.Origin != l.origin:
		bad("holds v %d, commit %d of %s", h.V, h.Seq, h.Origin)
	case h.Prev != prev:
		bad("prev %s, the header before has %s", h.Prev, prev)
	case h.Time < before.Time:
		bad("time %d after %d", h.Time, before.Time)
	case h.First != before.Size || h.Size < h.First:
		bad("range [%d, %d) after %d", h.First, h.Size, before.Size)
	case seq == 0 && h.VKey != c.keys[l.origin][1]:
		bad("vkey %s", h.VKey)
	case h.Rules != hex.EncodeToString(ledger.EmptyHash[:]) || h.Hits != 0 || len(h.Positions) != 0:
		bad("rules %s, hits %d, positions %v", h.Rules, h.Hits, h.Positions)
	}
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			bad("its bundle is cut off")
		}
		leaf := bundle[2 : 2+int(binary.BigEndian.Uint16(bundle))]
		bundle = bundle[2+len(leaf):]
		l.leaves = append(l.leaves, leaf)
		l.hashes = append(l.hashes, sha256.Sum256(append([]byte{0}, leaf...)))
	}
	if uint64(len(l.leaves)) != h.Size {
		bad("ends at leaf %d, says %d", len(l.leaves), h.Size)
	}
	if root := mth(l.hashes); h.Root != base64.StdEncoding.EncodeToString(root[:]) {
		bad("root %s, the leaves give another", h.Root)
	}
	// Marks never fall; those of an epoch may end.
	marks := make(map[string]uint64)
	for _, m := range before.Collectors {
		marks[m.ID+" "+m.Epoch] = m.Next
	}
	last := ""
	for _, m := range h.Collectors {
		name := m.ID + " " + m.Epoch
		if m.Next < marks[name] {
			bad("the mark of %s falls from %d to %d", name, marks[name], m.Next)
		}
		if name <= last {
			bad("collectors are not in order")
		}
		last = name
	}
	for i, index := range h.Ahead {
		if index >= h.Size {
			bad("ahead[%d] names leaf %d of %d", i, index, h.Size)
		}
	}
	l.headers, l.lines = append(l.headers, h), append(l.lines, line)
}

// verifyNote checks a signed checkpoint against the commits, with crypto/ed25519 alone.
func (c *cell) verifyNote(l *logFound, key string, signed []byte) (size uint64, root [32]byte) {
	c.t.Helper()
	text, signatures, ok := strings.Cut(string(signed), "\n\n")
	text += "\n"
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 4 || lines[0] != l.origin {
		c.t.Fatalf("%s: is not a checkpoint of %s: %q", key, l.origin, signed)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	c.must(err)
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	c.must(err)
	root = [32]byte(raw)
	if size > uint64(len(l.leaves)) {
		c.t.Fatalf("%s: signed for %d leaves, committed are %d", key, size, len(l.leaves))
	}
	if root != mth(l.hashes[:size]) {
		c.t.Fatalf("%s: root %s at %d is not that of the leaves", key, lines[2], size)
	}
	reached := false
	for _, h := range l.headers {
		reached = reached || h.Size == size
	}
	if !reached {
		c.t.Fatalf("%s: no commit has size %d", key, size)
	}
	name, encoded, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(signatures, "— "), "\n"), " ")
	signature, err := base64.StdEncoding.DecodeString(encoded)
	c.must(err)
	parts := strings.SplitN(c.keys[l.origin][1], "+", 3)
	public, err := base64.StdEncoding.DecodeString(parts[2])
	c.must(err)
	if name != l.origin || hex.EncodeToString(signature[:4]) != parts[1] || !ed25519.Verify(public[1:], []byte(text), signature[4:]) {
		c.t.Fatalf("%s: its signature does not hold", key)
	}
	return size, root
}

// tileBytes is what a path of the open store must hold, if a log of these leaves may hold it.
func (l *logFound) tileBytes(path string) (data []byte, ok bool) {
	level, rest, ok := strings.Cut(strings.TrimPrefix(path, "tile/"), "/")
	if !ok {
		return nil, false
	}
	width := uint64(256)
	if n, w, partial := strings.Cut(rest, ".p/"); partial {
		var err error
		if width, err = strconv.ParseUint(w, 10, 64); err != nil || width == 0 || width > 255 {
			return nil, false
		}
		rest = n
	}
	index, err := strconv.ParseUint(strings.ReplaceAll(strings.ReplaceAll(rest, "x", ""), "/", ""), 10, 64)
	if err != nil {
		return nil, false
	}
	span, entries := uint64(1), level == "entries"
	if !entries {
		height, err := strconv.ParseUint(level, 10, 8)
		if err != nil {
			return nil, false
		}
		for range height {
			span *= 256
		}
	}
	for i := 256 * index; i < 256*index+width; i++ {
		if (i+1)*span > uint64(len(l.leaves)) {
			return nil, false
		}
		if entries {
			data = binary.BigEndian.AppendUint16(data, uint16(len(l.leaves[i])))
			data = append(data, l.leaves[i]...)
			continue
		}
		hash := mth(l.hashes[i*span : (i+1)*span])
		data = append(data, hash[:]...)
	}
	return data, true
}

// tilesOf lists what the open store must hold for a published size (below 256,000, which spares the groups of three).
func tilesOf(size uint64) (paths []string) {
	for level, n := 0, size; n > 0; level, n = level+1, n/256 {
		names := []string{strconv.Itoa(level)}
		if level == 0 {
			names = append(names, "entries")
		}
		for _, name := range names {
			for i := range n / 256 {
				paths = append(paths, fmt.Sprintf("tile/%s/%03d", name, i))
			}
			if n%256 > 0 {
				paths = append(paths, fmt.Sprintf("tile/%s/%03d.p/%d", name, n/256, n%256))
			}
		}
	}
	return paths
}

func (c *cell) verifyPayloads(h *holding) {
	c.t.Helper()
	ctx := context.Background()
	stored := c.objects(c.locked, testEvents+"/payload/")
	salts := make(map[[32]byte]bool)
	zip, err := zstd.NewReader(nil)
	c.must(err)
	defer zip.Close()
	for _, header := range h.events.headers {
		h.repeats += header.Duplicates
		next := header.First
		for _, p := range header.Payloads {
			name := strings.TrimPrefix(p.Key, "payload/")
			sealed, ok := stored[name]
			if !ok {
				c.t.Fatalf("commit %d: payload %s is missing", header.Seq, p.Key)
			}
			delete(stored, name)
			sum := sha256.Sum256(sealed)
			if hex.EncodeToString(sum[:]) != p.SHA256 || uint64(len(sealed)) != p.Bytes || p.First != next ||
				p.Key != fmt.Sprintf("payload/%020d-%x", p.First, sum[:8]) {
				c.t.Fatalf("commit %d: payload %+v is not what is stored", header.Seq, p)
			}
			key, err := c.payloadKeys.Get(ctx, testEvents+"/"+p.Key)
			c.must(err)
			compressed, err := store.Unseal(key, sealed, binary.BigEndian.AppendUint64([]byte(testEvents), p.First))
			c.must(err)
			joined, err := zip.DecodeAll(compressed, nil)
			c.must(err)
			if len(joined) > 16<<20 {
				c.t.Fatalf("commit %d: payload of %d bytes", header.Seq, len(joined))
			}
			lines := bytes.Split(joined, []byte("\n"))
			if uint64(len(lines)) != p.Records {
				c.t.Fatalf("commit %d: payload %s holds %d records, not %d", header.Seq, p.Key, len(lines), p.Records)
			}
			for _, line := range lines {
				r := c.verifyRecord(line, h.events.leaves[next])
				r.class = p.Class
				if salts[r.salt] {
					c.t.Fatalf("record %d: its salt was used before", next)
				}
				salts[r.salt] = true
				h.records = append(h.records, r)
				h.byUID[r.uid] = append(h.byUID[r.uid], next)
				next++
			}
		}
		if next != header.Size {
			c.t.Fatalf("commit %d: payloads end at %d of %d", header.Seq, next, header.Size)
		}
	}
	h.orphans = len(stored)
	for uid, at := range h.byUID {
		if len(at) > 1 {
			c.t.Fatalf("leaves %v are all of the event %s", at, uid)
		}
	}
}

func (c *cell) verifyRecord(line, leaf []byte) (r recordFound) {
	c.t.Helper()
	rec, err := ledger.ParseRecord(line)
	c.must(err)
	commitment := rec.Commitment()
	var l struct {
		V      int
		Hour   int64
		Region string
		Commit []byte
	}
	c.must(json.Unmarshal(leaf, &l))
	var event struct {
		API      struct{ Operation string }
		Metadata struct{ UID string }
		Time     int64
	}
	c.must(json.Unmarshal(rec.Event, &event))
	hour := event.Time / 3_600_000
	if event.Time%3_600_000 < 0 {
		hour--
	}
	if !bytes.Equal(l.Commit, commitment[:]) || l.Hour != hour || l.V != 1 {
		c.t.Fatalf("leaf %s is not that of %s", leaf, line)
	}
	return recordFound{uid: event.Metadata.UID, operation: event.API.Operation, time: event.Time, salt: rec.Salt}
}

// verifyControl replays the control log and holds its batch entries against the events log.
func (c *cell) verifyControl(h *holding) {
	c.t.Helper()
	replay := custody.NewReplay(testControl)
	marks := make(map[string]uint64)
	repeats, from := uint64(0), 0
	for i, raw := range h.control.leaves {
		entry, err := ledger.ParseEntry(raw)
		c.must(err)
		if policy, ok := entry.(*ledger.PolicyEntry); ok {
			document, ok := h.control.attachments[strings.TrimPrefix(policy.Object, "attachment/")]
			if !ok {
				c.t.Fatalf("control entry %d: its policy is not there", i)
			}
			c.must(replay.Supply(document))
		}
		c.must(replay.Apply(uint64(i), raw))
		switch e := entry.(type) {
		case *ledger.FindingEntry:
			if e.Ref.Origin != testEvents || e.Ref.Index >= uint64(len(h.records)) {
				c.t.Fatalf("control entry %d: finding about leaf %d of %s, which is not there", i, e.Ref.Index, e.Ref.Origin)
			}
			h.findings = append(h.findings, e.Ref.Index)
		case *ledger.BatchEntry:
			if e.CommitSeq >= uint64(len(h.events.headers)) {
				c.t.Fatalf("control entry %d: binds commit %d of %d", i, e.CommitSeq, len(h.events.headers))
			}
			last := h.events.headers[e.CommitSeq]
			line := sha256.Sum256(h.events.lines[e.CommitSeq])
			root, archived := h.events.archived[e.Size]
			switch {
			case e.First != h.bound || e.Size <= e.First || e.Size != last.Size:
				c.t.Fatalf("control entry %d: binds [%d, %d) after %d", i, e.First, e.Size, h.bound)
			case e.CommitHash != line:
				c.t.Fatalf("control entry %d: commit %d has another hash", i, e.CommitSeq)
			case !archived || e.Root != root:
				c.t.Fatalf("control entry %d: size %d was not published with that root", i, e.Size)
			}
			for ; from <= int(e.CommitSeq); from++ {
				repeats += h.events.headers[from].Duplicates
			}
			if e.Duplicates != repeats {
				c.t.Fatalf("control entry %d: %d repeats, its commits say %d", i, e.Duplicates, repeats)
			}
			repeats = 0
			c.verifyCounts(h, i, e)
			for _, m := range e.Collectors {
				if name := m.ID + " " + m.Epoch; m.From != marks[name] || m.Next <= m.From {
					c.t.Fatalf("control entry %d: numbers [%d, %d) of %s after %d", i, m.From, m.Next, name, marks[name])
				}
				marks[m.ID+" "+m.Epoch] = m.Next
			}
			for _, m := range last.Collectors {
				// An entry that is full leaves marks to the next one.
				if got := marks[m.ID+" "+m.Epoch]; got != m.Next && len(raw) < 64_000 {
					c.t.Fatalf("control entry %d: leaves the mark of %s %s at %d, the commit says %d", i, m.ID, m.Epoch, got, m.Next)
				}
			}
			h.bound = e.Size
			h.batches++
		}
	}
}

func (c *cell) verifyCounts(h *holding, i int, e *ledger.BatchEntry) {
	c.t.Helper()
	regions, classes := make(map[string]uint64), make(map[string]uint64)
	for index := e.First; index < e.Size; index++ {
		leaf, err := ledger.ParseLeaf(h.events.leaves[index])
		c.must(err)
		regions[leaf.Region]++
		classes[h.records[index].class]++
	}
	for _, r := range e.LeafRegions {
		if regions[r.Region] != r.Count {
			c.t.Fatalf("control entry %d: %d leaves of %s, counted %d", i, r.Count, r.Region, regions[r.Region])
		}
		delete(regions, r.Region)
	}
	for _, r := range e.Classes {
		if classes[r.Class] != r.Records || r.Lock != ledger.LockNone {
			c.t.Fatalf("control entry %d: class %+v, counted %d", i, r, classes[r.Class])
		}
		delete(classes, r.Class)
	}
	if len(regions)+len(classes) > 0 {
		c.t.Fatalf("control entry %d: leaves out %v, %v", i, regions, classes)
	}
}
