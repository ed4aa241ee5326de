package ledger

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"domicile.dev/domicile/internal/rawjson"
)

// Status is the outcome of one check.
type Status string

// Outcomes of a check. NotChecked always comes with the reason.
const (
	Passed     Status = "passed"
	Failed     Status = "failed"
	NotChecked Status = "not_checked"
)

// Result is the outcome of a verification as a whole.
type Result string

// Results. Inconclusive means that nothing failed and nothing that the verifier trusts vouches for the rest.
const (
	ResultVerified     Result = "verified"
	ResultFailed       Result = "failed"
	ResultInconclusive Result = "inconclusive"
)

// A Check is one thing that was looked at, in words for a reader who is no cryptographer.
type Check struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
	Claim  string `json:"claim"`            // what holds if it passed
	Detail string `json:"detail,omitempty"` // what differs, or why it was not checked
}

// Verdict is what verifying a proof bundle found.
type Verdict struct {
	Result Result  `json:"result"`
	Checks []Check `json:"checks"`
	Facts  *Facts  `json:"facts,omitempty"` // nil where the bundle cannot be read
	Hint   string  `json:"hint,omitempty"`  // what to do where the result is inconclusive
}

// Facts is what the bundle says. It holds only as far as the checks passed.
type Facts struct {
	Origin    string       `json:"origin"`
	Index     uint64       `json:"index"`
	UID       string       `json:"uid,omitempty"`    // where the record or view discloses it
	Hour      string       `json:"hour,omitempty"`   // begin of the hour of the event, RFC 3339, UTC
	Region    string       `json:"region,omitempty"` // as the leaf says
	Masked    bool         `json:"masked"`           // a view, not the record
	Disclosed int          `json:"disclosed_fields"` // fields whose values the bundle shows
	Hidden    int          `json:"hidden_fields"`
	Size      uint64       `json:"size,omitempty"` // of the tree that the proof leads to
	Root      string       `json:"root,omitempty"`
	Witnesses []string     `json:"witnesses"` // that cosigned the events log's checkpoint, as a given policy calls them
	Anchor    *AnchorFacts `json:"anchor,omitempty"`
}

// AnchorFacts is what the anchor of a bundle says.
type AnchorFacts struct {
	Origin    string   `json:"origin,omitempty"`
	Index     uint64   `json:"index"`
	Time      string   `json:"time,omitempty"` // of the batch entry by the operator's clock, RFC 3339, UTC
	Size      uint64   `json:"size,omitempty"`
	Root      string   `json:"root,omitempty"`
	Witnesses []string `json:"witnesses"`
}

// The checks of a bundle, in the order in which a verdict lists them.
const (
	CheckForm            = "form"             // the bundle can be read
	CheckContent         = "content"          // record or view → commitment → leaf
	CheckLeaf            = "leaf"             // the leaf says of the event what the event says
	CheckInclusion       = "inclusion"        // leaf → tree of the events log
	CheckLog             = "events-log"       // that tree is signed as the events log's policy asks
	CheckAnchorEntry     = "anchor-entry"     // the batch entry binds that tree
	CheckAnchorInclusion = "anchor-inclusion" // batch entry → tree of the control log
	CheckAnchorLog       = "control-log"      // that tree is signed as the control log's policy asks
)

// VerifyBundle checks a proof bundle against what the verifier trusts. It needs a policy for the events log, or, where
// the bundle has an anchor, one for the cell's control log; every policy given that speaks of one of the two is
// enforced. Policies of other logs do no harm.
func VerifyBundle(bundle []byte, policies []Policy) *Verdict {
	v := verification{verdict: &Verdict{}, policies: policies}
	v.run(bundle)
	return v.verdict
}

type verification struct {
	verdict  *Verdict
	policies []Policy
	bundle   *ProofBundle
	facts    *Facts
	tree     *Checkpoint // of the events log, unsigned as yet; nil if the proof did not lead there
	vouched  bool        // a policy that was given is met for the whole chain
}

func (v *verification) add(id string, status Status, claim, detail string) bool {
	v.verdict.Checks = append(v.verdict.Checks, Check{ID: id, Status: status, Claim: claim, Detail: detail})
	return status == Passed
}

// outcome adds a check that failed with err, or passed if err is nil.
func (v *verification) outcome(id, claim string, err error) bool {
	if err != nil {
		return v.add(id, Failed, claim, err.Error())
	}
	return v.add(id, Passed, claim, "")
}

func (v *verification) run(src []byte) {
	if b, err := parseEventBundle(src); v.outcome(CheckForm, "The bundle is complete and well-formed.", err) {
		v.bundle = b
		v.facts = &Facts{Origin: b.Origin, Index: b.Index, Masked: b.View != nil, Witnesses: []string{}}
		v.verdict.Facts = v.facts
		v.content()
		v.inclusion()
		logVouches := v.eventsLog()
		anchorVouches := v.anchor()
		v.vouched = logVouches || anchorVouches
	}
	v.conclude()
}

