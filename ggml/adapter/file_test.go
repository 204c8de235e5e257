package adapter_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
)

func readBytes(b []byte) (*adapter.Adapter, error) {
	f, err := gguf.Read("a.gguf", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	return adapter.Read(f)
}

// mixed has another rank in one pair; the scale is alpha over each pair's own.
func mixed(t *testing.T) *adapter.Adapter {
	t.Helper()
	a := trained(t, []string{"attn_q", "ffn_up"}, 4, false)
	p, ok := a.Pair("blk.1.ffn_up.weight")
	require.True(t, ok)
	p.Rank, p.A, p.B = 3, p.A[:3*p.NIn], p.B[:3*p.NOut]
	require.NoError(t, a.Check(small))
	require.Equal(t, 0, a.Rank())
	require.Equal(t, float32(1.5), a.Scale(a.Pairs[0]))
	require.Equal(t, float32(2), a.Scale(*p))
	return a
}

func TestFileKeepsEverything(t *testing.T) {
	withHead := trained(t, adapter.Targets(), 3, true)
	withHead.Head = adapter.NewValueHead(16, 5)
	withHead.Head.Mean, withHead.Head.Std = -0.1, 3e-5
	withHead.Meta = map[string]string{"steer.base.sha256": "abc", "role": "reward", "theory": "virtue \u00e4\n",
		"empty": ""}
	noPairs := &adapter.Adapter{Arch: "llama", Alpha: 1, Head: adapter.NewScoreHead(16, 1)}
	noDivide := trained(t, []string{"attn_q"}, 2, false)
	noDivide.Alpha = 0
	for name, a := range map[string]*adapter.Adapter{
		"head, meta, rslora": withHead, "ranks differ": mixed(t), "head alone": noPairs, "alpha 0": noDivide,
	} {
		t.Run(name, func(t *testing.T) {
			one, err := a.Bytes()
			require.NoError(t, err)
			two, err := a.Clone().Bytes()
			require.NoError(t, err)
			require.True(t, bytes.Equal(one, two), "equal adapters, equal bytes")
			back, err := readBytes(one)
			require.NoError(t, err)
			require.Equal(t, a, back)
		})
	}
}

// The keys and dimensions llama.cpp's llama_adapter_lora_init looks at.
func TestFileIsLlamaCppsForm(t *testing.T) {
	a := trained(t, []string{"ffn_down"}, 2, false)
	a.Head = adapter.NewScoreHead(16, 1)
	b, err := a.Bytes()
	require.NoError(t, err)
	f, err := gguf.Read("a", bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	for k, want := range map[string]string{"general.type": "adapter", "general.architecture": "llama",
		"adapter.type": "lora"} {
		got, err := f.String(k)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Equal(t, "float32", f.TypeOf("adapter.lora.alpha"))
	require.Len(t, f.Tensors(), 4, "a head is no tensor: llama.cpp refuses tensors it does not know")
	ta, _ := f.Tensor("blk.0.ffn_down.weight.lora_a")
	tb, _ := f.Tensor("blk.0.ffn_down.weight.lora_b")
	require.Equal(t, []int64{24, 2}, ta.Dims)
	require.Equal(t, []int64{2, 16}, tb.Dims)
}

func TestF16AdaptersAreRead(t *testing.T) {
	w := header()
	w.AddF16("blk.0.attn_q.weight.lora_a", []int64{2, 1}, []float32{1, -0.5})
	w.AddRaw("blk.0.attn_q.weight.lora_b", gguf.TypeBF16, []int64{1, 2}, []byte{0x80, 0x3f, 0x00, 0xc0})
	b, err := w.Bytes()
	require.NoError(t, err)
	a, err := readBytes(b)
	require.NoError(t, err)
	require.Equal(t, []float32{1, -0.5}, a.Pairs[0].A)
	require.Equal(t, []float32{1, -2}, a.Pairs[0].B)
	require.Equal(t, float32(0), a.Alpha, "no alpha is 0, as llama.cpp reads it")
}

func header() *gguf.Writer {
	w := gguf.NewWriter()
	w.SetString("general.type", "adapter")
	w.SetString("general.architecture", "llama")
	w.SetString("adapter.type", "lora")
	return w
}

func TestUnusableFiles(t *testing.T) {
	pair := func(w *gguf.Writer) {
		w.AddF32("blk.0.attn_q.weight.lora_a", []int64{2, 1}, []float32{1, 2})
		w.AddF32("blk.0.attn_q.weight.lora_b", []int64{1, 2}, []float32{1, 2})
	}
	for name, c := range map[string]struct {
		make func() *gguf.Writer
		want string
	}{
		"a model": {func() *gguf.Writer {
			w := gguf.NewWriter()
			w.SetString("general.architecture", "llama")
			return w
		}, "this is a model, not an adapter"},
		"another type": {func() *gguf.Writer {
			w := gguf.NewWriter()
			w.SetString("general.type", "mmproj")
			return w
		}, `want "adapter", got "mmproj"`},
		"another architecture": {func() *gguf.Writer {
			w := gguf.NewWriter()
			w.SetString("general.type", "adapter")
			w.SetString("general.architecture", "bert")
			return w
		}, `want one of llama`},
		"empty": {header, "neither a LoRA pair nor a head"},
		"A alone": {func() *gguf.Writer {
			w := header()
			w.AddF32("blk.0.attn_q.weight.lora_a", []int64{2, 1}, []float32{1, 2})
			return w
		}, `has no "blk.0.attn_q.weight.lora_b" beside it`},
		"B alone": {func() *gguf.Writer {
			w := header()
			w.AddF32("blk.0.attn_q.weight.lora_b", []int64{2, 1}, []float32{1, 2})
			return w
		}, `has no "blk.0.attn_q.weight.lora_a" beside it`},
		"ranks": {func() *gguf.Writer {
			w := header()
			w.AddF32("blk.0.attn_q.weight.lora_a", []int64{2, 1}, []float32{1, 2})
			w.AddF32("blk.0.attn_q.weight.lora_b", []int64{2, 1}, []float32{1, 2})
			return w
		}, "of one rank"},
		"vectors": {func() *gguf.Writer {
			w := header()
			w.AddF32("blk.0.attn_q.weight.lora_a", []int64{2}, []float32{1, 2})
			w.AddF32("blk.0.attn_q.weight.lora_b", []int64{2}, []float32{1, 2})
			return w
		}, "1 dimensions, want 2"},
		"another tensor": {func() *gguf.Writer {
			w := header()
			w.AddF32("blk.0.attn_norm.weight", []int64{2}, []float32{1, 2})
			return w
		}, "want a name ending in .lora_a or .lora_b"},
		"embedding": {func() *gguf.Writer {
			w := header()
			w.AddF32("token_embd.weight.lora_a", []int64{2, 1}, []float32{1, 2})
			return w
		}, `"token_embd.weight" is on the token embedding (embed_tokens): LoRA is laid over the seven matrices`},
		"output": {func() *gguf.Writer {
			w := header()
			w.AddF32("output.weight.lora_a", []int64{2, 1}, []float32{1, 2})
			return w
		}, `"output.weight" is on the output matrix (lm_head)`},
		"stray": {func() *gguf.Writer {
			w := header()
			w.AddF32("vision.weight.lora_a", []int64{2, 1}, []float32{1, 2})
			return w
		}, "want a layer's matrix"},
		"quantized": {func() *gguf.Writer {
			w := header()
			w.AddRaw("blk.0.attn_q.weight.lora_a", gguf.TypeQ8_0, []int64{32, 1}, make([]byte, 34))
			w.AddF32("blk.0.attn_q.weight.lora_b", []int64{1, 2}, []float32{1, 2})
			return w
		}, "want F32, F16 or BF16, got Q8_0"},
		"activated": {func() *gguf.Writer {
			w := header()
			w.SetUint32s("adapter.alora.invocation_tokens", []uint32{1})
			pair(w)
			return w
		}, "invocation tokens"},
		"alpha NaN": {func() *gguf.Writer {
			w := header()
			w.SetValue("adapter.lora.alpha", "x")
			pair(w)
			return w
		}, "want float32, got string"},
		"rslora edited": {func() *gguf.Writer {
			w := header()
			w.SetFloat32("adapter.lora.alpha", 8)
			w.SetBool("steer.lora.rslora", true)
			w.SetFloat32("steer.lora.alpha", 4)
			pair(w)
			return w
		}, "one of them was edited"},
		"rslora without alpha": {func() *gguf.Writer {
			w := header()
			w.SetBool("steer.lora.rslora", true)
			pair(w)
			return w
		}, `key "steer.lora.alpha": no such metadata key`},
		"head type": {func() *gguf.Writer {
			w := header()
			w.SetString("steer.head.weight", "x")
			return w
		}, "want array of float32, got string"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := c.make().Bytes()
			require.NoError(t, err)
			_, err = readBytes(b)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "a.gguf")
		})
	}
}

func TestLoadDecidesByWhatIsThere(t *testing.T) {
	_, err := adapter.Load(filepath.Join(t.TempDir(), "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = adapter.LoadFor(filepath.Join(t.TempDir(), "missing"), small)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = adapter.Load(t.TempDir())
	require.ErrorContains(t, err, "a folder without adapter_config.json")
	_, err = adapter.LoadFor(t.TempDir(), small)
	require.ErrorContains(t, err, "a folder without adapter_config.json")
	dir := filepath.Join(t.TempDir(), "peft")
	require.NoError(t, adapter.ExportPEFT(trained(t, []string{"attn_q"}, 2, false), dir, small, ""))
	_, err = adapter.Load(dir)
	require.ErrorIs(t, err, adapter.ErrNeedShape)
	_, err = adapter.LoadFor(dir, small)
	require.NoError(t, err)
}

func FuzzRead(f *testing.F) {
	a, err := adapter.New(small, []string{"attn_q"}, 1, 6, true, 1)
	if err != nil {
		f.Fatal(err)
	}
	a.Head = adapter.NewValueHead(16, 1)
	a.Meta = map[string]string{"role": "reward"}
	b, err := a.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readBytes(b)
		if err != nil {
			return
		}
		if _, err := a.Bytes(); err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
	})
}
