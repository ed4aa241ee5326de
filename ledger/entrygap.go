package ledger

// A GapEntry says that something is missing: a stretch of a source's time, offsets of a stream, numbers of a
// collector. An explanation never restores coverage.
type GapEntry struct {
	EntryCommon
	Subject   string // id of the source, stream partition or collector epoch
	From, To  GapEnd // the stretch [From, To), both times or both numbers
	Cause     GapCause
	State     GapState
	Evidence  *Hash // of an attachment, nil = none
	Approvals []Approval
	Of        *uint64 // index of the entry that opened the gap; nil in state open
}

// A GapEnd is one end of a gap: a time in milliseconds since 1970, or a number of a numbering.
type GapEnd struct {
	Number bool
	Value  uint64
}

// A GapCause is why something is missing.
type GapCause string

// Causes of gaps.
const (
	GapUnknown            GapCause = "unknown"
	GapCrash              GapCause = "crash"
	GapOutage             GapCause = "outage"
	GapSourceLoss         GapCause = "source_loss"
	GapLateSource         GapCause = "late_source"
	GapStreamReset        GapCause = "stream_reset"
	GapRetentionOvertaken GapCause = "retention_overtaken"
	GapClock              GapCause = "clock"
	GapOperator           GapCause = "operator"
)

// A GapState is how a gap stands.
type GapState string

// States of gaps.
const (
	GapOpen      GapState = "open"
	GapExplained GapState = "explained" // needs two approvers
	GapClosed    GapState = "closed"    // what was missing came after all
)

var (
	gapCauses = []GapCause{GapUnknown, GapCrash, GapOutage, GapSourceLoss, GapLateSource, GapStreamReset, GapRetentionOvertaken, GapClock, GapOperator}
	gapStates = []GapState{GapOpen, GapExplained, GapClosed}
)

// Type returns EntryGap.
func (*GapEntry) Type() EntryType { return EntryGap }

func (e *GapEntry) code(c *entryCoder) {
	c.text("subject", &e.Subject, entryID)
	codeGapEnd(c, "from", &e.From)
	codeGapEnd(c, "to", &e.To)
	entryEnum(c, "cause", &e.Cause, gapCauses)
	entryEnum(c, "state", &e.State, gapStates)
	entryOptional(c, "evidence", &e.Evidence, c.hashValue)
	codeApprovals(c, &e.Approvals)
	entryOptional(c, "of", &e.Of, c.numberValue)
	c.must(e.From.Number == e.To.Number, "from and to are of one kind")
	c.must((e.State == GapOpen) == (e.Of == nil), "of belongs to every state but open")
	c.must(e.State != GapExplained || len(e.Approvals) >= 2, "state explained needs two approvals")
}

// codeGapEnd codes a time as a string and a number as a number.
func codeGapEnd(c *entryCoder, name string, v *GapEnd) {
	c.member(name)
	if c.err != nil {
		return
	}
	if c.reading {
		v.Number = !c.next(`"`)
	}
	if v.Number {
		c.numberValue(&v.Value)
		return
	}
	ms := int64(min(v.Value, maxEntryTime+1))
	c.timeValue(&ms)
	if c.err == nil {
		v.Value = uint64(ms)
	}
}
