package ledger

// A NodeEntry says that a component started, still runs as described, or stops. It is the first entry of every epoch
// of every component except init.
type NodeEntry struct {
	EntryCommon
	Event     NodeEvent
	Role      Role
	Build     string    // version of the running program
	Region    string    // where it runs, "" = not known
	Basis     NodeBasis // how it knows
	Evidence  *Hash     // of an attached statement (instance metadata, attestation), nil = none
	Nonce     *Hash     // what that statement answers to, nil = none
	PrevEpoch string    // event start: the component's epoch before, "" = none
	PrevLast  *uint64   // event start: the last number that it wrote there, nil exactly if PrevEpoch is ""
}

// A NodeEvent is what a NodeEntry reports.
type NodeEvent string

// Node events.
const (
	NodeStart   NodeEvent = "start"
	NodeObserve NodeEvent = "observe"
	NodeStop    NodeEvent = "stop"
)

// A Role is what a component does; the policy declares one for every emitter.
type Role string

// Roles. RoleCell is one process that holds all roles of a cell, as the embedded shape does.
const (
	RoleInit      Role = "init"
	RoleCell      Role = "cell"
	RoleWriter    Role = "writer"
	RoleCollector Role = "collector"
	RoleGateway   Role = "gateway"
	RoleIndexer   Role = "indexer"
	RoleRetention Role = "retention"
	RoleCommand   Role = "command"
)

// A NodeBasis is how a component knows its region.
type NodeBasis string

// Bases of a node's region, weakest first.
const (
	NodeDeclared    NodeBasis = "declared"    // configuration says so
	NodeMetadata    NodeBasis = "metadata"    // the provider's instance metadata says so
	NodeAttestation NodeBasis = "attestation" // a provider-signed statement says so
)

var (
	nodeEvents = []NodeEvent{NodeStart, NodeObserve, NodeStop}
	nodeBases  = []NodeBasis{NodeDeclared, NodeMetadata, NodeAttestation}
	roles      = []Role{RoleInit, RoleCell, RoleWriter, RoleCollector, RoleGateway, RoleIndexer, RoleRetention, RoleCommand}
)

// Type returns EntryNode.
func (*NodeEntry) Type() EntryType { return EntryNode }

func (e *NodeEntry) code(c *entryCoder) {
	entryEnum(c, "event", &e.Event, nodeEvents)
	entryEnum(c, "role", &e.Role, roles)
	c.text("build", &e.Build, entryID)
	c.optionalText("region", &e.Region, entryRegion)
	entryEnum(c, "basis", &e.Basis, nodeBases)
	entryOptional(c, "evidence", &e.Evidence, c.hashValue)
	entryOptional(c, "nonce", &e.Nonce, c.hashValue)
	c.optionalText("prev_epoch", &e.PrevEpoch, entryEpoch)
	entryOptional(c, "prev_last", &e.PrevLast, c.numberValue)
	c.must((e.PrevEpoch == "") == (e.PrevLast == nil), "prev_epoch and prev_last belong together")
	c.must(e.Event == NodeStart || e.PrevEpoch == "", "only event start has prev_epoch")
}
