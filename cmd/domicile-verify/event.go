package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"domicile.dev/domicile/ledger"
)

type eventCmd struct {
	Bundles []string `arg:"" name:"bundle" help:"Proof bundle, as domicile proof writes it; - for standard input."`
	Policy  []string `name:"policy" short:"p" placeholder:"FILE" sep:"none" help:"Trust policy of a log (c2sp.org/tlog-policy). The control log's suffices for a bundle with an anchor. Repeatable."`
	JSON    bool     `name:"json" help:"Print one JSON object per bundle."`
}

// Help is shown by event --help.
func (*eventCmd) Help() string {
	return `Get the policy file from the cell's operator once, over a channel that you trust, and keep it: it holds the keys
that decide. The bundle may come from anybody.

Example:
  domicile-verify event login.proof.json --policy eu-control.policy`
}

func (c *eventCmd) run(std streams) (int, error) {
	policies, err := readPolicies(c.Policy)
	if err != nil {
		return 0, err
	}
	worst := exitVerified
	for i, path := range c.Bundles {
		src, err := c.read(std, path)
		if err != nil {
			return 0, fmt.Errorf("bundle: %w", err)
		}
		verdict := ledger.VerifyBundle(src, policies)
		if c.JSON {
			err = printJSON(std.out, struct {
				Bundle string `json:"bundle"`
				*ledger.Verdict
			}{path, verdict})
		} else {
			if i > 0 {
				fmt.Fprintln(std.out)
			}
			err = printVerdict(std.out, path, verdict)
		}
		if err != nil {
			return 0, err
		}
		worst = worse(worst, exitCode(verdict.Result))
	}
	return worst, nil
}

func (c *eventCmd) read(std streams, path string) ([]byte, error) {
	if path == "-" {
		return readAll(std.in, "standard input", ledger.MaxProofBundleBytes)
	}
	return readFile(path, ledger.MaxProofBundleBytes)
}

// worse of two exit codes: a failure outweighs what is inconclusive.
func worse(a, b int) int {
	if a == exitFailed || b == exitFailed {
		return exitFailed
	}
	return max(a, b)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

var resultWords = map[ledger.Result]string{
	ledger.ResultVerified:     "VERIFIED",
	ledger.ResultFailed:       "FAILED",
	ledger.ResultInconclusive: "INCONCLUSIVE",
}

var statusWords = map[ledger.Status]string{
	ledger.Passed:     "ok",
	ledger.Failed:     "FAILED",
	ledger.NotChecked: "not checked",
}

// printVerdict prints a verdict for a reader who is no cryptographer.
func printVerdict(w io.Writer, name string, v *ledger.Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", ledger.Printable(name), resultWords[v.Result])
	if f := v.Facts; f != nil {
		heading := "What the bundle says"
		if v.Result != ledger.ResultVerified {
			heading += " (not confirmed)"
		}
		fmt.Fprintf(&b, "%s\n", heading)
		for _, row := range factRows(f) {
			if row[1] != "" {
				fmt.Fprintf(&b, "  %-10s %s\n", row[0], ledger.Printable(row[1]))
			}
		}
		fmt.Fprintln(&b)
	}
	printChecks(&b, v.Checks)
	fmt.Fprintf(&b, "\n%s\n", meaning(v))
	_, err := io.WriteString(w, b.String())
	return err
}

func printChecks(b *strings.Builder, checks []ledger.Check) {
	fmt.Fprintln(b, "What was checked")
	for _, c := range checks {
		fmt.Fprintf(b, "  %-12s %s\n", statusWords[c.Status], ledger.Printable(c.Claim))
		if c.Detail != "" {
			fmt.Fprintf(b, "  %-12s   %s\n", "", ledger.Printable(c.Detail))
		}
	}
}

func factRows(f *ledger.Facts) [][2]string {
	content := fmt.Sprintf("the whole record, %d fields", f.Disclosed)
	if f.Masked {
		content = fmt.Sprintf("a masked view: %d fields shown, %d hidden", f.Disclosed, f.Hidden)
	}
	entry := fmt.Sprintf("%s, entry %d", f.Origin, f.Index)
	if f.Size > 0 {
		entry += fmt.Sprintf(" of %d", f.Size)
	}
	rows := [][2]string{
		{"Event", f.UID},
		{"Hour", hour(f.Hour)},
		{"Region", f.Region},
		{"Content", content},
		{"Log", entry},
		{"Witnesses", strings.Join(f.Witnesses, ", ")},
	}
	if a := f.Anchor; a != nil && a.Size > 0 {
		anchored := fmt.Sprintf("%s, entry %d of %d", a.Origin, a.Index, a.Size)
		if a.Time != "" {
			anchored += ", written " + a.Time + " by the operator's clock"
		}
		rows = append(rows, [2]string{"Anchor", anchored}, [2]string{"Witnesses", strings.Join(a.Witnesses, ", ")})
	}
	return rows
}

func hour(begin string) string {
	t, err := time.Parse(time.RFC3339, begin)
	if err != nil {
		return ""
	}
	return t.Format("2006-01-02 15:04 to ") + t.Add(time.Hour).Format("15:04 UTC")
}

// meaning says what the result stands for, and what it does not.
func meaning(v *ledger.Verdict) string {
	switch v.Result {
	case ledger.ResultVerified:
		what := "This event"
		if v.Facts.Masked {
			what = "An event with exactly the values shown"
		}
		return what + " is in the log, unchanged since it was committed, and whoever trusts the policy's keys can check it.\n" +
			"It does not show that the source told the truth, nor that the log holds every event."
	case ledger.ResultFailed:
		return "Do not rely on this bundle: it was changed or put together wrongly, or it belongs to other keys than the policy's.\n" +
			"Ask for a new one; if that fails too, the log and its copies should be compared (domicile-verify log)."
	}
	return ledger.Printable(v.Hint)
}
