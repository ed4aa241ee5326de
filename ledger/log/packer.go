package log

import (
	"runtime"
	"sync"

	"domicile.dev/domicile/ledger"
)

// leastPart is how many bytes of record lines are worth a processor, and a zstd frame, of their own.
const leastPart = 512 << 10

// A packer makes the plaintext of payloads: record lines, joined and compressed. Long ones are cut into as many parts as
// there are processors, each of which becomes a zstd frame; a payload is their concatenation, which any decoder reads as
// one (RFC 8878, section 3).
type packer struct {
	parts []*part
}

// part is what one processor works with, kept from one payload to the next.
type part struct {
	codec *ledger.PayloadCodec
	lines []byte // joined
	frame []byte
}

func newPacker() (*packer, error) {
	p := &packer{parts: make([]*part, runtime.GOMAXPROCS(0))}
	for i := range p.parts {
		codec, err := ledger.NewPayloadCodec()
		if err != nil {
			return nil, err
		}
		p.parts[i] = &part{codec: codec}
	}
	return p, nil
}

// pack returns the compressed lines of records, which stay as they are until the next call.
func (p *packer) pack(records []*waiting) []byte {
	size := 0
	for _, w := range records {
		size += w.lineLen() + 1
	}
	n := max(1, min(len(p.parts), size/leastPart, len(records)))
	var group sync.WaitGroup
	for i, part := range p.parts[:n] {
		from, to := i*len(records)/n, (i+1)*len(records)/n
		work := func() { part.pack(records[from:to], to == len(records)) }
		if i < n-1 {
			group.Go(work)
		} else {
			work()
		}
	}
	group.Wait()
	whole := p.parts[0].frame
	for _, part := range p.parts[1:n] {
		whole = append(whole, part.frame...)
	}
	p.parts[0].frame = whole // with the memory it has now
	return whole
}

// pack makes the frame of some of a payload's records. What is not the payload's end ends in a line feed.
func (p *part) pack(records []*waiting, last bool) {
	p.lines = p.lines[:0]
	for _, w := range records {
		p.lines = append(ledger.AppendRecord(p.lines, &w.salt, w.Event), '\n')
	}
	if last {
		p.lines = p.lines[:len(p.lines)-1]
	}
	p.frame = p.codec.AppendCompressed(p.frame[:0], p.lines)
}
