package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// SitePlaces are where a control log may be at a URL: the URL is that of the log, or of a domicile server, which has it
// below /logs.
func SitePlaces(client *http.Client, base string, origin ledger.Origin) []Objects {
	base = strings.TrimRight(base, "/")
	return []Objects{
		&site{client, base, origin.String()},
		&site{client, base + "/logs/" + origin.Jurisdiction + "/control", origin.String()},
	}
}

// A ReceiptVerdict is what checking a receipt found.
type ReceiptVerdict struct {
	Receipt *ledger.Receipt `json:"receipt,omitempty"` // nil where it cannot be read
	Result  ledger.Result   `json:"result"`
	Checks  []ledger.Check  `json:"checks"`
	Size    uint64          `json:"size,omitempty"`   // of the signed tree in which it was looked for
	Access  *AccessFacts    `json:"access,omitempty"` // nil where the entry could not be read
	Hint    string          `json:"hint,omitempty"`   // what to do where the result is inconclusive
}

// AccessFacts is what the entry of a receipt says. It holds only as far as the checks passed.
type AccessFacts struct {
	Time      string `json:"time"` // by the operator's clock, RFC 3339, UTC
	Phase     string `json:"phase"`
	Op        string `json:"op"`
	Decision  string `json:"decision"`
	Content   string `json:"content"`
	Recipient string `json:"recipient"` // jurisdiction
	Basis     string `json:"basis"`
}

// UnreadableReceipt is the verdict on what should be a receipt and is none.
func UnreadableReceipt(err error) *ReceiptVerdict {
	return &ReceiptVerdict{Result: ledger.ResultFailed, Checks: []ledger.Check{
		{ID: CheckReadable, Status: ledger.Failed, Claim: "The receipt is complete and well-formed.", Detail: err.Error()},
	}}
}

// The checks of a receipt, in the order in which a verdict lists them.
const (
	CheckReadable  = "form"        // the receipt can be read
	CheckSigned    = "control-log" // the newest tree is signed as the control log's policy asks
	CheckIncluded  = "inclusion"   // an entry with the receipt's hash stands at its index in that tree
	CheckEntry     = "entry"       // that entry is what the receipt says
	signedClaim    = "The control log signed its newest tree, as its policy asks."
	entryClaim     = "That entry is an access, with the emitter, epoch and number of the receipt."
	notChecked     = ledger.NotChecked
	hintUnread     = "Give the control log with --log: the cell's folder, a data directory, or a URL that can be reached."
	hintLater      = "The log has not published that entry yet: check again in a minute. If it stays so, ask the operator why."
	hintNotTrusted = "Nothing that was given says whose signature to believe: give the policy file of %s with --policy."
)

// CheckReceipt checks a receipt against the newest tree that the control log has published in one of these places, and
// that meets every policy for it. It reads hash tiles, which are public; where the entry itself may be read too, that
// one is held against the receipt as well.
func CheckReceipt(ctx context.Context, r ledger.Receipt, policies []ledger.Policy, places []Objects) *ReceiptVerdict {
	c := receiptCheck{verdict: &ReceiptVerdict{Receipt: &r}, ctx: ctx}
	if c.signed(policies, places) {
		c.included()
	} else {
		c.add(CheckIncluded, notChecked, c.claim(), "there is no tree to look in")
		c.add(CheckEntry, notChecked, entryClaim, "there is no tree to look in")
	}
	c.conclude()
	return c.verdict
}

type receiptCheck struct {
	ctx     context.Context
	verdict *ReceiptVerdict
	place   Objects
	tree    ledger.Checkpoint
	met     bool // a policy vouches for the tree
}

func (c *receiptCheck) claim() string {
	return fmt.Sprintf("Entry %d of the control log %s has the hash of the receipt.", c.verdict.Receipt.Index, c.verdict.Receipt.Origin)
}

func (c *receiptCheck) add(id string, status ledger.Status, claim, detail string) {
	c.verdict.Checks = append(c.verdict.Checks, ledger.Check{ID: id, Status: status, Claim: claim, Detail: detail})
}

// signed finds the log and opens its newest checkpoint. It reports whether there is a tree.
func (c *receiptCheck) signed(policies []ledger.Policy, places []Objects) bool {
	origin := c.verdict.Receipt.Origin
	var signed []byte
	problem := errors.New("the log is not in any place that was given")
	for _, place := range places {
		data, err := place.Read(c.ctx, origin+"/"+ledger.CheckpointKey, nil, ledger.MaxNoteBytes)
		if err == nil {
			if c.tree, err = ledger.ParseCheckpoint(data, origin); err == nil {
				signed, c.place = data, place
				break
			}
			err = fmt.Errorf("%s: %w", ledger.CheckpointKey, err)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			problem = err
		}
	}
	if signed == nil {
		c.add(CheckSigned, notChecked, signedClaim, problem.Error())
		c.verdict.Hint = hintUnread
		return false
	}
	c.verdict.Size = c.tree.Size
	var witnesses []string
	for i := range policies {
		if !policies[i].Lists(origin) {
			continue
		}
		_, names, err := policies[i].Verify(signed, origin)
		if err != nil {
			c.add(CheckSigned, ledger.Failed, signedClaim, err.Error())
			return true
		}
		c.met = true
		for _, name := range names {
			if !slices.Contains(witnesses, name) {
				witnesses = append(witnesses, name)
			}
		}
	}
	if !c.met {
		c.add(CheckSigned, notChecked, signedClaim, "no policy for "+origin+" was given")
		c.verdict.Hint = fmt.Sprintf(hintNotTrusted, origin)
		return true
	}
	detail := fmt.Sprintf("%d entries; no witness is asked for by the policy", c.tree.Size)
	if len(witnesses) > 0 {
		detail = fmt.Sprintf("%d entries; cosigned by %s", c.tree.Size, strings.Join(witnesses, ", "))
	}
	c.add(CheckSigned, ledger.Passed, signedClaim, detail)
	return true
}

