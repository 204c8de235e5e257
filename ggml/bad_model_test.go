package ggml

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// edit is a change to a model file: metadata values to set (nil: to drop) and tensors
// to replace (nil: to drop, or to add).
type edit struct {
	keys    map[string]any
	tensors map[string]*tensorEdit
}

type tensorEdit struct {
	typ  gguf.Type
	dims []int64
	data []float32 // for F32 and F16
}

// edited copies a model with changes.
func edited(t testing.TB, from string, e edit) string {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	w := gguf.NewWriter()
	for _, key := range f.Keys() {
		if _, changed := e.keys[key]; !changed {
			w.SetValue(key, f.Value(key))
		}
	}
	for key, v := range e.keys {
		if v != nil {
			w.SetValue(key, v)
		}
	}
	add := func(name string, x *tensorEdit) {
		switch {
		case x == nil:
		case x.typ == gguf.TypeF16:
			w.AddF16(name, x.dims, x.data)
		case x.typ == gguf.TypeF32:
			w.AddF32(name, x.dims, x.data)
		default:
			n, size := int64(1), 0
			for _, d := range x.dims {
				n *= d
			}
			elements, bytes := x.typ.Block()
			size = int(n) / elements * bytes
			w.AddRaw(name, x.typ, x.dims, make([]byte, size))
		}
	}
	for _, info := range f.Tensors() {
		if x, changed := e.tensors[info.Name]; changed {
			add(info.Name, x)
			continue
		}
		data, err := f.Float32Data(info.Name)
		require.NoError(t, err)
		w.AddF32(info.Name, info.Dims, data)
	}
	for _, name := range slices.Sorted(maps.Keys(e.tensors)) {
		x := e.tensors[name]
		if _, had := f.Tensor(name); !had {
			add(name, x)
		}
	}
	path := filepath.Join(t.TempDir(), "edited.gguf")
	require.NoError(t, w.Save(path))
	return path
}

