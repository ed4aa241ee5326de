package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/audit"
)

type receiptCmd struct {
	File   string   `arg:"" name:"file" help:"A receipt, or a saved answer of the API that holds some; - for standard input."`
	Policy []string `name:"policy" short:"p" placeholder:"FILE" sep:"none" help:"Trust policy of the control log (c2sp.org/tlog-policy). Repeatable."`
	Log    []string `name:"log" placeholder:"DIR|URL" sep:"none" help:"Where the control log is: a cell's folder, a data directory with cells/, or the URL of the log or of a domicile server. Repeatable."`
	Token  string   `name:"token-file" placeholder:"FILE" help:"File with a bearer token for a URL."`
	JSON   bool     `name:"json" help:"Print one JSON object per receipt."`
}

// Help is shown by receipt --help.
func (*receiptCmd) Help() string {
	return `Whoever gets event data from domicile gets a receipt: it says where the control log recorded that this happened.
Keep it, and check it later: an operator who hands data over and strikes the record cannot do so unnoticed.

Example:
  domicile-verify receipt answer.json --policy eu-control.policy --log http://127.0.0.1:8480`
}

// maxAnswerBytes bounds a file with receipts: an answer with a thousand large events.
const maxAnswerBytes = 1 << 30

func (c *receiptCmd) run(std streams) (int, error) {
	policies, err := readPolicies(c.Policy)
	if err != nil {
		return 0, err
	}
	src, err := c.read(std)
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	receipts, err := ledger.FindReceipts(src)
	if err != nil {
		return exitFailed, c.print(std, audit.UnreadableReceipt(err))
	}
	if len(receipts) == 0 {
		return 0, fmt.Errorf("%s holds no receipt: give a receipt, or an answer as the API gave it", c.File)
	}
	worst := exitVerified
	for i, r := range receipts {
		places, err := c.places(r.Origin)
		if err != nil {
			return 0, err
		}
		if i > 0 && !c.JSON {
			fmt.Fprintln(std.out)
		}
		verdict := audit.CheckReceipt(ctx, r, policies, places)
		if err := c.print(std, verdict); err != nil {
			return 0, err
		}
		worst = worse(worst, exitCode(verdict.Result))
	}
	return worst, nil
}

func (c *receiptCmd) read(std streams) ([]byte, error) {
	if c.File == "-" {
		return readAll(std.in, "standard input", maxAnswerBytes)
	}
	return readFile(c.File, maxAnswerBytes)
}

func (c *receiptCmd) print(std streams, v *audit.ReceiptVerdict) error {
	if c.JSON {
		return printJSON(std.out, struct {
			File string `json:"file"`
			*audit.ReceiptVerdict
		}{c.File, v})
	}
	return printReceipt(std.out, c.File, v)
}

// places are where a control log may be, of those that were given.
func (c *receiptCmd) places(name string) (places []audit.Objects, err error) {
	origin, err := ledger.ParseOrigin(name)
	if err != nil {
		return nil, err
	}
	for _, where := range c.Log {
		if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
			client, err := httpClient(c.Token)
			if err != nil {
				return nil, err
			}
			places = append(places, audit.SitePlaces(client, where, origin)...)
			continue
		}
		cells, err := cellsIn(where)
		if err != nil {
			return nil, fmt.Errorf("--log: %w", err)
		}
		for _, cell := range cells {
			if _, err := os.Stat(filepath.Join(cell, "open", filepath.FromSlash(name))); errors.Is(err, os.ErrNotExist) {
				continue
			}
			places = append(places, audit.Dir(filepath.Join(cell, "open")))
		}
	}
	return places, nil
}

// printReceipt prints a verdict for a reader who is no cryptographer.
func printReceipt(w io.Writer, file string, v *audit.ReceiptVerdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", ledger.Printable(file))
	if r := v.Receipt; r != nil {
		fmt.Fprintf(&b, "%s, entry %d: ", ledger.Printable(r.Origin), r.Index)
	}
	fmt.Fprintf(&b, "%s\n\n", resultWords[v.Result])
	if a := v.Access; a != nil {
		heading := "What the entry says"
		if v.Result != ledger.ResultVerified {
			heading += " (not confirmed)"
		}
		fmt.Fprintln(&b, heading)
		for _, row := range [][2]string{
			{"Written", a.Time + " by the operator's clock"},
			{"Access", a.Op + ", " + a.Phase},
			{"Decision", a.Decision + ", content " + a.Content},
			{"Recipient", a.Recipient + " (" + recipientWords(a.Basis) + ")"},
		} {
			fmt.Fprintf(&b, "  %-10s %s\n", row[0], ledger.Printable(row[1]))
		}
		fmt.Fprintln(&b)
	}
	printChecks(&b, v.Checks)
	fmt.Fprintf(&b, "\n%s\n", receiptMeaning(v))
	_, err := io.WriteString(w, b.String())
	return err
}

func recipientWords(basis string) string {
	switch ledger.RecipientBasis(basis) {
	case ledger.RecipientCell:
		return "taken to be in the cell"
	case ledger.RecipientDeclared:
		return "as declared"
	case ledger.RecipientIdentity:
		return "as the identity provider says"
	case ledger.RecipientNetwork:
		return "by the address it asked from"
	}
	return basis
}

// receiptMeaning says what the result stands for, and what it does not.
func receiptMeaning(v *audit.ReceiptVerdict) string {
	switch v.Result {
	case ledger.ResultVerified:
		return "That this data was handed over is recorded in the control log, and cannot be struck from it unnoticed.\n" +
			"It does not show that every handing-over is recorded: each one who keeps receipts checks his own."
	case ledger.ResultFailed:
		if v.Receipt == nil {
			return "What should be a receipt is none: take the file as it came with the data."
		}
		return "The control log does not record what this receipt says: the receipt was changed, or the log was, or it belongs to\n" +
			"other keys than the policy's. Keep the receipt, and compare the log with its copies (domicile-verify log)."
	}
	return ledger.Printable(v.Hint)
}
