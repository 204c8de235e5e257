package data

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFingerprint(t *testing.T) {
	f := NewFingerprint()
	f.Text("ab")
	f.IDs([]int32{1, -1})
	f.IDs(nil)
	want := sha256.Sum256([]byte("\x02\x00\x00\x00\x00\x00\x00\x00ab" +
		"\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	require.Equal(t, hex.EncodeToString(want[:]), f.Sum())
}
