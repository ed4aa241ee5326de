package ledger

import (
	"crypto/sha256"
	"encoding/binary"
)

// A Committer computes commitments and keeps its buffers between them. The zero Committer is ready; it is not safe for
// concurrent use.
//
//	block_j    = H(0x10 ‖ salt ‖ uint32 j)       salt_i = first (i even) or second (i odd) 16 bytes of block_⌊i/2⌋
//	h_i        = H(0x11 ‖ salt_i ‖ value_i)
//	commitment = H(0x12 ‖ uint16 n ‖ (uint16 len(pointer_i) ‖ pointer_i ‖ h_i) for i = 0 … n-1)
type Committer struct {
	field, list []byte
}

// Commitment commits to the fields of one record under its salt.
func (c *Committer) Commitment(salt *[32]byte, fields []Field) Hash {
	c.begin(len(fields))
	var salts fieldSalts
	for i := range fields {
		fieldSalt := salts.next(salt)
		c.add(fields[i].Pointer, c.hashField(fieldSalt, fields[i].Value))
	}
	return c.sum()
}

func (c *Committer) begin(fields int) {
	c.list = append(c.list[:0], domainCommitment)
	c.list = binary.BigEndian.AppendUint16(c.list, uint16(fields))
}

func (c *Committer) hashField(salt *[16]byte, value []byte) Hash {
	c.field = append(c.field[:0], domainField)
	c.field = append(c.field, salt[:]...)
	c.field = append(c.field, value...)
	return sha256.Sum256(c.field)
}

func (c *Committer) add(pointer string, h Hash) {
	c.list = binary.BigEndian.AppendUint16(c.list, uint16(len(pointer)))
	c.list = append(c.list, pointer...)
	c.list = append(c.list, h[:]...)
}

func (c *Committer) sum() Hash { return sha256.Sum256(c.list) }

// fieldSalts walks over salt_0, salt_1, …
type fieldSalts struct {
	i     uint32
	block Hash
	half  [16]byte
}

func (s *fieldSalts) next(salt *[32]byte) *[16]byte {
	if s.i%2 == 0 {
		var in [1 + 32 + 4]byte
		in[0] = domainSalt
		copy(in[1:], salt[:])
		binary.BigEndian.PutUint32(in[33:], s.i/2)
		s.block = sha256.Sum256(in[:])
		s.half = [16]byte(s.block[:16])
	} else {
		s.half = [16]byte(s.block[16:])
	}
	s.i++
	return &s.half
}
