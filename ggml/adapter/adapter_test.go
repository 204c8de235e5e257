package adapter_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

var small = adapter.Shape{Arch: "llama", Layers: 2, Embd: 16, FF: 24, Heads: 4, KVHeads: 2, HeadDim: 4}

// trained is an adapter whose every value is its own, so that a misplaced one shows.
func trained(t *testing.T, targets []string, rank int, rsLoRA bool) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(small, targets, rank, 6, rsLoRA, 1)
	require.NoError(t, err)
	n := float32(0)
	for _, p := range a.Pairs {
		for i := range p.B {
			n++
			p.B[i] = n / 64
		}
	}
	return a
}

func TestNewStartsAsPEFTDoes(t *testing.T) {
	a, err := adapter.New(small, adapter.Targets(), 3, 6, false, 42)
	require.NoError(t, err)
	require.Len(t, a.Pairs, 14)
	require.NoError(t, a.Check(small))
	require.Equal(t, adapter.Targets(), a.Targets())
	require.Equal(t, 3, a.Rank())
	var want int64
	for _, target := range adapter.Targets() {
		nIn, nOut, err := small.Dims(target)
		require.NoError(t, err)
		want += int64(small.Layers * 3 * (nIn + nOut))
	}
	require.Equal(t, want, a.NumParams())
	for _, p := range a.Pairs {
		bound := 1 / math.Sqrt(float64(p.NIn))
		var sum, sq float64
		for _, x := range p.A {
			require.LessOrEqual(t, math.Abs(float64(x)), bound)
			sum += float64(x)
			sq += float64(x) * float64(x)
		}
		// A uniform variable on ±b has variance b²/3.
		n := float64(len(p.A))
		require.InDelta(t, 0, sum/n, 4*bound/math.Sqrt(3*n), p.Name)
		require.InDelta(t, bound*bound/3, sq/n, 0.5*bound*bound/3, p.Name)
		for _, x := range p.B {
			require.Zero(t, x)
		}
	}
}

func TestNewDependsOnSeedAndNameAlone(t *testing.T) {
	all, err := adapter.New(small, adapter.Targets(), 3, 6, false, 42)
	require.NoError(t, err)
	few, err := adapter.New(small, []string{"ffn_down", "attn_q"}, 3, 8, true, 42)
	require.NoError(t, err)
	for _, p := range few.Pairs {
		q, ok := all.Pair(p.Name)
		require.True(t, ok)
		require.Equal(t, q.A, p.A, p.Name)
	}
	other, err := adapter.New(small, []string{"attn_q"}, 3, 6, false, 43)
	require.NoError(t, err)
	q, _ := all.Pair("blk.0.attn_q.weight")
	require.NotEqual(t, q.A, other.Pairs[0].A)
	require.NotEqual(t, other.Pairs[0].A, other.Pairs[1].A)
	_, ok := all.Pair("blk.9.attn_q.weight")
	require.False(t, ok)
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		shape   adapter.Shape
		targets []string
		rank    int
		alpha   float32
		want    string
	}{
		"misspelled":  {small, []string{"attn_w"}, 2, 4, `did you mean "attn_q"`},
		"PEFT's name": {small, []string{"o_proj"}, 2, 4, `did you mean "attn_output"`},
		"unlike all": {small, []string{"zzzzzzzz"}, 2, 4,
			"want one of attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down"},
		"twice":     {small, []string{"attn_q", "attn_q"}, 2, 4, "listed twice"},
		"none":      {small, nil, 2, 4, "no targets"},
		"rank 0":    {small, []string{"attn_q"}, 0, 4, "rank 0: want 1 to 16"},
		"rank 17":   {small, []string{"attn_q"}, 17, 4, "rank 17: want 1 to 16"},
		"alpha 0":   {small, []string{"attn_q"}, 2, 0, "alpha 0"},
		"alpha NaN": {small, []string{"attn_q"}, 2, float32(math.NaN()), "alpha NaN"},
		"no shape":  {adapter.Shape{}, []string{"attn_q"}, 2, 4, "layers is 0"},
		"odd heads": {adapter.Shape{Layers: 1, Embd: 9, FF: 9, Heads: 3, KVHeads: 3, HeadDim: 3}, []string{"attn_q"},
			2, 4, "RoPE turns pairs"},
		"ragged kv": {adapter.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 4, KVHeads: 3, HeadDim: 2}, []string{"attn_q"},
			2, 4, "4 heads over 3 kv heads"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := adapter.New(c.shape, c.targets, c.rank, c.alpha, false, 1)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestHeads(t *testing.T) {
	s := adapter.NewScoreHead(4096, 1)
	var sq float64
	for _, w := range s.Weight {
		sq += float64(w) * float64(w)
	}
	require.InDelta(t, 0.02, math.Sqrt(sq/4096), 0.001)
	require.False(t, s.HasBias)
	require.Equal(t, s, adapter.NewScoreHead(4096, 1))
	v := adapter.NewValueHead(64, 1)
	require.True(t, v.HasBias)
	require.NotZero(t, v.Bias)
	for _, w := range append(v.Weight, v.Bias) {
		require.LessOrEqual(t, math.Abs(float64(w)), 1.0/8)
	}
	require.Equal(t, float32(3), s.Normalise(3))
	s.Mean, s.Std = 1, 4
	require.Equal(t, float32(0.5), s.Normalise(3))
}

func TestScale(t *testing.T) {
	p := adapter.Pair{Rank: 16}
	require.Equal(t, float32(0.5), (&adapter.Adapter{Alpha: 8}).Scale(p))
	require.Equal(t, float32(2), (&adapter.Adapter{Alpha: 8, RsLoRA: true}).Scale(p))
	require.Equal(t, float32(1), (&adapter.Adapter{Alpha: 0}).Scale(p), "llama.cpp does not divide")
	p.Rank = 3
	require.InDelta(t, 8/math.Sqrt(3), (&adapter.Adapter{Alpha: 8, RsLoRA: true}).Scale(p), 1e-6)
}

// What llama.cpp computes from the file, alpha/b->ne[0], is Scale to the bit.
func TestDiskAlphaGivesTheSameScale(t *testing.T) {
	for _, rsLoRA := range []bool{false, true} {
		for rank := 1; rank <= 16; rank++ {
			a, err := adapter.New(small, []string{"attn_q"}, rank, 6, rsLoRA, 1)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "a.gguf")
			require.NoError(t, a.Save(path))
			f, err := gguf.Open(path)
			require.NoError(t, err)
			alpha, err := f.Float32("adapter.lora.alpha")
			require.NoError(t, err)
			b, ok := f.Tensor("blk.0.attn_q.weight.lora_b")
			require.True(t, ok)
			require.NoError(t, f.Close())
			require.Equal(t, a.Scale(a.Pairs[0]), alpha/float32(b.Dims[0]))
			back, err := adapter.Load(path)
			require.NoError(t, err)
			require.Equal(t, a, back)
		}
	}
}