// included leads the receipt's hash to the root of the tree, then looks at the entry.
func (c *receiptCheck) included() {
	r := c.verdict.Receipt
	if r.Index >= c.tree.Size {
		c.add(CheckIncluded, notChecked, c.claim(), fmt.Sprintf("not yet: the log is published with %d entries", c.tree.Size))
		c.add(CheckEntry, notChecked, entryClaim, "it is not published yet")
		if c.verdict.Hint == "" {
			c.verdict.Hint = hintLater
		}
		return
	}
	tiles := tile.NewReader(c.tree.Size, func(path string) ([]byte, error) {
		return c.place.Read(c.ctx, r.Origin+"/"+path, nil, maxTile)
	})
	there, err := tiles.LeafHash(r.Index)
	var path []ledger.Hash
	if err == nil {
		path, err = tiles.Inclusion(r.Index, c.tree.Size)
	}
	if err != nil {
		c.add(CheckIncluded, notChecked, c.claim(), err.Error())
		c.add(CheckEntry, notChecked, entryClaim, "the tiles that lead to it cannot be read")
		if c.verdict.Hint == "" {
			c.verdict.Hint = hintUnread
		}
		return
	}
	proof := ledger.Proof{Index: r.Index, Hashes: path}
	switch {
	case proof.VerifyInclusion(r.Hash, c.tree) == nil:
		c.add(CheckIncluded, ledger.Passed, c.claim(), "")
	case proof.VerifyInclusion(there, c.tree) == nil:
		c.add(CheckIncluded, ledger.Failed, c.claim(), fmt.Sprintf("the hash differs: the entry has %s, the receipt says %s", ledger.FormatHash(there), ledger.FormatHash(r.Hash)))
	default:
		c.add(CheckIncluded, ledger.Failed, c.claim(), "the tiles of the log do not lead to its signed root: this copy of the log is damaged or was changed")
	}
	raw, err := tiles.Entry(r.Index)
	if err != nil {
		c.add(CheckEntry, notChecked, entryClaim, fmt.Sprintf("the entry cannot be read here, so emitter, epoch and number were not compared: %v", err))
		return
	}
	if ledger.LeafHash(raw) != there {
		c.add(CheckEntry, ledger.Failed, entryClaim, "the entry that can be read is not the one in the tree: this copy of the log is damaged or was changed")
		return
	}
	c.entry(raw)
}

// entry holds the entry itself against the receipt.
func (c *receiptCheck) entry(raw []byte) {
	r := c.verdict.Receipt
	entry, err := ledger.ParseEntry(raw)
	if err != nil {
		c.add(CheckEntry, ledger.Failed, entryClaim, err.Error())
		return
	}
	access, ok := entry.(*ledger.AccessEntry)
	if !ok {
		c.add(CheckEntry, ledger.Failed, entryClaim, fmt.Sprintf("the type differs: it is a %s entry", entry.Type()))
		return
	}
	c.verdict.Access = &AccessFacts{
		Time: time.UnixMilli(access.Time).UTC().Format(time.RFC3339), Phase: string(access.Phase), Op: string(access.Op),
		Decision: string(access.Decision), Content: string(access.Content),
		Recipient: access.Recipient.Jur, Basis: string(access.Recipient.Basis),
	}
	var differs []string
	for _, member := range []struct{ name, there, said string }{
		{"emitter", access.Emitter, r.Emitter}, {"epoch", access.Epoch, r.Epoch}, {"seq", fmt.Sprint(access.Seq), fmt.Sprint(r.Seq)},
	} {
		if member.there != member.said {
			differs = append(differs, fmt.Sprintf("the %s differs: the entry says %s, the receipt %s", member.name, member.there, member.said))
		}
	}
	if len(differs) > 0 {
		c.add(CheckEntry, ledger.Failed, entryClaim, strings.Join(differs, "; "))
		return
	}
	c.add(CheckEntry, ledger.Passed, entryClaim, "")
}

func (c *receiptCheck) conclude() {
	v := c.verdict
	v.Result = ledger.ResultInconclusive
	for _, check := range v.Checks {
		if check.Status == ledger.Failed {
			v.Result, v.Hint = ledger.ResultFailed, ""
			return
		}
		if check.ID == CheckIncluded && check.Status == ledger.Passed && c.met {
			v.Result = ledger.ResultVerified
		}
	}
}
