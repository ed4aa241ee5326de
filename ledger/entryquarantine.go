package ledger

// A QuarantineEntry says what happened to records that became no event of this cell's logs.
type QuarantineEntry struct {
	EntryCommon
	Source     string // id of the source they came from
	Reason     string // code of the reason
	ForeignJur string // jurisdiction that they belong to, "" = not the reason
	Count      uint64
	Set        *Hash  // set root over the items (SetRoot of their addresses), nil = not computed
	Store      string // id of the store that holds them
	Action     QuarantineAction
	Dest       string // action routed: the cell that took them
}

// A QuarantineAction is what was done to quarantined records.
type QuarantineAction string

// Quarantine actions.
const (
	QuarantineHeld     QuarantineAction = "held"
	QuarantineRouted   QuarantineAction = "routed"   // handed to the cell that may hold them
	QuarantineReleased QuarantineAction = "released" // became events after all
	QuarantinePurged   QuarantineAction = "purged"
)

var quarantineActions = []QuarantineAction{QuarantineHeld, QuarantineRouted, QuarantineReleased, QuarantinePurged}

// Type returns EntryQuarantine.
func (*QuarantineEntry) Type() EntryType { return EntryQuarantine }

func (e *QuarantineEntry) code(c *entryCoder) {
	c.text("source", &e.Source, entryID)
	c.text("reason", &e.Reason, entryCode)
	c.optionalText("foreign_jur", &e.ForeignJur, entryJurisdiction)
	c.number("count", &e.Count)
	entryOptional(c, "set", &e.Set, c.rootValue)
	c.text("store", &e.Store, entryStoreID)
	entryEnum(c, "action", &e.Action, quarantineActions)
	c.optionalText("dest", &e.Dest, entryJurisdiction)
	c.must((e.Action == QuarantineRouted) == (e.Dest != ""), "dest belongs to action routed")
}
