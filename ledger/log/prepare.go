package log

import (
	"fmt"
	"io"
	"runtime"
	"strconv"

	"golang.org/x/sync/errgroup"

	"domicile.dev/domicile/internal/rawjson"
	"domicile.dev/domicile/ledger"
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

// prepared is a message with everything that can be made of it without its neighbours.
type prepared struct {
	*Message
	uid     key
	content key
	line    []byte // record
	leaf    []byte
	refused error // why it cannot be an event of this log

	index    uint64 // once it has one
	conflict bool   // another event has its uid: this one was renamed
	twins    []twin // later messages of the same commit with the same event
}

// twin is where the answer to a message goes whose event another message of its commit brings.
type twin struct {
	sub *submission
	at  int
}

// preparer makes records, commitments and leaves. Each worker has its own.
type preparer struct {
	cutter    ledger.Cutter
	committer ledger.Committer
	fields    []ledger.Field
}

// prepare makes everything of the messages that needs no order, on all processors. salts holds 32 random bytes for each.
func prepare(messages []*Message, random io.Reader) ([]prepared, error) {
	salts := make([]byte, 32*len(messages))
	if _, err := io.ReadFull(random, salts); err != nil {
		return nil, fmt.Errorf("drawing salts: %w", err)
	}
	out := make([]prepared, len(messages))
	workers := runtime.GOMAXPROCS(0)
	chunk := (len(messages) + workers - 1) / workers
	var group errgroup.Group
	for from := 0; from < len(messages); from += chunk {
		to := min(from+chunk, len(messages))
		group.Go(func() error {
			var p preparer
			for i := from; i < to; i++ {
				out[i] = p.one(messages[i], (*[32]byte)(salts[32*i:]))
			}
			return nil
		})
	}
	return out, group.Wait()
}

func (p *preparer) one(m *Message, salt *[32]byte) prepared {
	out := prepared{Message: m, uid: uidKey(m.UID)}
	var err error
	if p.fields, err = p.cutter.Cut(m.Event, p.fields[:0]); err != nil {
		out.refused = err
		return out
	}
	rec := ledger.Record{Salt: *salt, Event: m.Event, Fields: p.fields}
	if err := agree(m, &rec); err != nil {
		out.refused = err
		return out
	}
	leaf := ledger.Leaf{Hour: ledger.HourOf(m.Time), Region: m.Region, Commitment: p.committer.Commitment(salt, p.fields)}
	if err := leaf.CheckFields(rec.Get); err != nil {
		out.refused = err
		return out
	}
	out.content = keyOf(ledger.ContentHash(p.fields))
	out.leaf = leaf.Append(make([]byte, 0, 128))
	out.line = ledger.AppendRecord(make([]byte, 0, len(m.Event)+ledger.RecordOverhead), salt, m.Event)
	return out
}

// agree holds what the message says beside the event against the event itself.
func agree(m *Message, rec *ledger.Record) error {
	uid, time, err := identity(rec)
	switch {
	case err != nil:
		return err
	case uid != m.UID:
		return fmt.Errorf("the message's uid is not the event's /metadata/uid")
	case time != m.Time:
		return fmt.Errorf("the message's time is not the event's /time")
	case m.Class == "":
		return fmt.Errorf("the message has no retention class")
	}
	return nil
}

// identity reads an event's uid and time.
func identity(rec *ledger.Record) (uid string, time int64, err error) {
	value, ok := rec.Field(uidPointer)
	if !ok || len(value) < 3 || value[0] != '"' {
		return "", 0, fmt.Errorf("the event has no %s", uidPointer)
	}
	text, _ := rawjson.AppendUnescaped(nil, value[1:len(value)-1])
	value, ok = rec.Field("/time")
	if ok {
		time, err = strconv.ParseInt(string(value), 10, 64)
	}
	if !ok || err != nil {
		return "", 0, fmt.Errorf("the event has no /time in milliseconds")
	}
	return string(text), time, nil
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
