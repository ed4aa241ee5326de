package log

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
	"domicile.dev/domicile/ledger/tile"
)

// A Message is one event on its way into an events log.
type Message struct {
	Source        // who sent it, in which epoch
	Seq    uint64 // its number there
	UID    string // as /metadata/uid of the event says
	Time   int64  // of the event, ms since 1970
	Region string // what its leaf says: aws:eu-central-1, gcp:unknown, …
	Class  string // retention class
	Event  []byte // exact bytes, as the record format asks
}

// prepared is a message with everything that can be made of it without its neighbours. Its record line is made when the
// payload is: a line is a copy of the event, and salt and event say as much.
type prepared struct {
	*Message
	salt    [32]byte
	made    bool // what follows is there
	uid     key
	content key
	leaf    []byte
	hash    ledger.Hash // of the leaf
	refused error       // why it cannot be an event of this log

	index    uint64 // once it has one
	conflict bool   // another event has its uid: this one was renamed
	twins    []twin // other messages that are answered with this one
}

// twin is where the answer to a message goes that brings an event which another one of its commit brings (Duplicate), or
// is a copy of a message that was not settled when it came (Repeat).
type twin struct {
	sub    *submission
	at     int
	status Status
}

// lineLen is the length of the record line.
func (p *prepared) lineLen() int { return len(p.Event) + ledger.RecordOverhead }

// preparer makes commitments and leaves. Each worker has its own.
type preparer struct {
	cutter    ledger.Cutter
	committer ledger.Committer
	fields    []ledger.Field
	uid       []byte
	leaves    []byte              // memory for the next leaves
	bindable  map[[2]string]error // of class and region
}

// draw gives messages that come new their salts.
func draw(list []*waiting, random io.Reader) error {
	salts := make([]byte, 32*len(list))
	if _, err := io.ReadFull(random, salts); err != nil {
		return fmt.Errorf("drawing salts: %w", err)
	}
	for i := range list {
		list[i].salt = [32]byte(salts[32*i:])
	}
	return nil
}

// prepare makes everything of the messages that needs no order, on all processors, beside what the caller does. The
// messages are the workers' until wait returns.
func prepare(list []*waiting) (wait func()) {
	// Small parts, so that no worker waits for one whose processor has other things to do.
	const part = 128
	parts := (len(list) + part - 1) / part
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), parts) {
		group.Go(func() {
			var p preparer
			for n := int(next.Add(1)) - 1; n < parts; n = int(next.Add(1)) - 1 {
				for i := n * part; i < min((n+1)*part, len(list)); i++ {
					if w := list[i]; !w.made {
						twins := w.twins
						w.prepared = p.one(w.Message, &w.salt)
						w.twins = twins
					}
				}
			}
		})
	}
	return group.Wait
}

func (p *preparer) one(m *Message, salt *[32]byte) prepared {
	out := prepared{Message: m, salt: *salt, made: true, uid: UIDKey(m.UID)}
	var err error
	if p.fields, err = p.cutter.Cut(m.Event, p.fields[:0]); err != nil {
		out.refused = err
		return out
	}
	rec := ledger.Record{Salt: *salt, Event: m.Event, Fields: p.fields}
	if err := p.agree(m, &rec); err != nil {
		out.refused = err
		return out
	}
	leaf := ledger.Leaf{Hour: ledger.HourOf(m.Time), Region: m.Region, Commitment: p.committer.Commitment(salt, p.fields)}
	if err := leaf.CheckFields(rec.Get); err != nil {
		out.refused = err
		return out
	}
	if out.refused = p.canBind(m.Class, m.Region); out.refused != nil {
		return out
	}
	out.content = ContentKey(p.fields)
	out.leaf = p.encode(leaf)
	out.hash = tile.LeafHash(out.leaf)
	return out
}

// encode is leaf.Append in memory that many leaves share.
func (p *preparer) encode(leaf ledger.Leaf) []byte {
	const most = 256 // a leaf is shorter
	if cap(p.leaves)-len(p.leaves) < most {
		p.leaves = make([]byte, 0, 64*most)
	}
	from := len(p.leaves)
	p.leaves = leaf.Append(p.leaves)
	return p.leaves[from:len(p.leaves):len(p.leaves)]
}

// canBind reports whether a batch entry could name an event's class and region. There are few of them.
func (p *preparer) canBind(class, region string) error {
	err, known := p.bindable[[2]string{class, region}]
	if !known {
		if err = canBind(probeSource, class, region); err != nil {
			err = fmt.Errorf("neither leaf nor batch entry could say it: %w", err)
		}
		if p.bindable == nil || len(p.bindable) >= 1024 {
			p.bindable = make(map[[2]string]error)
		}
		p.bindable[[2]string{class, region}] = err
	}
	return err
}

// agree holds what the message says beside the event against the event itself.
func (p *preparer) agree(m *Message, rec *ledger.Record) error {
	var time int64
	var err error
	p.uid, time, err = appendIdentity(p.uid[:0], rec)
	switch {
	case err != nil:
		return err
	case string(p.uid) != m.UID:
		return fmt.Errorf("the message's uid is not the event's /metadata/uid")
	case time != m.Time:
		return fmt.Errorf("the message's time is not the event's /time")
	}
	return nil
}

// identity reads an event's uid and time.
func identity(rec *ledger.Record) (uid string, time int64, err error) {
	text, time, err := appendIdentity(nil, rec)
	return string(text), time, err
}

// appendIdentity is identity with memory for the uid.
func appendIdentity(dst []byte, rec *ledger.Record) (uid []byte, time int64, err error) {
	value, ok := rec.Field(uidPointer)
	if !ok || len(value) < 3 || value[0] != '"' {
		return dst, 0, fmt.Errorf("the event has no %s", uidPointer)
	}
	uid, _ = rawjson.AppendUnescaped(dst, value[1:len(value)-1])
	value, ok = rec.Field("/time")
	if ok {
		time, err = strconv.ParseInt(string(value), 10, 64)
	}
	if !ok || err != nil {
		return uid, 0, fmt.Errorf("the event has no /time in milliseconds")
	}
	return uid, time, nil
}

const uidPointer = "/metadata/uid"

// rename gives a prepared event another uid, in the message and in the event itself.
func (p *preparer) rename(in prepared, uid string, salt *[32]byte) prepared {
	fields, err := p.cutter.Cut(in.Event, nil)
	if err != nil {
		in.refused = err
		return in
	}
	for _, f := range fields {
		if f.Pointer == uidPointer {
			// The value is a part of the event: its place follows from what is left of the event's memory after it.
			at := cap(in.Event) - cap(f.Value)
			event := append([]byte(nil), in.Event[:at]...)
			event = rawjson.AppendString(event, uid)
			event = append(event, in.Event[at+len(f.Value):]...)
			renamed := *in.Message
			renamed.UID, renamed.Event = uid, event
			return p.one(&renamed, salt)
		}
	}
	in.refused = fmt.Errorf("the event has no %s", uidPointer)
	return in
}
