package ledger

// A FindingEntry says that something is not as it should be, or what became of that.
type FindingEntry struct {
	EntryCommon
	Kind      FindingKind
	Ref       *LeafRef // the event that shows it, nil = none
	Region    string   // region concerned, "" = none
	State     FindingState
	Reason    string // code of the reason, "" = the kind says it all
	Approvals []Approval
	Of        *uint64 // index of the entry that opened the finding; nil in state open
}

// A LeafRef names a leaf of a log.
type LeafRef struct {
	Origin string
	Index  uint64
}

// A FindingKind is what was found.
type FindingKind string

// Kinds of findings.
const (
	FindingUIDConflict      FindingKind = "uid_conflict"      // same uid, other content
	FindingForeignEvent     FindingKind = "foreign_event"     // an event that this cell may not hold
	FindingForeignRegion    FindingKind = "foreign_region"    // a component or store outside the jurisdiction
	FindingUnattributedRead FindingKind = "unattributed_read" // a read of the stores that no access entry explains
	FindingSourceIntegrity  FindingKind = "source_integrity"  // a source's own digests do not hold
	FindingStorageDrift     FindingKind = "storage_drift"     // a store is not configured as it was
	FindingTreeMismatch     FindingKind = "tree_mismatch"     // an object or row does not match the tree
	FindingHitsMismatch     FindingKind = "hits_mismatch"     // movement hits and movement entries differ
)

// A FindingState is how a finding stands.
type FindingState string

// States of findings.
const (
	FindingOpen      FindingState = "open"
	FindingResolved  FindingState = "resolved"
	FindingException FindingState = "exception" // accepted by two approvers
)

var (
	findingKinds  = []FindingKind{FindingUIDConflict, FindingForeignEvent, FindingForeignRegion, FindingUnattributedRead, FindingSourceIntegrity, FindingStorageDrift, FindingTreeMismatch, FindingHitsMismatch}
	findingStates = []FindingState{FindingOpen, FindingResolved, FindingException}
)

// Type returns EntryFinding.
func (*FindingEntry) Type() EntryType { return EntryFinding }

func (e *FindingEntry) code(c *entryCoder) {
	entryEnum(c, "kind", &e.Kind, findingKinds)
	entryOptional(c, "ref", &e.Ref, func(v *LeafRef) {
		c.object(func() {
			c.text("origin", &v.Origin, entryOrigin)
			c.number("index", &v.Index)
		})
	})
	c.optionalText("region", &e.Region, entryRegion)
	entryEnum(c, "state", &e.State, findingStates)
	c.optionalText("reason", &e.Reason, entryCode)
	codeApprovals(c, &e.Approvals)
	entryOptional(c, "of", &e.Of, c.numberValue)
	c.must((e.State == FindingOpen) == (e.Of == nil), "of belongs to every state but open")
	c.must(e.State != FindingException || len(e.Approvals) >= 2, "state exception needs two approvals")
}
