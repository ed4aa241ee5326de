package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// MaxPayloadBytes bounds the record lines of one payload, before compression. A single record never exceeds it.
const MaxPayloadBytes = 16 << 20

// PayloadAssociatedData binds a payload's ciphertext to its place: origin ‖ uint64 first.
func PayloadAssociatedData(origin string, first uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(origin), first)
}

// A PayloadCodec compresses record lines and back. Sealing is the key store's. Not safe for concurrent use.
type PayloadCodec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// NewPayloadCodec makes a codec that works in the calling goroutine only.
func NewPayloadCodec() (*PayloadCodec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*MaxPayloadBytes))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &PayloadCodec{enc: enc, dec: dec}, nil
}

// AppendCompressed compresses record lines that are joined by line feeds and appends the zstd frame to dst. A payload is
// one frame or several; the lines of one after the other are its lines.
func (c *PayloadCodec) AppendCompressed(dst, joined []byte) []byte {
	return c.enc.EncodeAll(joined, dst)
}

// Lines decompresses a payload into its record lines, in leaf order; want is how many there must be. The line of an
// erased record is empty.
func (c *PayloadCodec) Lines(compressed []byte, want uint64) ([][]byte, error) {
	joined, err := c.AppendJoined(nil, compressed, want)
	if err != nil {
		return nil, err
	}
	return bytes.Split(joined, []byte("\n")), nil
}

// AppendJoined is Lines in memory of the caller: it appends the lines of a payload to dst, joined by line feeds.
func (c *PayloadCodec) AppendJoined(dst, compressed []byte, want uint64) ([]byte, error) {
	joined, err := c.dec.DecodeAll(compressed, dst)
	if err != nil {
		return dst, fmt.Errorf("payload does not decompress: %w", err)
	}
	if lines := uint64(bytes.Count(joined[len(dst):], []byte("\n"))) + 1; lines != want {
		return dst, fmt.Errorf("payload holds %d records, its commit says %d", lines, want)
	}
	return joined, nil
}