// parseEventBundle reads a bundle whose origin is an events log.
func parseEventBundle(src []byte) (*ProofBundle, error) {
	b, err := ParseProofBundle(src)
	if err != nil {
		return nil, err
	}
	origin, err := ParseOrigin(b.Origin)
	if err != nil {
		return nil, fmt.Errorf("proof bundle: %w", err)
	}
	if origin.Control {
		return nil, fmt.Errorf("proof bundle: %s is a control log; events are in <ledger>/<jurisdiction>/events/<shard>", b.Origin)
	}
	return b, nil
}

// content checks record or view → commitment → leaf, and what the leaf says besides.
func (v *verification) content() {
	var (
		commitment Hash
		get        func(string) ([]byte, bool, bool)
		err        error
		claim      string
	)
	if v.bundle.View != nil {
		claim = "The view commits to exactly what the leaf holds: no shown value differs, no field is left out."
		var view *View
		if view, err = ParseView(v.bundle.View); err == nil {
			commitment, get = view.Commitment(), view.Get
			for _, f := range view.Fields {
				if f.Disclosed {
					v.facts.Disclosed++
				} else {
					v.facts.Hidden++
				}
			}
		}
	} else {
		claim = "The record's bytes are exactly what the leaf commits to."
		var record *Record
		if record, err = ParseRecord(v.bundle.Record); err == nil {
			commitment, get = record.Commitment(), record.Get
			v.facts.Disclosed = len(record.Fields)
		}
	}
	const leafClaim = "The leaf's hour, provider and region are those of the event."
	leaf, leafErr := ParseLeaf(v.bundle.Leaf)
	if leafErr == nil {
		v.facts.Hour, v.facts.Region = formatMillis(leaf.Hour, MillisPerHour), leaf.Region
	}
	switch {
	case err != nil:
		v.outcome(CheckContent, claim, err)
		v.add(CheckLeaf, NotChecked, leafClaim, "the event cannot be read")
		return
	case leafErr != nil:
		v.outcome(CheckContent, claim, leafErr)
		v.add(CheckLeaf, NotChecked, leafClaim, "the leaf cannot be read")
		return
	case commitment != leaf.Commitment:
		err = fmt.Errorf("the content has the commitment %s, the leaf holds %s: this is not the event that was logged",
			FormatHash(commitment), FormatHash(leaf.Commitment))
	}
	v.outcome(CheckContent, claim, err)
	if uid, hidden, present := get("/metadata/uid"); present && !hidden && len(uid) > 2 && uid[0] == '"' {
		s, _ := rawjson.AppendUnescaped(nil, uid[1:len(uid)-1])
		v.facts.UID = string(s)
	}
	if err := leaf.CheckFields(get); err != nil {
		v.outcome(CheckLeaf, leafClaim, err)
		return
	}
	var unseen []string
	for _, pointer := range []string{"/time", "/cloud/provider", "/cloud/region"} {
		if _, hidden, _ := get(pointer); hidden {
			unseen = append(unseen, pointer)
		}
	}
	switch {
	case len(unseen) == 0:
		v.outcome(CheckLeaf, leafClaim, nil)
	case len(unseen) == 3:
		v.add(CheckLeaf, NotChecked, leafClaim, "the view hides "+strings.Join(unseen, ", "))
	default:
		v.add(CheckLeaf, Passed, leafClaim, "as far as the view shows: it hides "+strings.Join(unseen, ", "))
	}
}

// formatMillis formats n units of a number of milliseconds since 1970 as RFC 3339; "" where the year has no four digits.
func formatMillis(n, unit int64) string {
	const last = 253402300799999 // 9999-12-31T23:59:59.999Z
	if n < -last/unit || n > last/unit {
		return ""
	}
	t := time.UnixMilli(n * unit).UTC()
	if t.Year() < 0 {
		return ""
	}
	return t.Format(time.RFC3339)
}

// inclusion checks leaf → tree. The tree's checkpoint is read and not believed yet.
func (v *verification) inclusion() {
	claim := fmt.Sprintf("The leaf is entry %d of the log %s.", v.bundle.Index, v.bundle.Origin)
	proof, tree, err := openProof(v.bundle.Proof, v.bundle.Origin, LeafHash(v.bundle.Leaf))
	if err == nil && proof.Index != v.bundle.Index {
		err = fmt.Errorf("the proof is for entry %d, the bundle says %d", proof.Index, v.bundle.Index)
	}
	if v.outcome(CheckInclusion, claim, err) {
		v.tree = &tree
		v.facts.Size, v.facts.Root = tree.Size, FormatHash(tree.Root)
	}
}

// openProof reads a tlog-proof and follows it from the leaf's hash to the checkpoint in it.
func openProof(text []byte, origin string, leafHash Hash) (*Proof, Checkpoint, error) {
	proof, err := ParseProof(text)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	if proof.Extra != nil {
		return nil, Checkpoint{}, errors.New("tlog-proof has an extra line; a proof bundle's has none")
	}
	tree, err := ParseCheckpoint(proof.Checkpoint, origin)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	return proof, tree, proof.VerifyInclusion(leafHash, tree)
}

