package ledger

// A KeyEntry is about a key: created, replaced, destroyed, or seen as described. Auditors learn the keys of the events
// logs from the entries of purpose log.
type KeyEntry struct {
	EntryCommon
	Event       KeyEvent
	Purpose     KeyPurpose
	KID         string // id of the key: its key hash (8 hex digits) for a log, else the key manager's id
	VKey        string // C2SP verifier key, "" where the purpose has none
	Region      string // where the key is kept, "" = not known
	MultiRegion *bool  // whether its material is shared between regions, nil = not known
	Origin      string // log that it belongs to, "" = no particular one
}

// A KeyEvent is what a KeyEntry reports.
type KeyEvent string

// Key events.
const (
	KeyCreate  KeyEvent = "create"
	KeyRotate  KeyEvent = "rotate"
	KeyDestroy KeyEvent = "destroy"
	KeyObserve KeyEvent = "observe"
)

// A KeyPurpose is what a key is for.
type KeyPurpose string

// Key purposes.
const (
	KeyLog        KeyPurpose = "log"        // signs the checkpoints of Origin
	KeyPayload    KeyPurpose = "payload"    // wraps the keys of payloads
	KeyQuarantine KeyPurpose = "quarantine" // wraps the keys of quarantined items
	KeyPseudonym  KeyPurpose = "pseudonym"  // makes principals and queries of entries
	KeyStatement  KeyPurpose = "statement"  // signs residency statements
)

var (
	keyEvents   = []KeyEvent{KeyCreate, KeyRotate, KeyDestroy, KeyObserve}
	keyPurposes = []KeyPurpose{KeyLog, KeyPayload, KeyQuarantine, KeyPseudonym, KeyStatement}
)

// Type returns EntryKey.
func (*KeyEntry) Type() EntryType { return EntryKey }

func (e *KeyEntry) code(c *entryCoder) {
	entryEnum(c, "event", &e.Event, keyEvents)
	entryEnum(c, "purpose", &e.Purpose, keyPurposes)
	c.text("kid", &e.KID, entryID)
	c.optionalText("vkey", &e.VKey, entryVKey)
	c.optionalText("region", &e.Region, entryRegion)
	entryOptional(c, "multi_region", &e.MultiRegion, c.boolValue)
	c.optionalText("origin", &e.Origin, entryOrigin)
	c.must(e.Purpose != KeyLog || e.VKey != "" && e.Origin != "", "purpose log needs vkey and origin")
}
