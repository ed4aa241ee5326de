// Package audit verifies whole logs: every object of a cell's locked and open stores against the commits, the commits
// against each other, and everything that is signed against what the auditor trusts.
//
// In comes something that reads objects (a directory, a URL) and trust policies; out comes a Report that names each
// object which is not what it must be, and in what it differs. Nothing is written, nothing is believed that was not
// computed: roots come from leaves, tiles from roots, and the keys of events logs from the control log, whose own key
// is the auditor's.
//
// A log is read once, in one stream: commits in order, leaves hashed by several workers, tiles compared with what the
// leaves give. Memory is bounded by the size of one commit and some compact lists (24 bytes for each tile). A log that
// is written to meanwhile can be audited: what came after the audit began is left to the next one. After a crash of the
// audit there is nothing to clean up.
//
// What cannot be seen: an archived checkpoint that vanished, if its size is a multiple of 256, no batch entry names it
// and it is not the newest (nothing else remembers that this size was published); what the newest commit of a log says
// besides its range, root and payloads (the next commit, or a batch entry, binds its header); a commit without leaves
// that vanished from the end; a payload's content without its key.
package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/store"
)

// Options is what an audit needs besides the objects.
type Options struct {
	// Policies say whose signatures to believe. The control log's suffices for all logs of its cell.
	Policies []ledger.Policy

	// Keys opens payloads, so that every record is checked against its leaf. nil: payloads are checked by their hashes.
	Keys store.Keys

	// All goes on after a failure. Otherwise the first one ends the audit.
	All bool

	// Workers is how many goroutines hash and compare. 0 means one for each processor.
	Workers int

	// Progress is called now and then, from one goroutine at a time. nil is fine.
	Progress func(Progress)
}

// Progress is how far the audit of one log is.
type Progress struct {
	Origin string
	Leaves uint64 // checked so far
	Total  uint64 // published when the audit began; more may be committed
}

// Kind is what a finding means for the result.
type Kind string

// Kinds of findings.
const (
	Failure    Kind = "failure"    // something is not what it must be
	Unverified Kind = "unverified" // something could not be checked: the result is inconclusive at best
	Note       Kind = "note"       // worth knowing: orphans, interrupted publications
)

// A Finding is something about one object.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"` // "locked/<key>", "open/<key>", or an origin
	Detail string `json:"detail"`
}

// A Log is what was found out about one log.
type Log struct {
	Origin      string   `json:"origin"`
	Leaves      uint64   `json:"leaves"`
	Root        string   `json:"root,omitempty"` // of all leaves
	Commits     uint64   `json:"commits"`
	Published   uint64   `json:"published"` // size of the newest checkpoint
	Checkpoints uint64   `json:"checkpoints"`
	Tiles       uint64   `json:"tiles"` // and bundles
	Payloads    uint64   `json:"payloads"`
	Records     uint64   `json:"records"` // checked against their leaves
	Attachments uint64   `json:"attachments"`
	Batches     uint64   `json:"batches"` // batch entries about this log
	Bound       uint64   `json:"bound"`   // leaves that batch entries bind into the control log
	Witnesses   []string `json:"witnesses,omitempty"`
}

// Report is the outcome of an audit.
type Report struct {
	Result   ledger.Result `json:"result"`
	Logs     []Log         `json:"logs"`
	Findings []Finding     `json:"findings"`
}

// errStop ends an audit at the first failure.
var errStop = errors.New("audit stopped at the first failure")

// auditor collects what one audit finds.
type auditor struct {
	Options
	report Report
}

func newAuditor(opts Options) *auditor {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	return &auditor{Options: opts, report: Report{Logs: []Log{}, Findings: []Finding{}}}
}

// find adds a finding. It returns errStop where the audit ends with it.
func (a *auditor) find(kind Kind, object, format string, args ...any) error {
	a.report.Findings = append(a.report.Findings, Finding{kind, object, fmt.Sprintf(format, args...)})
	if kind == Failure && !a.All {
		return errStop
	}
	return nil
}

// finish computes the result. An error of err that is not errStop means that the audit could not be done.
func (a *auditor) finish(ctx context.Context, err error) (*Report, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // what failed, failed because of that
	}
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	r := &a.report
	r.Result = ledger.ResultVerified
	for _, f := range r.Findings {
		if f.Kind == Unverified && r.Result == ledger.ResultVerified {
			r.Result = ledger.ResultInconclusive
		}
		if f.Kind == Failure {
			r.Result = ledger.ResultFailed
		}
	}
	return r, nil
}

// policiesOf returns the policies that speak of a log.
func (o *Options) policiesOf(origin string) (list []ledger.Policy) {
	for i := range o.Policies {
		if o.Policies[i].Lists(origin) {
			list = append(list, o.Policies[i])
		}
	}
	return list
}
