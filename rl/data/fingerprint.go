package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Fingerprint is the SHA-256 of what a run learns from, so that changed data are noticed. Each text
// and each list of ids stands behind its length (8 bytes, little-endian; an id has 4), so that no
// two lists of parts give the same bytes.
type Fingerprint struct {
	hash   hash.Hash
	buffer []byte
}

// NewFingerprint is that of nothing yet.
func NewFingerprint() *Fingerprint { return &Fingerprint{hash: sha256.New()} }

// Text adds a text.
func (f *Fingerprint) Text(s string) {
	f.buffer = binary.LittleEndian.AppendUint64(f.buffer[:0], uint64(len(s)))
	f.buffer = append(f.buffer, s...)
	f.hash.Write(f.buffer)
}

// IDs adds token ids or positions.
func (f *Fingerprint) IDs(ids []int32) {
	f.buffer = binary.LittleEndian.AppendUint64(f.buffer[:0], uint64(len(ids)))
	for _, id := range ids {
		f.buffer = binary.LittleEndian.AppendUint32(f.buffer, uint32(id))
	}
	f.hash.Write(f.buffer)
}

// Sum is the hash of all that was added, in hexadecimal.
func (f *Fingerprint) Sum() string { return hex.EncodeToString(f.hash.Sum(nil)) }
