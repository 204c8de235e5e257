package ggml

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
)

// Two adapters on all seven linears of a deep model: without
// third_party/patches/0002 the decoding graph runs out of nodes and the process aborts.
func TestDecodeTwoAdaptersOnManyLayers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, gguftest.Shape{Layers: 40, Embd: 32, FF: 32, Heads: 2, KVHeads: 1,
		Vocab: 64, Ctx: 64}, 1, gguftest.Options{}))
	m := open(t, path)
	var stack []*Adapter
	for seed := range uint64(2) {
		a, err := adapter.New(m.Shape(), adapter.Targets(), 2, 4, false, seed)
		require.NoError(t, err)
		stack = append(stack, live(t, m, a, false))
	}
	s, err := m.NewSession(SessionOptions{Adapters: stack, Sequences: 4, Context: 32})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	logits, err := s.Logits([]int32{1, 2, 3})
	require.NoError(t, err)
	require.Len(t, logits, 3)
}
