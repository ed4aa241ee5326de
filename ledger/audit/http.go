package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
	"domicile.dev/domicile/ledger/tile"
)

// site is a log below a URL, as tlog-tiles lays it out; commits and payloads lie beside the tiles. It cannot be listed.
type site struct {
	client *http.Client
	base   string // without a slash at its end
	origin string // stripped off keys
}

// Read implements Objects.
func (s *site) Read(ctx context.Context, key string, buf []byte, limit int64) ([]byte, error) {
	key = strings.TrimPrefix(key, s.origin+"/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/"+key, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s: %w", answer.Status, fs.ErrNotExist)
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s: %w", answer.Status, ErrForbidden)
	default:
		return nil, fmt.Errorf("the server answers %s", answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w (%d bytes)", errTooLarge, limit)
	}
	return data, nil
}

// List implements Objects: it lists nothing, since HTTP cannot.
func (s *site) List(context.Context, string) iter.Seq2[Object, error] {
	return func(func(Object, error) bool) {}
}

// AuditURL verifies one log over HTTP at the size of its checkpoint, as far as the server lets it: with commits as Audit
// does, without them every bundle and tile against the signed root, without bundles every tile. What lies on the server
// besides is not seen. Anything less than the commits is inconclusive.
func AuditURL(ctx context.Context, client *http.Client, base string, opts Options) (*Report, error) {
	if opts.Workers <= 0 {
		opts.Workers = 8 // they wait for the network more than they work
	}
	a := newAuditor(opts)
	return a.finish(ctx, a.auditSite(ctx, &site{client: client, base: strings.TrimRight(base, "/")}))
}

func (a *auditor) auditSite(ctx context.Context, s *site) error {
	signed, err := s.Read(ctx, ledger.CheckpointKey, nil, ledger.MaxNoteBytes)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", s.base, ledger.CheckpointKey, err)
	}
	c, err := ledger.ParseCheckpoint(signed, "")
	if err != nil {
		return a.find(Failure, s.base+"/"+ledger.CheckpointKey, "%v", err)
	}
	s.origin = c.Origin
	l := &logAudit{auditor: a, cell: Cell{s, s}, origin: c.Origin, policies: a.policiesOf(c.Origin), mustHave: c.Size}
	if len(l.policies) == 0 {
		return a.find(Unverified, c.Origin, "no policy for this log was given, so nothing says whose signature to believe")
	}
	opened, err := l.open(signed)
	if err == nil && !opened.Satisfied {
		err = ledger.ErrQuorum
	}
	if err != nil {
		return a.find(Failure, s.base+"/"+ledger.CheckpointKey, "%v", err)
	}
	l.log = Log{Origin: c.Origin, Published: c.Size, Checkpoints: 1}
	for _, w := range opened.Cosignatures {
		l.log.Witnesses = append(l.log.Witnesses, w.Witness)
	}
	l.takeVKeys()
	l.inv = &inventory{tiles: slices.Collect(tile.All(c.Size))}
	slices.SortFunc(l.inv.tiles, compareTiles)
	err = l.readSite(ctx, c)
	l.conclude()
	return err
}

// readSite finds out how much may be read, and checks that.
func (l *logAudit) readSite(ctx context.Context, c ledger.Checkpoint) error {
	o, err := ledger.ParseOrigin(l.origin)
	_, commitErr := l.cell.Locked.Read(ctx, l.origin+"/"+ledger.CommitKey(0), nil, maxCommit)
	if err == nil && commitErr == nil {
		return l.readSiteCommits(ctx, o, c)
	}
	reason := "the log is not one of domicile's"
	if err == nil {
		reason = commitErr.Error()
	}
	if err := l.find(Unverified, l.origin, "commits, payloads and archived checkpoints were not checked: %s", reason); err != nil {
		return err
	}
	level := tile.Entries
	if c.Size > 0 {
		first := tile.Tile{Level: tile.Entries, Width: int(min(c.Size, tile.Width))}
		if _, err := l.cell.Open.Read(ctx, l.origin+"/"+first.Path(), nil, maxTile); errors.Is(err, ErrForbidden) {
			level = 0
			if err := l.find(Unverified, l.origin, "entry bundles were not checked: %v", err); err != nil {
				return err
			}
		}
	}
	l.inv.tiles = slices.DeleteFunc(l.inv.tiles, func(t tile.Tile) bool { return t.Level <= level })
	l.fromBundles = true
	l.control = true // its leaves are not held to a form
	if err := run(ctx, l.Workers, func(ctx context.Context, emit func(*job) error) error {
		return l.fetch(ctx, level, c, emit)
	}); err != nil {
		return err
	}
	if l.isBroken {
		return nil
	}
	if root := l.edge.root(); root != c.Root {
		return l.find(Failure, l.origin, "the checkpoint says root %s at size %d, what the server holds gives %s", ledger.FormatHash(c.Root), c.Size, ledger.FormatHash(root))
	}
	if err := l.settle(c.Size); err != nil {
		return err
	}
	return l.unfinished(ctx)
}

func (l *logAudit) readSiteCommits(ctx context.Context, o ledger.Origin, c ledger.Checkpoint) error {
	l.names = make(map[string]bool)
	if l.control = o.Control; l.control {
		l.replay, l.replayed = custody.NewReplay(l.origin), true
		l.bound, l.attachments = make(map[string][]boundBatch), make(map[string]bool)
	}
	l.inv.archives = []uint64{c.Size}
	if err := run(ctx, l.Workers, l.produce); err != nil || l.isBroken {
		return err
	}
	if err := l.archivesUpTo(ctx, ^uint64(0), l.edge.root()); err != nil {
		return err
	}
	return l.unfinished(ctx)
}

// fetch emits jobs that read the leaves, or their hashes, from the open store itself.
func (l *logAudit) fetch(ctx context.Context, level int, c ledger.Checkpoint, emit func(*job) error) error {
	for first := uint64(0); first < c.Size; first += chunkLeaves {
		part := &chunk{first: first, count: int(min(chunkLeaves, c.Size-first))}
		var failed error
		err := emit(&job{
			do: func(ctx context.Context, s *scratch) {
				if failed = l.fetchChunk(ctx, level, part); failed == nil && level == tile.Entries {
					l.examine(ctx, part, s)
				}
			},
			then: func(ctx context.Context) error {
				if failed != nil && !l.isBroken {
					l.isBroken = true
					if err := l.find(Failure, l.origin, "%v", failed); err != nil {
						return err
					}
					return l.find(Unverified, l.origin, "nothing from leaf %d on could be checked", part.first)
				}
				return l.grow(ctx, part)
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *logAudit) fetchChunk(ctx context.Context, level int, c *chunk) error {
	for done := 0; done < c.count; done += tile.Width {
		t := tile.Tile{Level: level, Index: (c.first + uint64(done)) / tile.Width, Width: min(tile.Width, c.count-done)}
		data, err := l.cell.Open.Read(ctx, l.origin+"/"+t.Path(), nil, maxTile)
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		l.tiles.Add(1)
		if level == tile.Entries {
			if _, err := tile.ParseBundle(data, t.Width); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
			c.data = append(c.data, data...)
			continue
		}
		if len(data) != t.Width*tile.HashSize {
			return fmt.Errorf("%s: is %d bytes long, expected %d", t, len(data), t.Width*tile.HashSize)
		}
		c.hashes = append(c.hashes, data...)
		if t.Width == tile.Width {
			c.tops = append(c.tops, perfectRoot(data))
		}
	}
	return nil
}
