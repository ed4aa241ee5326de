package audit

import (
	"context"
	"math"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// logAudit is the audit of one log.
type logAudit struct {
	*auditor
	cell        Cell
	origin      string
	control     bool
	policies    []ledger.Policy // each must be met
	vkeys       []string        // keys that commit 0 may name
	inv         *inventory
	mustHave    uint64 // size up to which tiles must be there
	fromBundles bool   // leaves come from the open store's bundles, not from commits
	hasControl  bool   // the control log was audited

	// Of the one goroutine that goes through the log in order.
	edge     roots
	levels   [][]byte // hashes of the unfinished tiles, by level; 0 is not used
	commits  uint64   // sequence number of the newest one
	waiting  []pending
	isBroken bool
	own      scratch
	log      Log
	lax      uint64          // archived checkpoints that do not meet the quorum
	archive  int             // of the inventory's archives, the next
	names    map[string]bool // payloads that commits name

	// Of an events log.
	batches []boundBatch // by commit
	since   sums         // since the last batch entry
	// Of a control log.
	entries     [][]byte // read and not replayed yet
	entry       uint64   // index of the first of these
	replay      *custody.Replay
	replayed    bool // without a violation of integrity
	bound       map[string][]boundBatch
	attachments map[string]bool // that entries name

	tiles, payloadsRead, records atomic.Uint64
}

func (l *logAudit) findAll(list []Finding) error {
	for _, f := range list {
		if err := l.find(f.Kind, f.Object, "%s", f.Detail); err != nil {
			return err
		}
	}
	return nil
}

func (l *logAudit) trusts(vkey string) bool {
	for _, k := range l.vkeys {
		if k == vkey {
			return true
		}
	}
	return false
}

// takeVKeys takes the keys of this log from its policies.
func (l *logAudit) takeVKeys() {
	for _, p := range l.policies {
		for _, log := range p.Logs {
			if v, err := note.NewVerifier(log.VKey); err == nil && v.Name() == l.origin {
				l.vkeys = append(l.vkeys, log.VKey)
			}
		}
	}
}

// conclude adds what is known of the log to the report.
func (l *logAudit) conclude() {
	l.log.Leaves, l.log.Root = l.edge.size, ledger.FormatHash(l.edge.root())
	l.log.Tiles, l.log.Payloads, l.log.Records = l.tiles.Load(), l.payloadsRead.Load(), l.records.Load()
	l.report.Logs = append(l.report.Logs, l.log)
}

// audit checks one log, whose stores can be listed.
func (l *logAudit) audit(ctx context.Context) (err error) {
	l.log.Origin, l.names = l.origin, make(map[string]bool)
	l.takeVKeys()
	defer l.conclude()
	if l.inv, err = l.takeInventory(ctx, l.cell, l.origin); err != nil {
		return err
	}
	if !l.control {
		for _, name := range l.inv.attachments {
			if err := l.noPlace("locked/" + l.origin + "/" + ledger.AttachmentPrefix + name); err != nil {
				return err
			}
		}
	}
	l.mustHave = l.inv.published()
	if err := run(ctx, l.Workers, l.produce); err != nil {
		return err
	}
	if l.isBroken {
		return nil
	}
	for _, check := range []func(context.Context) error{
		func(ctx context.Context) error { return l.archivesUpTo(ctx, math.MaxUint64, l.edge.root()) },
		l.unfinished,
		func(context.Context) error { return l.partials() },
		l.checkpoint,
		func(context.Context) error { return l.unbound() },
		l.orphans,
	} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// orphans lists payloads that no commit names, and attachments that no entry names. They are no failure: a writer that
// died before its commit leaves the ones, a component that died before its entry the others.
func (l *logAudit) orphans(ctx context.Context) error {
	for _, name := range l.inv.payloads {
		if !l.names[name] {
			if err := l.find(Note, "locked/"+l.origin+"/"+ledger.PayloadPrefix+name, "is an orphan: no commit names it"); err != nil {
				return err
			}
		}
	}
	return l.orphanAttachments(ctx)
}
