package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// commitEnd is a commit whose last leaf was read.
type commitEnd struct {
	header *ledger.Header
	hash   string // hex H of the header line
}

// chain reads the commits from 0 on, checks each against the one before it, and cuts their leaves into chunks.
type chain struct {
	*logAudit
	emit    func(*job) error
	current *chunk
	last    *commitEnd // the commit before
}

// produce emits the jobs of one log. A commit that cannot be used ends the chain: what comes after it has nothing to be
// held against.
func (l *logAudit) produce(ctx context.Context, emit func(*job) error) error {
	c := &chain{logAudit: l, emit: emit, current: new(chunk)}
	for seq := uint64(0); ; seq++ {
		key := l.origin + "/" + ledger.CommitKey(seq)
		object, err := l.cell.Locked.Read(ctx, key, nil, maxCommit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// A log that is written to has commits that were not listed; one that was listed has to be there.
			if i, _ := slices.BinarySearch(l.inv.commits, seq); i < len(l.inv.commits) || seq == 0 {
				detail := "is missing"
				if i < len(l.inv.commits) {
					detail = fmt.Sprintf("is missing, and commit %d is there", l.inv.commits[i])
				}
				return c.broken(key, errors.New(detail))
			}
			return c.end()
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return c.broken(key, err)
		}
		if err := c.add(ctx, object, seq); err != nil {
			if errors.As(err, new(*chainError)) {
				return c.broken(key, err)
			}
			return err
		}
	}
}

// chainError is what makes a commit useless for what follows.
type chainError struct{ reason string }

func (e *chainError) Error() string { return e.reason }

func broken(format string, args ...any) error { return &chainError{fmt.Sprintf(format, args...)} }

// broken ends the chain at a bad commit. What was read before it is still examined.
func (c *chain) broken(key string, reason error) error {
	if err := c.end(); err != nil {
		return err
	}
	return c.emit(&job{then: func(context.Context) error {
		if c.isBroken {
			return nil
		}
		c.isBroken = true
		if err := c.find(Failure, "locked/"+key, "%v", reason); err != nil {
			return err
		}
		return c.find(Unverified, c.origin, "nothing after commit %d could be checked", c.commits)
	}})
}

// finding reports something in the order of the commits.
func (c *chain) finding(kind Kind, object, detail string) error {
	return c.emit(&job{then: func(context.Context) error { return c.find(kind, object, "%s", detail) }})
}

// add takes the next commit in.
func (c *chain) add(ctx context.Context, object []byte, seq uint64) error {
	line, bundle, ok := bytes.Cut(object, []byte("\n"))
	if !ok {
		return broken("its header line does not end")
	}
	h, err := ledger.ParseHeader(line)
	if err != nil {
		return broken("%v", err)
	}
	end := commitEnd{header: h, hash: fmt.Sprintf("%x", sha256.Sum256(line))}
	if err := c.follows(ctx, &end, seq); err != nil {
		return err
	}
	// Leaves are counted before anything is made of them.
	rest, leaves := bundle, uint64(0)
	for len(rest) > 0 {
		_, after, ok := nextLeaf(rest)
		if !ok {
			return broken("its leaves are cut off within leaf %d", h.First+leaves)
		}
		rest = after
		leaves++
	}
	if leaves != h.Size-h.First {
		return broken("it holds %d leaves for the range [%d, %d)", leaves, h.First, h.Size)
	}
	if err := c.payloads(h, bundle); err != nil {
		return err
	}
	for rest = bundle; len(rest) > 0; {
		// As many leaves as fill the bundle at hand.
		begin := rest
		for len(rest) > 0 {
			_, rest, _ = nextLeaf(rest)
			c.current.count++
			if c.current.count%tile.Width == 0 {
				break
			}
		}
		c.current.data = append(c.current.data, begin[:len(begin)-len(rest)]...)
		if len(rest) > 0 && c.isFull() {
			// The commit goes on in the next chunk; its end stands there.
			if err := c.flush(); err != nil {
				return err
			}
		}
	}
	c.current.ends = append(c.current.ends, end)
	c.last = &end
	if c.isFull() {
		return c.flush()
	}
	return nil
}

func (c *chain) isFull() bool {
	return c.current.count > 0 && c.current.count%tile.Width == 0 && (c.current.count >= chunkLeaves || len(c.current.data) >= chunkBytes)
}

// flush hands the chunk on.
func (c *chain) flush() error {
	full := c.current
	c.current = &chunk{first: full.first + uint64(full.count), data: make([]byte, 0, len(full.data)+len(full.data)/8)}
	return c.emit(&job{
		do:   func(ctx context.Context, s *scratch) { c.examine(ctx, full, s) },
		then: func(ctx context.Context) error { return c.grow(ctx, full) },
	})
}

// end hands on what is left, with the unfinished bundle.
func (c *chain) end() error {
	if c.current.count == 0 && len(c.current.ends) == 0 {
		return nil
	}
	return c.flush()
}

