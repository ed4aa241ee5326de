package ledger

import "strings"

// A PolicyEntry puts a policy document in force. The document itself is an attachment; the entry cites the policy that
// was in force before it, except entry 0 of a log, which cites its own.
type PolicyEntry struct {
	EntryCommon
	Hash       Hash   // SHA-256 of the document
	Object     string // key of the document under the log's origin: attachment/<hash>
	Supersedes *Hash  // the policy logged before, nil in entry 0
	Effective  int64  // from when on it is in force, in milliseconds since 1970; not before the entry's time less the allowed skew
	Approvals  []Approval
}

// Type returns EntryPolicy.
func (*PolicyEntry) Type() EntryType { return EntryPolicy }

func (e *PolicyEntry) code(c *entryCoder) {
	c.hash("hash", &e.Hash)
	c.text("object", &e.Object, entryAttachment)
	entryOptional(c, "supersedes", &e.Supersedes, c.hashValue)
	c.time("effective", &e.Effective)
	codeApprovals(c, &e.Approvals)
}

// An Approval is one person's consent. By is a keyed hash (HMAC-SHA-256) of the person's identity, whose key stays in
// the jurisdiction.
type Approval struct {
	By   Hash
	Time int64 // milliseconds since 1970
}

// codeApprovals codes `approvals`: ascending by person, so that nobody is counted twice.
func codeApprovals(c *entryCoder, v *[]Approval) {
	entryList(c, "approvals", v, func(a *Approval) {
		c.object(func() {
			c.hash("by", &a.By)
			c.time("time", &a.Time)
		})
	}, func(a, b *Approval) int { return strings.Compare(string(a.By[:]), string(b.By[:])) })
}