// mustRefuse loads a model that must be refused, and sees that nothing stays behind.
func mustRefuse(t *testing.T, path string) error {
	t.Helper()
	before := Alive()
	d, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	m, err := LoadModel(d, path, ModelOptions{})
	if err == nil {
		require.NoError(t, m.Close())
	}
	require.NoError(t, d.Close())
	require.Equal(t, before, Alive())
	require.Error(t, err)
	return err
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// words are n different tokens, but that number same, if not 0, is like the one before.
func words(n, same int) []string {
	w := make([]string, n)
	for i := range w {
		w[i] = fmt.Sprint("w", i)
		if same > 0 && i == same {
			w[i] = w[i-1]
		}
	}
	return w
}

// What is no model, or not one this engine can train, is refused with a sentence that
// says what is wrong with which file.
func TestBadModels(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	good := tiny(t, tinyShape, gguftest.Options{})
	vocab := withVocab(t, good)
	raw, err := os.ReadFile(good)
	require.NoError(t, err)
	lora := filepath.Join(dir, "adapter.gguf")
	m := openTiny(t, good)
	require.NoError(t, randomAdapter(t, m, []string{"attn_q"}, 1, false).Save(lora))
	embd, ff := int64(tinyShape.Embd), int64(tinyShape.FF)
	one := func(key string, v any) edit { return edit{keys: map[string]any{key: v}} }
	tensor := func(name string, x *tensorEdit) edit { return edit{tensors: map[string]*tensorEdit{name: x}} }

	for _, c := range []struct {
		name, path string
		want       []string
		is         error
	}{
		{"no file", filepath.Join(dir, "none.gguf"), []string{"none.gguf", "no such file"}, os.ErrNotExist},
		{"a folder", dir, []string{"is a folder", "want a GGUF file"}, nil},
		{"an empty file", file("empty.gguf", nil), []string{"empty.gguf"}, gguf.ErrTruncated},
		{"text", file("notes.txt", []byte(strings.Repeat("not a model\n", 20))), []string{"notes.txt"}, gguf.ErrFormat},
		{"cut in the header", file("header.gguf", raw[:len(raw)/20]), []string{"header.gguf"}, gguf.ErrTruncated},
		{"cut in the weights", file("cut.gguf", raw[:len(raw)-100]), []string{"cut.gguf"}, gguf.ErrTruncated},
		{"an adapter", lora, []string{"this is an adapter, not a model"}, nil},
		{"another architecture", tiny(t, tinyShape, gguftest.Options{Arch: "bert"}),
			[]string{`"bert"`, "supported are", "llama", "gemma3"}, ErrUnsupportedModel},
		{"a NaN", tiny(t, tinyShape, gguftest.Options{NaN: true}), []string{"tensor blk.0.ffn_up.weight holds NaN"},
			nil},
		{"an infinity in a norm",
			edited(t, good, tensor("blk.1.ffn_norm.weight", &tensorEdit{gguf.TypeF32, []int64{embd}, append(ones(35),
				float32(math.Inf(1)))})), []string{"tensor blk.1.ffn_norm.weight holds NaN, an infinity"}, nil},
		{"no output norm", edited(t, good, tensor("output_norm.weight", nil)),
			[]string{"output_norm.weight is missing"}, nil},
		{"a missing layer weight", edited(t, good, tensor("blk.1.ffn_down.weight", nil)),
			[]string{"blk.1.ffn_down.weight is missing"}, nil},
		{"another shape", edited(t, good, tensor("blk.1.ffn_down.weight", &tensorEdit{gguf.TypeF32, []int64{embd, ff},
			ones(int(embd * ff))})), []string{"blk.1.ffn_down.weight", "[36 53]", "[53 36]"}, nil},
		{"an output matrix of another width", edited(t, good, tensor("output.weight",
			&tensorEdit{gguf.TypeF32, []int64{embd + 2, 71}, ones(int(embd+2) * 71)})), []string{"output.weight"}, nil},
		{"frequency factors of another length", edited(t, good, tensor("rope_freqs.weight",
			&tensorEdit{gguf.TypeF32, []int64{2}, ones(2)})), []string{"rope_freqs.weight"}, nil},
		{"a norm in half precision",
			edited(t, good, tensor("blk.0.attn_norm.weight", &tensorEdit{gguf.TypeF16, []int64{embd},
				ones(int(embd))})), []string{"blk.0.attn_norm.weight", "F16", "want F32"}, nil},
		{"a matrix of integers", edited(t, good, tensor("blk.0.attn_q.weight", &tensorEdit{gguf.TypeI32,
			[]int64{embd, embd}, nil})), []string{"blk.0.attn_q.weight", "I32"}, nil},
		{"a bias", edited(t, good, tensor("blk.0.ffn_down.bias",
			&tensorEdit{gguf.TypeF32, []int64{embd}, ones(int(embd))})), []string{"biases"}, ErrUnsupportedModel},
		{"a mixture of experts", edited(t, good, tensor("blk.0.ffn_gate_inp.weight", &tensorEdit{gguf.TypeF32,
			[]int64{embd, 4}, ones(int(embd) * 4)})), []string{"mixture of experts"}, ErrUnsupportedModel},
		{"longrope without factors", edited(t, good, one("llama.rope.scaling.type", "longrope")),
			[]string{`"longrope"`, "rope_factors_short.weight"}, ErrUnsupportedModel},
		{"a norm behind the block", edited(t, good, tensor("blk.0.post_attention_norm.weight", &tensorEdit{gguf.TypeF32,
			[]int64{embd}, ones(int(embd))})), []string{"post_attention_norm", "no such norm"}, ErrUnsupportedModel},
		{"part of a head turned", edited(t, good, one("llama.rope.dimension_count", uint32(4))),
			[]string{"llama.rope.dimension_count is 4, a head has 6"}, nil},
		{"no layer count", edited(t, good, one("llama.block_count", nil)), []string{"llama.block_count"},
			gguf.ErrNoKey},
		{"a layer count that is a word", edited(t, good, one("llama.block_count", "two")),
			[]string{"llama.block_count", "string"}, nil},
		{"more layers than weights", edited(t, good, one("llama.block_count", uint32(3))), []string{"blk.2."}, nil},
		{"absurdly many layers", edited(t, good, one("llama.block_count", uint32(4e9))),
			[]string{"layers is 4000000000"}, nil},
		{"no heads", edited(t, good, one("llama.attention.head_count", uint32(0))), []string{"heads is 0"}, nil},
		{"kv heads that do not divide", edited(t, good, one("llama.attention.head_count_kv", uint32(4))),
			[]string{"6 heads over 4 kv heads"}, nil},
		{"no epsilon", edited(t, good, one("llama.attention.layer_norm_rms_epsilon", nil)),
			[]string{"llama.attention.layer_norm_rms_epsilon"}, nil},
		{"an epsilon of NaN", edited(t, good, one("llama.attention.layer_norm_rms_epsilon", float32(math.NaN()))),
			[]string{"layer_norm_rms_epsilon is NaN"}, nil},
		{"a rope base of 0", edited(t, good, one("llama.rope.freq_base", float32(0))),
			[]string{"llama.rope.freq_base is 0"}, nil},
		{"a context of 0", edited(t, good, one("llama.context_length", uint32(0))),
			[]string{"llama.context_length is 0"}, nil},
		{"no vocabulary", edited(t, good, one("tokenizer.ggml.model", "llama")), []string{"tokenizer.ggml.tokens"},
			gguf.ErrNoKey},
		{"a vocabulary of another size", edited(t, good, one("llama.vocab_size", uint32(4e9))),
			[]string{"llama.vocab_size is 4000000000", "71 rows"}, nil},
		{"a tokenizer of another kind", edited(t, good, one("tokenizer.ggml.model", "bert")),
			[]string{`"bert"`, "supported are"}, ErrUnsupportedModel},
		{"a token twice", edited(t, vocab, one("tokenizer.ggml.tokens", words(71, 9))),
			[]string{`tokens 8 and 9 are both "w8"`}, nil},
		{"too few tokens", edited(t, vocab, one("tokenizer.ggml.tokens", words(70, 0))),
			[]string{"has 70 tokens", "71 rows"}, nil},
		{"too few scores", edited(t, vocab, one("tokenizer.ggml.scores", ones(70))),
			[]string{"tokenizer.ggml.scores", "of 70", "71 tokens"}, nil},
		{"token types that are words", edited(t, vocab, one("tokenizer.ggml.token_type", words(71, 0))),
			[]string{"tokenizer.ggml.token_type", "array of string"}, nil},
		{"experts in the metadata", edited(t, good, one("llama.expert_count", uint32(8))),
			[]string{"llama.expert_count is 8", "mixture of experts"}, ErrUnsupportedModel},
		{"a classifier", edited(t, good, one("llama.classifier.output_labels", []uint32{1, 2})), []string{"classifier"},
			nil},
		{"an unknown RoPE scaling", edited(t, good, one("llama.rope.scaling.type", "spiral")),
			[]string{`"spiral"`, "supported are none, linear"}, ErrUnsupportedModel},
		{"a negative magnitude", edited(t, good, one("llama.rope.scaling.attn_factor", float32(-1.2))),
			[]string{"attn_factor is -1.2", "positive"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := mustRefuse(t, c.path)
			t.Log(err)
			decodeOrRefuse(t, c.path)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// decodeOrRefuse: what is refused for training may be used, but it is an error or answers; libllama does
// not end the process.
func decodeOrRefuse(t *testing.T, path string) {
	t.Helper()
	d, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	m, err := LoadModel(d, path, ModelOptions{Decode: true})
	if err != nil {
		return
	}
	if m.Info().CtxTrain >= 4 && m.Info().Vocab > 3 {
		_, err = m.NewDecoder().Forward(t.Context(), []lm.Sequence{all([]int32{1, 2, 3})}, lm.Options{})
		t.Logf("decoded: %v", err)
	}
	require.NoError(t, m.Close())
}

// A file whose metadata lies is an error or a model, never the end of the process:
// every number of the header is made 0, 1, odd, and huge.
func TestLyingMetadata(t *testing.T) {
	good := tiny(t, gguftest.Shape{Layers: 1, Embd: 16, FF: 32, Heads: 2, KVHeads: 1, Vocab: 20, Ctx: 32},
		gguftest.Options{RopeFreqs: true})
	f, err := gguf.Open(good)
	require.NoError(t, err)
	keys := f.Keys()
	require.NoError(t, f.Close())
	d, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	refused, loaded := 0, 0
	for _, key := range append([]string{
		"llama.attention.key_length", "llama.attention.value_length", "llama.attention.scale", "llama.expert_count",
		"llama.expert_used_count",
		"llama.rope.scaling.type", "llama.rope.scaling.factor", "llama.rope.scaling.attn_factor",
		"llama.rope.scaling.original_context_length",
		"llama.classifier.output_labels", "tokenizer.ggml.tokens", "tokenizer.ggml.pre", "split.count",
	}, keys...) {
		values := []any{uint32(0), uint32(1), uint32(7), uint32(math.MaxUint32), int32(-1), float32(0),
			float32(math.Inf(1)), "x", true, []uint32{1, 2, 3}}
		if key == "general.architecture" {
			continue
		}
		for _, v := range values {
			path := edited(t, good, edit{keys: map[string]any{key: v}})
			m, err := LoadModel(d, path, ModelOptions{})
			if err != nil {
				decodeOrRefuse(t, path)
				refused++
				continue
			}
			loaded++
			if m.Info().CtxTrain >= 4 && m.Info().Vocab > 3 {
				s, err := m.NewStep(StepOptions{Precision: F32})
				require.NoError(t, err)
				_, err = s.Forward(t.Context(), []lm.Sequence{all([]int32{1, 2, 3})}, lm.Options{})
				require.NoError(t, err, "%s = %v", key, v)
				require.NoError(t, s.Close())
			}
			require.NoError(t, m.Close())
		}
	}
	t.Logf("%d refused, %d loaded", refused, loaded)
}

// The same of a vocabulary: libllama reads its tables without looking at their types.
func TestLyingVocabulary(t *testing.T) {
	good := tiny(t, gguftest.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 2, KVHeads: 1, Vocab: 270, Ctx: 32},
		gguftest.Options{BPE: true})
	d, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	numbers := make([]int32, 270)
	refused, loaded := 0, 0
	for _, key := range []string{"model", "pre", "tokens", "scores", "token_type", "merges", "bos_token_id",
		"eos_token_id", "unknown_token_id",
		"eot_token_id", "padding_token_id", "add_bos_token", "add_eos_token", "add_space_prefix", "token_type_count"} {
		for _, v := range []any{nil, uint32(0), uint32(269), uint32(270), uint32(math.MaxUint32), int32(-1), float32(1),
			"llama", true, false,
			[]uint32{1, 2, 3}, []string{"a b", "", "x"}, words(270, 0), numbers, ones(270)} {
			m, err := LoadModel(d, edited(t, good, edit{keys: map[string]any{"tokenizer.ggml." + key: v}}),
				ModelOptions{SkipCheck: true})
			if err != nil {
				refused++
				continue
			}
			loaded++
			tok := m.Tokenizer()
			if ids, err := tok.Encode("th\x00 <|im_end|>é", true, true); err == nil {
				for _, id := range ids {
					require.True(t, id >= 0 && id < 270, "%s = %v", key, v)
				}
				tok.Decode(ids, true)
			}
			require.NoError(t, m.Close())
		}
	}
	t.Logf("%d refused, %d loaded", refused, loaded)
	require.Greater(t, loaded, 30)
	require.Greater(t, refused, 60)
}

// Adapters of another base, damaged ones, and those that cannot be decoded.
func TestBadAdapters(t *testing.T) {
	m := openTiny(t, tiny(t, tinyShape, gguftest.Options{}))
	shape := tinyShape
	shape.Embd, shape.Layers = 48, 3
	other := openTiny(t, tiny(t, shape, gguftest.Options{}))
	for _, c := range []struct {
		name string
		make func() *adapter.Adapter
		want string
		is   error
	}{
		{"another width", func() *adapter.Adapter { return randomAdapter(t, other, []string{"ffn_up"}, 1, false) },
			"48", adapter.ErrMismatch},
		{"more layers", func() *adapter.Adapter {
			a := randomAdapter(t, m, []string{"attn_q"}, 1, false)
			a.Pairs[1].Name = layerName(2, "attn_q")
			return a
		}, "blk.2.attn_q.weight", adapter.ErrMismatch},
		{"another head", func() *adapter.Adapter {
			return &adapter.Adapter{Arch: "llama", Head: adapter.NewValueHead(48, 1)}
		}, "head.weight", adapter.ErrMismatch},
		{"NaN", func() *adapter.Adapter {
			a := randomAdapter(t, m, []string{"attn_q"}, 1, false)
			a.Pairs[1].B[5] = float32(math.NaN())
			return a
		}, "blk.1.attn_q.weight.lora_b: value 5", adapter.ErrNotFinite},
		{"nothing", func() *adapter.Adapter { return &adapter.Adapter{Arch: "llama"} }, "neither", adapter.ErrFormat},
		{"too few values", func() *adapter.Adapter {
			a := randomAdapter(t, m, []string{"attn_q"}, 1, false)
			a.Pairs[0].A = a.Pairs[0].A[1:]
			return a
		}, "blk.0.attn_q.weight", adapter.ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := Alive()
			_, err := m.NewAdapter(c.make(), true)
			t.Log(err)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, before, Alive())
		})
	}
	var stack []*Adapter
	for i := range 3 {
		stack = append(stack, live(t, m, randomAdapter(t, m, []string{"attn_q"}, uint64(i), false), false))
	}
	_, err := m.NewSession(SessionOptions{Adapters: stack, Context: 16})
	require.ErrorContains(t, err, "at most two adapters, got 3")
	step(t, m, StepOptions{Adapters: stack}) // which the trainer can stack
}