func TestCheckNamesTheTensorAndBothSizes(t *testing.T) {
	a := trained(t, adapter.Targets(), 2, false)
	for name, c := range map[string]struct {
		change func(*adapter.Shape)
		want   string
	}{
		"embd": {func(s *adapter.Shape) { s.Embd = 576 },
			"blk.0.attn_k.weight: made for a base with n_embd (n_in) 16, this one has 576"},
		"ff": {func(s *adapter.Shape) { s.FF = 99 },
			"blk.0.ffn_down.weight: made for a base with n_ff (n_in) 24, this one has 99"},
		"heads": {func(s *adapter.Shape) { s.Heads = 8 },
			"blk.0.attn_output.weight: made for a base with heads*head_dim (n_in) 16, this one has 32"},
		"kv": {func(s *adapter.Shape) { s.KVHeads = 4 },
			"blk.0.attn_k.weight: made for a base with kv_heads*head_dim (n_out) 8, this one has 16"},
		"layers": {func(s *adapter.Shape) { s.Layers = 1 }, "at least 2 layers, this one has 1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := small
			c.change(&s)
			err := a.Check(s)
			require.ErrorIs(t, err, adapter.ErrMismatch)
			require.ErrorContains(t, err, c.want)
			path := filepath.Join(t.TempDir(), "a.gguf")
			require.NoError(t, a.Save(path))
			_, err = adapter.LoadFor(path, s)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path)
		})
	}
	a.Head = adapter.NewScoreHead(8, 1)
	require.ErrorContains(t, a.Check(small), "head.weight: made for a base with n_embd 8, this one has 16")
}

