package audit

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/custody"
)

// A Cell is the two stores that hold the logs of a cell.
type Cell struct {
	Locked, Open Objects
}

// Audit verifies all logs of a cell: the control log first, whose entries give the keys of the events logs and say what
// their trees were, then these. Without a policy for the control log, only the logs that policies list are verified,
// and the result is inconclusive.
//
// The error says that the audit could not be done; what is wrong with the logs is in the report.
func Audit(ctx context.Context, cell Cell, opts Options) (*Report, error) {
	a := newAuditor(opts)
	return a.finish(ctx, a.auditCell(ctx, cell))
}

func (a *auditor) auditCell(ctx context.Context, cell Cell) error {
	origins, err := a.logsOf(ctx, cell)
	if err != nil {
		return err
	}
	if len(origins) == 0 {
		return a.find(Failure, "locked/", "there is no log")
	}
	audited := make(map[string]bool)
	for _, origin := range origins {
		o, err := ledger.ParseOrigin(origin)
		if err != nil || !o.Control {
			continue
		}
		policies := a.policiesOf(origin)
		if len(policies) == 0 {
			if err := a.find(Unverified, origin, "no policy for it was given, so nothing says whose signature to believe"); err != nil {
				return err
			}
			continue
		}
		control := &logAudit{auditor: a, cell: cell, origin: origin, control: true, policies: policies,
			replay: custody.NewReplay(origin), replayed: true, bound: make(map[string][]boundBatch), attachments: make(map[string]bool)}
		if err := control.audit(ctx); err != nil {
			return err
		}
		audited[origin] = true
		for _, events := range control.eventsLogs() {
			audited[events] = true
			if err := a.auditEvents(ctx, cell, events, control); err != nil {
				return err
			}
		}
	}
	for _, origin := range origins {
		if audited[origin] {
			continue
		}
		o, _ := ledger.ParseOrigin(origin)
		if control := ledger.ControlOrigin(o.Ledger, o.Jurisdiction); audited[control] && !o.Control {
			if err := a.find(Failure, "locked/"+origin, "has no place in the cell: its control log does not know this log"); err != nil {
				return err
			}
			continue
		}
		if err := a.auditEvents(ctx, cell, origin, nil); err != nil {
			return err
		}
	}
	return nil
}

// auditEvents audits an events log; control is nil where the control log was not audited.
func (a *auditor) auditEvents(ctx context.Context, cell Cell, origin string, control *logAudit) error {
	l := &logAudit{auditor: a, cell: cell, origin: origin, policies: a.policiesOf(origin)}
	if o, err := ledger.ParseOrigin(origin); err != nil || o.Control {
		return nil // said before
	}
	if control != nil {
		l.hasControl = true
		l.batches = control.bound[origin]
		l.since = sums{classes: map[string]ledger.BatchClass{}, regions: map[string]uint64{}}
		if p, ok := control.trustOf(origin); ok {
			l.policies = append([]ledger.Policy{p}, l.policies...)
		}
	}
	if len(l.policies) == 0 {
		return a.find(Unverified, origin, "no policy for it or for its control log was given, so nothing says whose signature to believe")
	}
	return l.audit(ctx)
}

// logsOf lists the logs of a cell, and finds what lies beside them.
func (a *auditor) logsOf(ctx context.Context, cell Cell) (origins []string, err error) {
	seen := make(map[string]bool)
	for _, s := range []struct {
		name    string
		from    Objects
		folders []string // of a log; what they hold is for the inventory to judge
	}{
		{"locked/", cell.Locked, []string{ledger.CommitPrefix, ledger.PayloadPrefix, ledger.CheckpointPrefix, ledger.AttachmentPrefix}},
		{"open/", cell.Open, []string{""}},
	} {
		for object, err := range s.from.List(ctx, "") {
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", s.name, err)
			}
			origin, ok := originOf(object.Key)
			if !ok || !slices.ContainsFunc(s.folders, func(f string) bool { return strings.HasPrefix(object.Key[len(origin)+1:], f) }) {
				if err := a.noPlace(s.name + object.Key); err != nil {
					return nil, err
				}
				continue
			}
			if !seen[origin] {
				seen[origin] = true
				origins = append(origins, origin)
			}
		}
	}
	return origins, nil
}

// originOf cuts the origin off an object key.
func originOf(key string) (string, bool) {
	parts := strings.SplitN(key, "/", 5)
	for _, n := range []int{3, 4} {
		if len(parts) > n {
			if origin := path.Join(parts[:n]...); validOrigin(origin) {
				return origin, true
			}
		}
	}
	return "", false
}

func validOrigin(s string) bool {
	_, err := ledger.ParseOrigin(s)
	return err == nil
}
