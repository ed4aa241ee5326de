package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// boundBatch is a batch entry with its index in the control log.
type boundBatch struct {
	index uint64
	entry *ledger.BatchEntry
}

// sums is what a batch entry says of its range, as the commits and leaves of the range give it.
type sums struct {
	first            uint64
	rules            string
	mixed            bool // more than one set of rules
	duplicates, hits uint64
	classes          map[string]ledger.BatchClass
	regions          map[string]uint64
}

var attachmentKey = regexp.MustCompile(`attachment/[0-9a-f]{64}`)

// replayEntries applies the control entries up to the size whose root was checked.
func (l *logAudit) replayEntries(ctx context.Context) error {
	n := l.edge.size - l.entry
	for _, raw := range l.entries[:n] {
		if err := l.replayEntry(ctx, l.entry, raw); err != nil {
			return err
		}
		l.entry++
	}
	l.entries = l.entries[n:]
	return nil
}

func (l *logAudit) replayEntry(ctx context.Context, index uint64, raw []byte) error {
	for _, key := range attachmentKey.FindAllString(string(raw), -1) {
		name := strings.TrimPrefix(key, ledger.AttachmentPrefix)
		if l.attachments[name] {
			continue
		}
		l.attachments[name] = true
		document, err := l.cell.Locked.Read(ctx, l.origin+"/"+key, nil, maxPayload)
		if err == nil {
			if sum := fmt.Sprintf("%x", sha256.Sum256(document)); sum != name {
				err = fmt.Errorf("has the hash %s, its name says otherwise", sum)
			}
		}
		if err != nil {
			if err := l.find(Failure, "locked/"+l.origin+"/"+key, "entry %d names it: %v", index, err); err != nil {
				return err
			}
			continue
		}
		l.log.Attachments++
		if strings.HasPrefix(string(raw), `{"v":1,"type":"policy"`) {
			if err := l.replay.Supply(document); err != nil {
				if err := l.find(Failure, "locked/"+l.origin+"/"+key, "entry %d puts it in force: %v", index, err); err != nil {
					return err
				}
			}
		}
	}
	if !l.replayed {
		return nil
	}
	object := fmt.Sprintf("%s entry %d", l.origin, index)
	if err := l.replay.Apply(index, raw); err != nil {
		var v *custody.Violation
		if !errors.As(err, &v) || v.Check.Integrity() {
			l.replayed = false
		}
		if err := l.find(Failure, object, "%v", err); err != nil {
			return err
		}
		if !l.replayed {
			return l.find(Unverified, l.origin, "entries after %d were not replayed", index)
		}
	}
	if !strings.HasPrefix(string(raw), `{"v":1,"type":"batch"`) {
		return nil
	}
	if e, err := ledger.ParseEntry(raw); err == nil {
		if b, ok := e.(*ledger.BatchEntry); ok {
			l.bound[b.Origin] = append(l.bound[b.Origin], boundBatch{index, b})
		}
	}
	return nil
}

