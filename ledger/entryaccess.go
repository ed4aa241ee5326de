package ledger

import (
	"slices"
	"strings"
)

// An AccessEntry records a read of event data: the intent before the first byte leaves, then what was done. An intent
// without its done counts as if everything that it allowed was handed over.
type AccessEntry struct {
	EntryCommon
	Phase     AccessPhase
	Op        AccessOp
	Principal *Hash  // keyed hash of who asked, nil = the component itself
	Role      string // role in which they asked
	Purpose   AccessPurpose
	Recipient Recipient
	Decision  Decision
	Rule      string  // id of the policy's rule that decided
	Query     *Hash   // keyed hash of the normalized query, nil = none
	Content   Content // what is handed over
	Profile   string  // masking profile, "" = none
	Fields    []string
	Records   *uint64 // nil in an intent = not known yet
	Bytes     *uint64
	Set       *Hash   // set root over the events meant, nil = not computed
	Of        *uint64 // phase done: index of the intent
}

// A Recipient is where the data goes.
type Recipient struct {
	Jur   string // jurisdiction, or "unknown"
	Basis RecipientBasis
}

// Enumerations of access entries.
type (
	AccessPhase    string
	AccessOp       string
	AccessPurpose  string
	RecipientBasis string
	Decision       string
	Content        string
)

// Phases of an access.
const (
	AccessIntent AccessPhase = "intent"
	AccessDone   AccessPhase = "done"
)

// Operations that read event data, internal ones included.
const (
	OpSearch           AccessOp = "search"
	OpAggregate        AccessOp = "aggregate"
	OpExport           AccessOp = "export"
	OpProof            AccessOp = "proof"
	OpQuarantineRead   AccessOp = "quarantine_read"
	OpQuarantineReplay AccessOp = "quarantine_replay"
	OpVerify           AccessOp = "verify"        // verification with keys
	OpDedupe           AccessOp = "dedupe"        // payloads read to decide on a repeat
	OpIndexRebuild     AccessOp = "index_rebuild" // rows made from payloads
	OpIndexAudit       AccessOp = "index_audit"   // rows compared with the tree
)

// Purposes of an access.
const (
	PurposeAudit          AccessPurpose = "audit"
	PurposeCompliance     AccessPurpose = "compliance"
	PurposeInvestigation  AccessPurpose = "investigation"
	PurposeLegal          AccessPurpose = "legal"
	PurposeSubjectRequest AccessPurpose = "subject_request"
	PurposeOperation      AccessPurpose = "operation"
	PurposeEvaluation     AccessPurpose = "evaluation"
)

// Bases of a recipient's jurisdiction.
const (
	RecipientCell     RecipientBasis = "cell"     // taken to be in the cell: nothing else is known
	RecipientDeclared RecipientBasis = "declared" // configuration or contract says so
	RecipientIdentity RecipientBasis = "identity" // the identity provider says so
	RecipientNetwork  RecipientBasis = "network"  // the address it asked from says so
)

// Decisions under which data may be handed over. A refusal is an entry of its own type.
const (
	Allow       Decision = "allow"
	AllowMasked Decision = "allow_masked"
)

// What is handed over.
const (
	ContentFull      Content = "full"
	ContentMasked    Content = "masked"
	ContentAggregate Content = "aggregate"
	ContentNone      Content = "none"
)

var (
	accessPhases   = []AccessPhase{AccessIntent, AccessDone}
	accessOps      = []AccessOp{OpSearch, OpAggregate, OpExport, OpProof, OpQuarantineRead, OpQuarantineReplay, OpVerify, OpDedupe, OpIndexRebuild, OpIndexAudit}
	accessPurposes = []AccessPurpose{PurposeAudit, PurposeCompliance, PurposeInvestigation, PurposeLegal, PurposeSubjectRequest, PurposeOperation, PurposeEvaluation}
	recipientBases = []RecipientBasis{RecipientCell, RecipientDeclared, RecipientIdentity, RecipientNetwork}
	decisions      = []Decision{Allow, AllowMasked}
	contents       = []Content{ContentFull, ContentMasked, ContentAggregate, ContentNone}
)

// AccessPurposes are all purposes that an access can have.
func AccessPurposes() []AccessPurpose { return slices.Clone(accessPurposes) }

// Type returns EntryAccess.
func (*AccessEntry) Type() EntryType { return EntryAccess }

func (e *AccessEntry) code(c *entryCoder) {
	entryEnum(c, "phase", &e.Phase, accessPhases)
	entryEnum(c, "op", &e.Op, accessOps)
	entryOptional(c, "principal", &e.Principal, c.hashValue)
	c.text("role", &e.Role, entryID)
	entryEnum(c, "purpose", &e.Purpose, accessPurposes)
	c.member("recipient")
	c.object(func() {
		c.text("jur", &e.Recipient.Jur, entryJurisdiction)
		entryEnum(c, "basis", &e.Recipient.Basis, recipientBases)
	})
	entryEnum(c, "decision", &e.Decision, decisions)
	c.text("rule", &e.Rule, entryID)
	entryOptional(c, "query", &e.Query, c.hashValue)
	entryEnum(c, "content", &e.Content, contents)
	c.optionalText("profile", &e.Profile, entryID)
	entryList(c, "fields", &e.Fields, func(v *string) { c.textValue(v, entryPointer) },
		func(a, b *string) int { return strings.Compare(*a, *b) })
	entryOptional(c, "records", &e.Records, c.numberValue)
	entryOptional(c, "bytes", &e.Bytes, c.numberValue)
	entryOptional(c, "set", &e.Set, c.rootValue)
	entryOptional(c, "of", &e.Of, c.numberValue)
	c.must(e.Phase != AccessIntent || e.Of == nil, "an intent refers to nothing")
	c.must(e.Phase != AccessDone || e.Of != nil && e.Records != nil && e.Bytes != nil, "phase done needs of, records and bytes")
}