func TestCheckFiniteNamesTheValue(t *testing.T) {
	a := trained(t, []string{"attn_q"}, 2, false)
	a.Head = adapter.NewValueHead(16, 1)
	require.NoError(t, a.CheckFinite())
	for name, c := range map[string]struct {
		at   *float32
		bad  float64
		want string
	}{
		"A":    {&a.Pairs[1].A[3], math.NaN(), "blk.1.attn_q.weight.lora_a: value 3 of 32 is NaN"},
		"B":    {&a.Pairs[0].B[7], math.Inf(1), "blk.0.attn_q.weight.lora_b: value 7 of 32 is +Inf"},
		"head": {&a.Head.Weight[2], math.Inf(-1), "head.weight: value 2 of 16 is -Inf"},
		"bias": {&a.Head.Bias, math.NaN(), "head.bias, mean, std: value 0"},
		"std":  {&a.Head.Std, math.NaN(), "value 2 of 3"},
	} {
		t.Run(name, func(t *testing.T) {
			was := *c.at
			*c.at = float32(c.bad)
			err := a.CheckFinite()
			*c.at = was
			require.ErrorIs(t, err, adapter.ErrNotFinite)
			require.ErrorContains(t, err, c.want)
		})
	}
	a.Pairs[0].A[0] = float32(math.NaN())
	path := filepath.Join(t.TempDir(), "a.gguf")
	require.NoError(t, a.Save(path), "a diverged run can still be looked at")
	_, err := adapter.LoadFor(path, small)
	require.ErrorIs(t, err, adapter.ErrNotFinite)
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*adapter.Adapter)
		want   string
	}{
		"arch":    {func(a *adapter.Adapter) { a.Arch = "gpt2" }, `architecture "gpt2"`},
		"alpha":   {func(a *adapter.Adapter) { a.Alpha = -1 }, "alpha -1"},
		"nothing": {func(a *adapter.Adapter) { a.Pairs = nil }, "neither a LoRA pair nor a head"},
		"unsorted": {func(a *adapter.Adapter) { a.Pairs[0], a.Pairs[1] = a.Pairs[1], a.Pairs[0] },
			"sorted by name"},
		"twice": {func(a *adapter.Adapter) { a.Pairs[1] = a.Pairs[0] }, "each once"},
		"no layer": {func(a *adapter.Adapter) { a.Pairs[0].Name = "output.weight" },
			"is on the output matrix (lm_head)"},
		"layer 00": {func(a *adapter.Adapter) { a.Pairs[0].Name = "blk.00.attn_q.weight" }, `layer "00"`},
		"norm":     {func(a *adapter.Adapter) { a.Pairs[0].Name = "blk.0.attn_norm.weight" }, `target "attn_norm"`},
		"short A":  {func(a *adapter.Adapter) { a.Pairs[0].A = a.Pairs[0].A[1:] }, "31 values in A"},
		"rank 0":   {func(a *adapter.Adapter) { a.Pairs[0].Rank = 0 }, "rank 0"},
		"rslora ranks": {func(a *adapter.Adapter) {
			a.RsLoRA = true
			p := &a.Pairs[1]
			p.Rank, p.A, p.B = 1, p.A[:16], p.B[:16]
		},
			"needs one rank"},
		"empty head": {func(a *adapter.Adapter) { a.Head = &adapter.Head{} }, "head.weight is empty"},
		"stray bias": {func(a *adapter.Adapter) { a.Head = &adapter.Head{Weight: []float32{1}, Bias: 1} },
			"the head has no bias"},
		"negative std": {func(a *adapter.Adapter) { a.Head = &adapter.Head{Weight: []float32{1}, Std: -1} },
			"head std -1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := trained(t, []string{"attn_q"}, 2, false)
			c.change(a)
			_, err := a.Bytes()
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, a.Save(filepath.Join(t.TempDir(), "x")), c.want)
		})
	}
}

func TestCloneSharesNothing(t *testing.T) {
	a := trained(t, []string{"attn_q"}, 2, false)
	a.Head = adapter.NewValueHead(16, 1)
	a.Meta = map[string]string{"role": "policy"}
	c := a.Clone()
	require.Equal(t, a, c)
	c.Pairs[0].A[0], c.Pairs[0].B[0], c.Head.Weight[0], c.Meta["role"] = 9, 9, 9, "x"
	require.NotEqual(t, a.Pairs[0].A[0], float32(9))
	require.NotEqual(t, a.Pairs[0].B[0], float32(9))
	require.NotEqual(t, a.Head.Weight[0], float32(9))
	require.Equal(t, "policy", a.Meta["role"])
}

func TestParamsGoOutAndIn(t *testing.T) {
	a := trained(t, []string{"attn_v", "attn_q"}, 2, false)
	a.Head = adapter.NewValueHead(16, 1)
	params := a.Params()
	require.Len(t, params, 2*4+2)
	require.Equal(t, "blk.0.attn_q.weight.lora_a", params[0].Name)
	require.Equal(t, []int{16, 2}, params[0].Shape)
	require.Equal(t, "blk.0.attn_q.weight.lora_b", params[1].Name)
	require.Equal(t, []int{2, 16}, params[1].Shape)
	require.Equal(t, "head.bias", params[9].Name)

	b, err := adapter.New(small, []string{"attn_v", "attn_q"}, 2, 6, false, 99)
	require.NoError(t, err)
	require.ErrorIs(t, b.SetParams(params), adapter.ErrMismatch)
	b.Head = adapter.NewValueHead(16, 2)
	wrong := append([]lm.Tensor(nil), params...)
	wrong[9].Shape = []int{2}
	require.ErrorContains(t, b.SetParams(wrong), "parameter 9 is head.bias [2]")
	require.NotEqual(t, a.Pairs, b.Pairs, "an error changes nothing")
	require.NoError(t, b.SetParams(params))
	require.Equal(t, a, b)
}

func TestShapeOf(t *testing.T) {
	write := func(opt gguftest.Options) *gguf.File {
		path := filepath.Join(t.TempDir(), "m.gguf")
		require.NoError(t, gguftest.WriteTinyLlama(path, gguftest.Shape{Layers: 2, Embd: 16, FF: 24, Heads: 4,
			KVHeads: 2, Vocab: 8, Ctx: 8}, 1, opt))
		f, err := gguf.Open(path)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	s, err := adapter.ShapeOf(write(gguftest.Options{}))
	require.NoError(t, err)
	require.Equal(t, small, s)
	_, err = adapter.ShapeOf(write(gguftest.Options{Arch: "falcon"}))
	require.ErrorIs(t, err, adapter.ErrUnsupported)
	require.ErrorContains(t, err, `architecture "falcon"`)
}
