package gguftest_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/internal/testfiles"
)

var tiny = gguftest.Shape{Layers: 2, Embd: 16, FF: 24, Heads: 4, KVHeads: 2, Vocab: 11, Ctx: 32}

func write(t *testing.T, seed uint64, opt gguftest.Options) *gguf.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, tiny, seed, opt))
	f, err := gguf.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func TestTinyLlamaVariants(t *testing.T) {
	f := write(t, 1, gguftest.Options{})
	require.Len(t, f.Tensors(), 2+9*tiny.Layers)
	k, ok := f.Tensor("blk.1.attn_k.weight")
	require.True(t, ok)
	require.Equal(t, []int64{16, 8}, k.Dims)
	require.Equal(t, gguf.TypeF32, k.Type)
	down, _ := f.Tensor("blk.1.ffn_down.weight")
	require.Equal(t, []int64{24, 16}, down.Dims)
	_, ok = f.Tensor("output.weight")
	require.False(t, ok, "embeddings are tied unless asked")

	full := write(t, 1, gguftest.Options{Untied: true, RopeFreqs: true, NaN: true, Arch: "falcon", F16: true})
	for _, name := range []string{"output.weight", "rope_freqs.weight"} {
		_, ok := full.Tensor(name)
		require.True(t, ok, name)
	}
	arch, err := full.String("general.architecture")
	require.NoError(t, err)
	require.Equal(t, "falcon", arch)
	require.True(t, full.Has("falcon.block_count"))
	up, err := full.Float32Data("blk.0.ffn_up.weight")
	require.NoError(t, err)
	nans := 0
	for _, x := range up {
		if math.IsNaN(float64(x)) {
			nans++
		}
	}
	require.Equal(t, 1, nans)

	bad := tiny
	bad.KVHeads = 3
	require.ErrorContains(t, gguftest.WriteTinyLlama(filepath.Join(t.TempDir(), "x"), bad, 1, gguftest.Options{}),
		"KVHeads")
}

func TestTinyLlamaIsDeterminedBySeed(t *testing.T) {
	read := func(seed uint64) []byte {
		path := filepath.Join(t.TempDir(), "m")
		require.NoError(t, gguftest.WriteTinyLlama(path, tiny, seed, gguftest.Options{}))
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return b
	}
	require.Equal(t, read(7), read(7))
	require.NotEqual(t, read(7), read(8))
}

// Distributions sum to one, and no position sees a later token.
func TestReferenceIsADistribution(t *testing.T) {
	f := write(t, 3, gguftest.Options{Untied: true, RopeFreqs: true})
	tr, err := gguftest.Reference(f, []int32{3, 1, 4, 1, 5}, nil)
	require.NoError(t, err)
	var sum float64
	for id := range int32(tiny.Vocab) {
		one := &gguftest.Trace{Logits: tr.Logits[4:]}
		sum += math.Exp(one.Logprobs([]int32{0, id})[0])
	}
	require.InDelta(t, 1, sum, 1e-12)
	prefix, err := gguftest.Reference(f, []int32{3, 1, 4}, nil)
	require.NoError(t, err)
	require.Equal(t, prefix.Logits, tr.Logits[:3], "later tokens must not be seen")
	_, err = gguftest.Reference(f, []int32{11}, nil)
	require.ErrorContains(t, err, "token 11")
}

// Logits of llama2.c's own arithmetic at the first eight positions: they fix the
// order of every tensor, the RoPE convention and the epsilon.
func TestStories260KGivesTheGoldenLogits(t *testing.T) {
	f, err := gguf.Open(gguftest.Stories260K(t))
	require.NoError(t, err)
	defer f.Close()

	var golden struct {
		IDs    []int32     `json:"ids"`
		Logits [][]float64 `json:"logits_first8"`
	}
	testfiles.ReadGolden(t, "models/stories260K/golden_greedy.json", &golden)
	tr, err := gguftest.Reference(f, golden.IDs[:8], nil)
	require.NoError(t, err)
	require.Len(t, golden.Logits, 8)
	for i, want := range golden.Logits {
		require.InDeltaSlice(t, want, tr.Logits[i], 1e-4)
	}

	tokens, err := f.Strings("tokenizer.ggml.tokens")
	require.NoError(t, err)
	types, err := f.Int32s("tokenizer.ggml.token_type")
	require.NoError(t, err)
	scores, err := f.Float32s("tokenizer.ggml.scores")
	require.NoError(t, err)
	require.Len(t, tokens, 512)
	require.Len(t, scores, 512)
	require.Equal(t, []string{"<unk>", "<s>", "</s>", "<0x00>"}, tokens[:4])
	require.Equal(t, []int32{2, 3, 3, 6}, types[:4])
	require.Equal(t, "<0xFF>", tokens[258])
	require.Equal(t, int32(6), types[258])
	require.Equal(t, int32(1), types[259])
	require.Contains(t, tokens[259:], "\u2581friend")
}