// signed holds the checkpoint of a proof against every policy that lists the log. met is false without one.
func (v *verification) signed(id, claim, origin string, proofText []byte, witnesses *[]string, without string) (met bool) {
	proof, err := ParseProof(proofText)
	if err != nil {
		return v.add(id, NotChecked, claim, "the proof cannot be read")
	}
	seen := make(map[string]bool)
	for i := range v.policies {
		policy := &v.policies[i]
		if !policy.Lists(origin) {
			continue
		}
		_, names, err := policy.Verify(proof.Checkpoint, origin)
		for _, n := range names {
			if !seen[n] {
				seen[n] = true
				*witnesses = append(*witnesses, n)
			}
		}
		if err != nil {
			return v.outcome(id, claim, err)
		}
		met = true
	}
	if !met {
		return v.add(id, NotChecked, claim, without)
	}
	detail := "no witness is asked for by the policy"
	if len(*witnesses) > 0 {
		detail = "cosigned by " + strings.Join(*witnesses, ", ")
	}
	return v.add(id, Passed, claim, detail)
}

func (v *verification) eventsLog() bool {
	without := "no policy for " + v.bundle.Origin + " was given"
	if v.bundle.Anchor != nil {
		without += "; the control log vouches for this tree instead, see below"
	}
	met := v.signed(CheckLog, "The events log signed this tree, as its policy asks.", v.bundle.Origin, v.bundle.Proof, &v.facts.Witnesses, without)
	return met && v.tree != nil
}

// anchor checks tree → batch entry → tree of the control log.
func (v *verification) anchor() bool {
	const (
		entryClaim = "A batch entry of the cell's control log names exactly this tree."
		logClaim   = "The control log signed its tree, as its policy asks."
	)
	inclusionClaim := "The batch entry is an entry of the control log."
	if v.bundle.Anchor == nil {
		v.add(CheckAnchorEntry, NotChecked, entryClaim, "the bundle has no anchor in the control log")
		return false
	}
	a := v.bundle.Anchor
	v.facts.Anchor = &AnchorFacts{Witnesses: []string{}}
	facts := v.facts.Anchor

	batch, err := parseBatchEntry(a.Entry)
	switch {
	case err != nil:
		v.outcome(CheckAnchorEntry, entryClaim, err)
	case v.tree == nil:
		v.add(CheckAnchorEntry, NotChecked, entryClaim, "the inclusion proof leads to no tree")
	case batch.Origin != v.bundle.Origin:
		v.outcome(CheckAnchorEntry, entryClaim, fmt.Errorf("the entry is about the log %s", clip(batch.Origin)))
	case batch.Size != v.tree.Size || batch.Root != v.tree.Root:
		v.outcome(CheckAnchorEntry, entryClaim, fmt.Errorf("the entry names size %d and root %s, the proof stands at size %d and root %s",
			batch.Size, FormatHash(batch.Root), v.tree.Size, FormatHash(v.tree.Root)))
	default:
		v.outcome(CheckAnchorEntry, entryClaim, nil)
	}
	bound := v.passed(CheckAnchorEntry)
	if err == nil {
		facts.Time = formatMillis(batch.Time, 1)
	}

	// The origin was parsed before; only this cell's own control log can anchor it.
	origin, _ := ParseOrigin(v.bundle.Origin)
	control := ControlOrigin(origin.Ledger, origin.Jurisdiction)
	facts.Origin = control
	proof, tree, err := openProof(a.Proof, control, LeafHash(a.Entry))
	if err == nil {
		facts.Index, facts.Size, facts.Root = proof.Index, tree.Size, FormatHash(tree.Root)
		inclusionClaim = fmt.Sprintf("The batch entry is entry %d of the control log %s.", proof.Index, control)
	}
	included := v.outcome(CheckAnchorInclusion, inclusionClaim, err)
	met := v.signed(CheckAnchorLog, logClaim, control, a.Proof, &facts.Witnesses, "no policy for "+control+" was given")
	return bound && included && met
}

func (v *verification) passed(id string) bool {
	for _, c := range v.verdict.Checks {
		if c.ID == id {
			return c.Status == Passed
		}
	}
	return false
}

func (v *verification) conclude() {
	for _, c := range v.verdict.Checks {
		if c.Status == Failed {
			v.verdict.Result = ResultFailed
			return
		}
	}
	if v.vouched {
		v.verdict.Result = ResultVerified
		return
	}
	v.verdict.Result = ResultInconclusive
	want := v.bundle.Origin
	if v.facts.Anchor != nil {
		want = v.facts.Anchor.Origin
	}
	v.verdict.Hint = "Nothing that was given says whose signature to believe: give the policy file of " + want + " with --policy."
}

func parseBatchEntry(entry []byte) (*BatchEntry, error) {
	e, err := ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	batch, ok := e.(*BatchEntry)
	if !ok {
		return nil, fmt.Errorf("the entry is a %s entry, expected a batch entry", e.Type())
	}
	return batch, nil
}
