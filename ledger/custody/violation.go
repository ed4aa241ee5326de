package custody

import (
	"errors"
	"fmt"
)

// A Check is the name under which docs/claims.md lists what an entry violates: integrity (I2 to I6), or a claim that
// can no longer hold (C1, C3, C5, C8).
type Check string

// The checks that a replay makes of single entries. I1, I7 and the evaluation of claims are not its business.
const (
	I2  Check = "I2"  // more of the log seen than there is
	I3  Check = "I3"  // schema, emitter declared
	I4  Check = "I4"  // dated in the future
	I5  Check = "I5"  // numbering and epochs of an emitter
	I6  Check = "I6"  // policy
	C1  Check = "C1"  // origin of the leaves
	C3  Check = "C3"  // batches tile the events logs
	C5  Check = "C5"  // positions and collector numbers are contiguous
	C8  Check = "C8"  // every done has its intent, every resolution its finding
	C10 Check = "C10" // a gap is closed or explained once it is open
)

// Integrity tells whether a log with such an entry is invalid. The others make a claim fail or miss, and the log can
// still be evaluated.
func (c Check) Integrity() bool { return c[0] == 'I' }

// A Rule is what exactly an entry violates.
type Rule string

// Rules, in the order in which a replay looks at them.
const (
	RuleEncoding      Rule = "encoding"       // I3: not a control entry
	RuleFirst         Rule = "first"          // I3: entry 0 is a policy by init
	RuleSeq           Rule = "seq"            // I5: the next number of the emitter's epoch
	RuleStart         Rule = "start"          // I5: an epoch begins with node start, and has one
	RuleEpochUsed     Rule = "epoch_used"     // I5: an epoch that has ended or is another's
	RuleSuccessor     Rule = "successor"      // I5: one successor per epoch
	RulePrevLast      Rule = "prev_last"      // I5: not below the last logged
	RuleTime          Rule = "time"           // I5: not decreasing
	RuleFuture        Rule = "future"         // I4
	RulePolicy        Rule = "policy"         // I6: the policy in force at the entry's time
	RuleDocument      Rule = "document"       // I6: text of the policy, and that it is for this log
	RuleSupersedes    Rule = "supersedes"     // I6: the policy logged last
	RuleEffective     Rule = "effective"      // I6: neither retroactive nor before the policy that it supersedes
	RuleDeclared      Rule = "declared"       // I3: the policy declares the emitter
	RuleRole          Rule = "role"           // I3: as what the policy declares it
	RuleInitType      Rule = "init_type"      // I3: init writes policy and key entries only
	RuleKey           Rule = "key"            // I3: the key that the policy lists, once
	RuleSeen          Rule = "seen"           // I2: control_size
	RuleUnlistedLog   Rule = "unlisted_log"   // C3: an events log that the policy lists
	RuleOverlap       Rule = "overlap"        // C3, C5: begins before the end of what came before
	RuleHole          Rule = "hole"           // C3, C5: begins after it
	RuleOrder         Rule = "order"          // C3: a range, mark or commit that goes backwards
	RuleRoot          Rule = "root"           // C3: one size, two roots
	RuleRecords       Rule = "records"        // C3: records of the classes
	RuleRegions       Rule = "regions"        // C1: leaves by region
	RuleIntent        Rule = "intent"         // C8: done follows on an intent of its emitter that is open
	RuleIntentChanged Rule = "intent_changed" // C8: done repeats what the intent said
	RuleFollowsOn     Rule = "follows_on"     // C8, C10: of refers to one that is open
)

// A Violation is an entry that a control log may not hold at that place. Expected says what it may hold, so that a
// component can encode anew under the same number.
type Violation struct {
	Check    Check
	Rule     Rule
	Index    uint64 // at which the entry stands, or would
	Emitter  string // "" where the entry cannot be read
	Expected string
	Got      string
	cause    error
}

func (v *Violation) Error() string {
	what := fmt.Sprintf("control entry %d", v.Index)
	if v.Emitter != "" {
		what += " of " + v.Emitter
	}
	return fmt.Sprintf("%s: %s %s: expected %s, got %s", what, v.Check, v.Rule, v.Expected, v.Got)
}

// Unwrap returns what an underlying parser said, if there was one.
func (v *Violation) Unwrap() error { return v.cause }

// WrongSeq is a violation of RuleSeq: the emitter's next entry has another number, or belongs to another epoch.
type WrongSeq struct {
	Violation
	Epoch string // epoch in which Expected is the next number; "" where a new epoch must start
	Next  uint64
	Taken *uint64 // index of the entry that has the number, if it is known: with other bytes
}

// Unwrap makes errors.As find the Violation.
func (w *WrongSeq) Unwrap() error { return &w.Violation }

// A Repeat is an entry that the log holds already, byte for byte: the holder answers with its index.
type Repeat struct {
	Index uint64
}

func (r *Repeat) Error() string { return fmt.Sprintf("already committed as control entry %d", r.Index) }

// ErrNoDocument is wrapped by the violation for a policy entry whose document was not supplied.
var ErrNoDocument = errors.New("its document was not supplied")
