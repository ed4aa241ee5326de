package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"domicile.dev/domicile/ledger"
)

// archivesUpTo checks the archived checkpoints up to a size that commits have reached; root is that of size itself.
func (l *logAudit) archivesUpTo(ctx context.Context, size uint64, root ledger.Hash) error {
	for ; l.archive < len(l.inv.archives) && l.inv.archives[l.archive] <= size; l.archive++ {
		at := l.inv.archives[l.archive]
		key := l.origin + "/" + ledger.ArchiveKey(at)
		object := "locked/" + key
		if at != size {
			var err error
			if at > l.edge.size {
				err = l.find(Failure, "locked/"+l.origin+"/"+ledger.CommitKey(l.commits+1), "is missing: the commits end at %d with %d leaves, %s is signed for more", l.commits, l.edge.size, object)
			} else {
				err = l.find(Failure, object, "no commit ends at that size")
			}
			if err != nil {
				return err
			}
			continue
		}
		signed, err := l.cell.Locked.Read(ctx, key, nil, ledger.MaxNoteBytes)
		if err != nil {
			if err := l.find(Failure, object, "%v", err); err != nil {
				return err
			}
			continue
		}
		opened, err := l.open(signed)
		if err == nil && opened.Size != at {
			err = fmt.Errorf("is the checkpoint of size %d", opened.Size)
		}
		if err == nil && opened.Root != root {
			err = fmt.Errorf("says root %s, the leaves give %s", ledger.FormatHash(opened.Root), ledger.FormatHash(root))
		}
		if err != nil {
			if err := l.find(Failure, object, "%v", err); err != nil {
				return err
			}
			continue
		}
		l.log.Checkpoints++
		if !opened.Satisfied {
			l.lax++
		}
	}
	return nil
}

// open verifies a signed checkpoint under every policy for the log. Satisfied means that all quorums are met. A
// signature by a key that none of the policies knows is an error: nobody could tell a changed byte in it.
func (l *logAudit) open(signed []byte) (*ledger.Cosigned, error) {
	var all *ledger.Cosigned
	for i := range l.policies {
		opened, err := l.policies[i].Open(signed, l.origin)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = opened
			continue
		}
		all.Satisfied = all.Satisfied && opened.Satisfied
		all.Unknown = slices.DeleteFunc(all.Unknown, func(name string) bool { return !slices.Contains(opened.Unknown, name) })
		all.Cosignatures = append(all.Cosignatures, opened.Cosignatures...)
	}
	if all == nil {
		return nil, ledger.ErrUnknownLog
	}
	if len(all.Unknown) > 0 {
		return nil, fmt.Errorf("carries a signature of %q, a key that no policy given knows", all.Unknown[0])
	}
	return all, nil
}

// checkpoint checks the newest checkpoint against the archive.
func (l *logAudit) checkpoint(ctx context.Context) error {
	key := l.origin + "/" + ledger.CheckpointKey
	object := "open/" + key
	signed, err := l.cell.Open.Read(ctx, key, nil, ledger.MaxNoteBytes)
	if errors.Is(err, fs.ErrNotExist) {
		if len(l.inv.archives) == 0 {
			return l.find(Note, object, "is missing: the log was never published")
		}
		return l.find(Failure, object, "is missing: the log was published at size %d", l.mustHave)
	}
	if err != nil {
		return l.find(Failure, object, "%v", err)
	}
	opened, err := l.open(signed)
	if err != nil {
		return l.find(Failure, object, "%v", err)
	}
	l.log.Published = opened.Size
	for _, c := range opened.Cosignatures {
		if !slices.Contains(l.log.Witnesses, c.Witness) {
			l.log.Witnesses = append(l.log.Witnesses, c.Witness)
		}
	}
	if !opened.Satisfied {
		if err := l.find(Failure, object, "%v: it asks for witnesses that did not cosign", ledger.ErrQuorum); err != nil {
			return err
		}
	}
	// The log may have been published again since it was listed; then its archived note is newer than the listing, and
	// the next audit looks at it.
	if opened.Size > l.mustHave {
		archived, err := l.cell.Locked.Read(ctx, l.origin+"/"+ledger.ArchiveKey(opened.Size), nil, ledger.MaxNoteBytes)
		if err != nil {
			return l.find(Failure, "locked/"+l.origin+"/"+ledger.ArchiveKey(opened.Size), "is missing: %s says that size (%v)", object, err)
		}
		if note, err := l.open(archived); err != nil || note.Checkpoint != opened.Checkpoint {
			return l.find(Failure, object, "says root %s at size %d, its archived note says otherwise", ledger.FormatHash(opened.Root), opened.Size)
		}
		return nil
	}
	if !l.inv.archived(opened.Size) {
		return l.find(Failure, "locked/"+l.origin+"/"+ledger.ArchiveKey(opened.Size), "is missing: %s says that size", object)
	}
	archived, err := l.cell.Locked.Read(ctx, l.origin+"/"+ledger.ArchiveKey(opened.Size), nil, ledger.MaxNoteBytes)
	if err != nil {
		return nil // found before
	}
	// The archived note was held against the leaves.
	if note, err := l.open(archived); err == nil && note.Checkpoint != opened.Checkpoint {
		return l.find(Failure, object, "says root %s at size %d, its archived note says %s", ledger.FormatHash(opened.Root), opened.Size, ledger.FormatHash(note.Root))
	}
	if opened.Size < l.mustHave {
		return l.find(Failure, object, "says size %d, the log was published at %d: it was turned back, or a publication was interrupted and the writer has not run since", opened.Size, l.mustHave)
	}
	if l.lax > 0 {
		return l.find(Note, "locked/"+l.origin+"/"+ledger.CheckpointPrefix, "%d of %d archived checkpoints are older than the policy's quorum", l.lax, l.log.Checkpoints)
	}
	return nil
}