// orphanAttachments lists the attachments that no entry names, and checks them by their names.
func (l *logAudit) orphanAttachments(ctx context.Context) error {
	if !l.control {
		return nil
	}
	for _, name := range l.inv.attachments {
		if l.attachments[name] {
			continue
		}
		key := l.origin + "/" + ledger.AttachmentPrefix + name
		data, err := l.cell.Locked.Read(ctx, key, nil, maxPayload)
		if err == nil {
			if sum := fmt.Sprintf("%x", sha256.Sum256(data)); sum != name {
				err = fmt.Errorf("has the hash %s, its name says otherwise", sum)
			}
		}
		if err != nil {
			err = l.find(Failure, "locked/"+key, "%v", err)
		} else {
			err = l.find(Note, "locked/"+key, "is an orphan: no control entry names it")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// trustOf is the policy for an events log that the control log's policies and entries give: its keys as announced, and
// the witnesses that the auditor knows. Quorums are asked of the control log, which binds the events logs.
func (l *logAudit) trustOf(origin string) (ledger.Policy, bool) {
	p := ledger.Policy{Quorum: "none"}
	for _, k := range l.replay.Keys(origin) {
		p.Logs = append(p.Logs, ledger.TrustedLog{VKey: k.VKey})
	}
	if len(p.Logs) == 0 {
		if _, document, ok := l.replay.NewestPolicy(); ok {
			if vkey, ok := document.Log(origin); ok {
				p.Logs = append(p.Logs, ledger.TrustedLog{VKey: vkey})
			}
		}
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for i := range l.policies {
		for _, w := range l.policies[i].Witnesses {
			if !names[w.Name] && !keys[w.VKey] {
				names[w.Name], keys[w.VKey] = true, true
				p.Witnesses = append(p.Witnesses, w)
			}
		}
	}
	return p, len(p.Logs) > 0
}

// eventsLogs lists the events logs that the control log knows: from key entries, the newest policy and batch entries.
func (l *logAudit) eventsLogs() []string {
	origins := make(map[string]bool)
	for _, o := range l.replay.KeyOrigins() {
		origins[o] = true
	}
	if _, document, ok := l.replay.NewestPolicy(); ok {
		for _, log := range document.Logs {
			origins[log.Origin] = true
		}
	}
	for o := range l.bound {
		origins[o] = true
	}
	delete(origins, l.origin)
	return slices.Sorted(maps.Keys(origins))
}

// count takes note of the regions of some leaves of a chunk.
func (l *logAudit) count(c *chunk, from, n int) {
	if len(l.batches) == 0 {
		return
	}
	for _, region := range c.regions[from : from+n] {
		l.since.regions[region]++
	}
}

// boundBy holds the batch entry of a commit against the commits and leaves of its range.
func (l *logAudit) boundBy(end *commitEnd, root ledger.Hash) error {
	if len(l.batches) == 0 {
		return nil
	}
	h, s := end.header, &l.since
	if s.rules != "" && s.rules != h.Rules {
		s.mixed = true
	}
	s.rules = h.Rules
	s.duplicates += h.Duplicates
	s.hits += h.Hits
	for _, p := range h.Payloads {
		class := s.classes[p.Class]
		class.Class, class.Objects, class.Records = p.Class, class.Objects+1, class.Records+p.Records
		s.classes[p.Class] = class
	}
	if l.batches[0].entry.CommitSeq != h.Seq {
		return nil
	}
	b := l.batches[0]
	l.batches = l.batches[1:]
	if err := l.checkBatch(b, end, root); err != nil {
		return err
	}
	l.log.Batches++
	l.log.Bound = b.entry.Size
	*s = sums{first: h.Size, classes: map[string]ledger.BatchClass{}, regions: map[string]uint64{}}
	return nil
}

func (l *logAudit) checkBatch(b boundBatch, end *commitEnd, root ledger.Hash) error {
	e, h, s := b.entry, end.header, &l.since
	problem := ""
	disagree := func(what string, said, is any) {
		if problem == "" && said != is {
			problem = fmt.Sprintf("says %s %v, the commits up to %d give %v", what, said, h.Seq, is)
		}
	}
	disagree("commit_hash", fmt.Sprintf("%x", e.CommitHash), end.hash)
	if problem != "" {
		problem += fmt.Sprintf(": the entry lies, or locked/%s/%s was changed", l.origin, ledger.CommitKey(h.Seq))
	}
	disagree("size", e.Size, h.Size)
	disagree("root", ledger.FormatHash(e.Root), ledger.FormatHash(root))
	disagree("first", e.First, s.first)
	disagree("rules", fmt.Sprintf("%x", e.Rules), h.Rules)
	disagree("duplicates", e.Duplicates, s.duplicates)
	disagree("hits", e.Hits, s.hits)
	disagree("a number of classes", len(e.Classes), len(s.classes))
	for _, c := range e.Classes {
		disagree("objects of class "+c.Class, c.Objects, s.classes[c.Class].Objects)
		disagree("records of class "+c.Class, c.Records, s.classes[c.Class].Records)
	}
	disagree("a number of regions", len(e.LeafRegions), len(s.regions))
	for _, r := range e.LeafRegions {
		disagree("leaves of region "+r.Region, r.Count, s.regions[r.Region])
	}
	if problem == "" && s.mixed {
		problem = "spans two sets of movement rules"
	}
	if problem == "" && !l.inv.archived(e.Size) {
		return l.find(Failure, "locked/"+l.origin+"/"+ledger.ArchiveKey(e.Size), "is missing: control entry %d binds that size", b.index)
	}
	if problem != "" {
		return l.find(Failure, fmt.Sprintf("%s entry %d", l.controlOrigin(), b.index), "about %s: %s", l.origin, problem)
	}
	return nil
}

func (l *logAudit) controlOrigin() string {
	o, _ := ledger.ParseOrigin(l.origin)
	return ledger.ControlOrigin(o.Ledger, o.Jurisdiction)
}

// unbound finds batch entries that no commit answers to, and says how many leaves wait for one.
func (l *logAudit) unbound() error {
	for _, b := range l.batches {
		if err := l.find(Failure, fmt.Sprintf("%s entry %d", l.controlOrigin(), b.index), "binds commit %d of %s, whose commits end at %d: commits are missing",
			b.entry.CommitSeq, l.origin, l.commits); err != nil {
			return err
		}
	}
	if !l.control && l.hasControl && l.log.Bound < l.edge.size {
		return l.find(Note, l.origin, "%d leaves are not bound into the control log yet", l.edge.size-l.log.Bound)
	}
	return nil
}
