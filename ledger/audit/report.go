package audit

import (
	"fmt"
	"io"
	"strings"

	"domicile.dev/domicile/ledger"
)

var findingWords = map[Kind]string{
	Failure:    "FAILED",
	Unverified: "not checked",
	Note:       "note",
}

// Print writes the report in words for a reader who is no cryptographer. where is what was audited; all says that the
// audit went on after the first failure.
func (r *Report) Print(w io.Writer, where string, all bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", ledger.Printable(where), strings.ToUpper(string(r.Result)))
	for _, l := range r.Logs {
		fmt.Fprintf(&b, "\n%s\n", ledger.Printable(l.Origin))
		row := func(name, format string, args ...any) {
			fmt.Fprintf(&b, "  %-12s %s\n", name, ledger.Printable(fmt.Sprintf(format, args...)))
		}
		row("Leaves", "%d in %d commits, root %s", l.Leaves, l.Commits, l.Root)
		row("Published", "%d leaves; %d archived checkpoints, %d tiles and bundles hold against the commits", l.Published, l.Checkpoints, l.Tiles)
		if len(l.Witnesses) > 0 {
			row("Witnesses", "%s", strings.Join(l.Witnesses, ", "))
		}
		switch {
		case l.Records > 0:
			row("Payloads", "%d, all %d records opened and held against their leaves", l.Payloads, l.Records)
		case l.Payloads > 0:
			row("Payloads", "%d, by their hashes (--keys checks their records)", l.Payloads)
		}
		if l.Batches > 0 {
			row("Bound", "%d leaves, by %d batch entries of the control log", l.Bound, l.Batches)
		}
		if l.Attachments > 0 {
			row("Attachments", "%d", l.Attachments)
		}
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(&b)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "  %-12s %s\n  %-12s   %s\n", findingWords[f.Kind], ledger.Printable(f.Object), "", ledger.Printable(f.Detail))
	}
	fmt.Fprintln(&b)
	switch r.Result {
	case ledger.ResultVerified:
		fmt.Fprintln(&b, "Every object of these logs is what the commits and the trusted signatures say, and none is missing or surplus.")
	case ledger.ResultInconclusive:
		fmt.Fprintln(&b, "Nothing failed, but not everything could be checked: see above for what is needed.")
	default:
		fmt.Fprint(&b, "At least one object is not what it was when it was committed. Keep a copy as evidence before anything is repaired.\n")
		if !all {
			fmt.Fprintln(&b, "The audit ended at the first one; --all lists every one.")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
