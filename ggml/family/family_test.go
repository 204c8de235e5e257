package family_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/family"
	"steer/ggml/gguf"
)

// open writes a header of keys, with what every family needs, and opens it.
func open(t *testing.T, arch string, keys map[string]any) *gguf.File {
	t.Helper()
	w := gguf.NewWriter()
	w.SetString("general.architecture", arch)
	for key, v := range map[string]any{
		"block_count": uint32(8), "embedding_length": uint32(64), "feed_forward_length": uint32(96),
		"attention.head_count": uint32(4),
		"context_length":       uint32(4096), "attention.layer_norm_rms_epsilon": float32(1e-5),
	} {
		if _, own := keys[key]; !own {
			w.SetValue(arch+"."+key, v)
		}
	}
	for key, v := range keys {
		if v != nil {
			w.SetValue(arch+"."+key, v)
		}
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	require.NoError(t, w.Save(path))
	f, err := gguf.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

// What the table and the metadata make of a model.
func TestRead(t *testing.T) {
	n, err := family.Read(open(t, "gemma3",
		map[string]any{"attention.sliding_window": uint32(512), "rope.freq_base": float32(1e6)}))
	require.NoError(t, err)
	require.Equal(t, float32(8), n.EmbdScale)
	for i, l := range n.Layer {
		require.Equal(t, family.Layer{Window: map[bool]int{true: 0, false: 512}[i == 5], Rope: true}, l, "layer %d", i)
	}
	r, ok := n.Turns(0)
	require.True(t, ok)
	require.Equal(t, float32(10000), r.Base)
	r, _ = n.Turns(5)
	require.Equal(t, float32(1e6), r.Base)

	n, err = family.Read(open(t, "smollm3", nil))
	require.NoError(t, err)
	for i, l := range n.Layer {
		require.Equal(t, family.Layer{Rope: i != 3 && i != 7}, l, "layer %d", i)
	}
	n, err = family.Read(open(t, "gemma2", nil))
	require.NoError(t, err)
	require.Equal(t, []family.Layer{{Window: 4096, Rope: true}, {Rope: true}}, n.Layer[:2])
	require.Equal(t, [2]float32{50, 30}, [2]float32{n.AttnCap, n.LogitCap})

	// libllama generates Mistral without its window
	n, err = family.Read(open(t, "llama", map[string]any{"attention.sliding_window": uint32(16)}))
	require.NoError(t, err)
	require.Len(t, n.Warnings, 1)
	require.Contains(t, n.Warnings[0], "llama.attention.sliding_window is 16: texts of more tokens")
}

// A file that lacks a key, or means something that would be computed wrongly, is refused with the key.
func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		arch string
		keys map[string]any
		says string
		// aborts: libllama does, in the middle of loading, so the model cannot be used untrained either
		aborts bool
	}{
		"another architecture": {"bert", nil, `architecture "bert"`, false},
		"no width":             {"qwen3", map[string]any{"embedding_length": nil}, "qwen3.embedding_length", false},
		"no epsilon": {"qwen3", map[string]any{"attention.layer_norm_rms_epsilon": nil},
			"qwen3.attention.layer_norm_rms_epsilon", false},
		"sizes by layer": {"granite", map[string]any{"feed_forward_length": []uint32{1, 2}},
			"differs from layer to layer", false},
		"values of another width": {"gemma3", map[string]any{"attention.key_length": uint32(16),
			"attention.value_length": uint32(8)}, "gemma3.attention.value_length is 8", true},
		"half a head turned": {"qwen2", map[string]any{"rope.dimension_count": uint32(8)},
			"qwen2.rope.dimension_count is 8", true},
		"an odd part of a head": {"phi3", map[string]any{"rope.dimension_count": uint32(7)},
			"phi3.rope.dimension_count is 7", true},
		"another base of windows": {"gemma3",
			map[string]any{"attention.sliding_window": uint32(8), "rope.freq_base_swa": float32(5000)},
			"libllama decodes this architecture with 10000", false},
		"another pattern": {"olmo2", map[string]any{"attention.sliding_window": uint32(8),
			"attention.sliding_window_pattern": []bool{true, false, true, false, true, false, true, false}},
			"says false of layer 1", false},
		"a pattern of another length": {"olmo2", map[string]any{"attention.sliding_window_pattern": []bool{true}},
			"for each of 8 layers", false},
		"yarn in Gemma": {"gemma3", map[string]any{"rope.scaling.type": "yarn"}, `"yarn"`, false},
		"logits divided by nothing": {"granite", map[string]any{"logit_scale": float32(0)},
			"granite.logit_scale is 0", false},
		"an embedding model": {"qwen3", map[string]any{"pooling_type": uint32(3)}, "an embedding model", false},
		"experts":            {"qwen3", map[string]any{"expert_count": uint32(8)}, "a mixture of experts", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := family.Read(open(t, c.arch, c.keys))
			require.ErrorContains(t, err, c.says)
			if c.aborts {
				require.NotErrorIs(t, err, family.ErrUnsupported)
			}
		})
	}
}