// follows holds a header against the one before it.
func (c *chain) follows(ctx context.Context, end *commitEnd, seq uint64) error {
	h := end.header
	switch {
	case h.Origin != c.origin:
		return broken("it is a commit of the log %s", h.Origin)
	case h.Seq != seq:
		return broken("it says that it is commit %d", h.Seq)
	case seq == 0:
		if !c.trusts(h.VKey) {
			return c.finding(Failure, "locked/"+c.origin+"/"+ledger.CommitKey(0), "names the key "+h.VKey+", which is not the one that is trusted for this log")
		}
		return nil
	case h.First != c.last.header.Size:
		return broken("it begins at leaf %d, commit %d ended at %d", h.First, seq-1, c.last.header.Size)
	}
	object := "locked/" + c.origin + "/" + ledger.CommitKey(seq)
	before := c.last.header
	if h.Prev != c.last.hash {
		// One of the two was changed. Whoever comes after them says which.
		earlier := "locked/" + c.origin + "/" + ledger.CommitKey(seq-1)
		blamed, detail := object, fmt.Sprintf("its prev is %s, commit %d has the hash %s", h.Prev, seq-1, c.last.hash)
		switch c.nextSays(ctx, seq+1) {
		case end.hash:
			blamed, detail = earlier, fmt.Sprintf("its header has the hash %s, commit %d says %s", c.last.hash, seq, h.Prev)
		case "":
			detail += ": this one or " + earlier + " was changed"
		}
		if err := c.finding(Failure, blamed, detail); err != nil {
			return err
		}
	}
	if h.Time < before.Time {
		if err := c.finding(Failure, object, fmt.Sprintf("is dated %d, before commit %d (%d)", h.Time, seq-1, before.Time)); err != nil {
			return err
		}
	}
	switch {
	case before.MovedTo != "" && h.Store != before.MovedTo:
		return c.finding(Failure, object, fmt.Sprintf("was written in store %s, commit %d moved the log to %s", h.Store, seq-1, before.MovedTo))
	case before.MovedTo == "" && h.Store != before.Store:
		return c.finding(Note, object, fmt.Sprintf("was written in store %s, the one before in %s: the log was adopted there", h.Store, before.Store))
	}
	return nil
}

// nextSays is the prev of a commit, "" if it cannot be had.
func (c *chain) nextSays(ctx context.Context, seq uint64) string {
	object, err := c.cell.Locked.Read(ctx, c.origin+"/"+ledger.CommitKey(seq), nil, maxCommit)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(object, []byte("\n"))
	h, err := ledger.ParseHeader(line)
	if err != nil {
		return ""
	}
	return h.Prev
}

// grow adds a chunk to the tree, in order, and checks what stands at the end of each commit.
func (l *logAudit) grow(ctx context.Context, c *chunk) error {
	if l.isBroken {
		return nil
	}
	l.waiting = append(l.waiting, c.found...)
	if l.replay != nil {
		for rest := c.data; len(rest) > 0; {
			var raw []byte
			raw, rest, _ = nextLeaf(rest)
			l.entries = append(l.entries, raw)
		}
	}
	ends := c.ends
	here := func() error {
		for len(ends) > 0 && ends[0].header.Size == l.edge.size && !l.isBroken {
			if err := l.atEnd(ctx, &ends[0]); err != nil {
				return err
			}
			ends = ends[1:]
		}
		return nil
	}
	if err := here(); err != nil {
		return err
	}
	for done := 0; done < c.count && !l.isBroken; done += tile.Width {
		have := min(tile.Width, c.count-done)
		next := l.edge.size + uint64(have)
		if have == tile.Width && (len(ends) == 0 || ends[0].header.Size >= next) {
			l.edge.push(tile.Height, c.tops[done/tile.Width])
			l.count(c, done, have)
		} else {
			for i := done; i < done+have; i++ {
				l.edge.push(0, ledger.Hash(c.hashes[i*tile.HashSize:][:tile.HashSize]))
				l.count(c, i, 1)
				if err := here(); err != nil {
					return err
				}
			}
		}
		if have == tile.Width {
			l.raise(ctx, 1, c.tops[done/tile.Width])
		}
		if err := here(); err != nil {
			return err
		}
	}
	if l.Progress != nil {
		l.Progress(Progress{Origin: l.origin, Leaves: l.edge.size, Total: max(l.mustHave, l.edge.size)})
	}
	return nil
}

// settle reports what waited for the root of this size.
func (l *logAudit) settle(size uint64) error {
	var later []pending
	for _, p := range l.waiting {
		if p.upTo > size {
			later = append(later, p)
		} else if err := l.find(p.Kind, p.Object, "%s", p.Detail); err != nil {
			return err
		}
	}
	l.waiting = later
	return nil
}

// atEnd checks what holds when a commit has ended: its root, the archived checkpoint of its size, the batch entry.
func (l *logAudit) atEnd(ctx context.Context, end *commitEnd) error {
	h := end.header
	root := l.edge.root()
	if got := ledger.FormatHash(root); got != h.Root {
		l.isBroken = true
		if err := l.find(Failure, "locked/"+l.origin+"/"+ledger.CommitKey(h.Seq), "says root %s at size %d, the leaves give %s", h.Root, h.Size, got); err != nil {
			return err
		}
		return l.find(Unverified, l.origin, "nothing after commit %d could be held against the leaves", h.Seq)
	}
	l.commits = h.Seq
	l.log.Commits++
	if err := l.settle(h.Size); err != nil {
		return err
	}
	if l.replay != nil {
		if err := l.replayEntries(ctx); err != nil {
			return err
		}
	}
	if err := l.archivesUpTo(ctx, h.Size, root); err != nil {
		return err
	}
	return l.boundBy(end, root)
}
