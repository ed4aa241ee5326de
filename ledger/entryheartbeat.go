package ledger

import "strings"

// A HeartbeatEntry is a live component's view, once a minute: the logs as it sees them and what it still holds.
type HeartbeatEntry struct {
	EntryCommon
	ControlSize uint64
	ControlRoot Hash
	Logs        []LogHead
	Queued      uint64 // events taken and not yet committed
	Foreign     []ForeignCount
}

// A LogHead is the newest published tree of a log that a component knows.
type LogHead struct {
	Origin string
	Size   uint64
	Root   Hash
}

// A ForeignCount is how many items of another jurisdiction a cell holds and has handed over.
type ForeignCount struct {
	Jur    string
	Held   uint64
	Routed uint64
}

// Type returns EntryHeartbeat.
func (*HeartbeatEntry) Type() EntryType { return EntryHeartbeat }

func (e *HeartbeatEntry) code(c *entryCoder) {
	c.number("control_size", &e.ControlSize)
	c.root("control_root", &e.ControlRoot)
	entryList(c, "logs", &e.Logs, func(v *LogHead) {
		c.object(func() {
			c.text("origin", &v.Origin, entryOrigin)
			c.number("size", &v.Size)
			c.root("root", &v.Root)
		})
	}, func(a, b *LogHead) int { return strings.Compare(a.Origin, b.Origin) })
	c.number("queued", &e.Queued)
	entryMap(c, "foreign", &e.Foreign, func(v *ForeignCount) *string { return &v.Jur }, entryJurisdiction,
		func(v *ForeignCount) {
			c.object(func() {
				c.number("held", &v.Held)
				c.number("routed", &v.Routed)
			})
		}, func(a, b *ForeignCount) int { return strings.Compare(a.Jur, b.Jur) })
}
