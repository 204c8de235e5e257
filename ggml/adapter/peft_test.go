package adapter_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/adapter/safetensors"
)

// folder writes a PEFT folder of one q_proj pair (rank 2 on small, layer 0), with
// config fields and tensors changed.
func folder(t *testing.T, config map[string]any, tensors ...safetensors.Tensor) string {
	t.Helper()
	c := map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 8, "bias": "none",
		"target_modules": []string{"q_proj"}}
	for k, v := range config {
		if c[k] = v; v == absent {
			delete(c, k)
		}
	}
	raw, err := json.Marshal(c)
	require.NoError(t, err)
	if tensors == nil {
		tensors = pair("self_attn.q_proj", 2, 16, 16)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "adapter_config.json"), raw, 0o644))
	b, err := safetensors.Bytes(tensors, nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), b, 0o644))
	return dir
}

// absent leaves a key out of a folder's configuration.
const absent = "(absent)"

func pair(module string, rank, nIn, nOut int64) []safetensors.Tensor {
	fill := func(n int64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i + 1)
		}
		return x
	}
	name := "base_model.model.model.layers.0." + module
	return []safetensors.Tensor{
		{Name: name + ".lora_A.weight", Shape: []int64{rank, nIn}, Data: fill(rank * nIn)},
		{Name: name + ".lora_B.weight", Shape: []int64{nOut, rank}, Data: fill(nOut * rank)},
	}
}

func TestPEFTKeepsEverything(t *testing.T) {
	value := trained(t, adapter.Targets(), 3, true)
	value.Head = adapter.NewValueHead(16, 5)
	value.Head.Mean, value.Head.Std = -0.1, 3e-5
	value.Meta = map[string]string{"steer.base.sha256": "abc", "theory": "virtue"}
	score := trained(t, []string{"attn_k"}, 2, false)
	score.Head = adapter.NewScoreHead(16, 5)
	noDivide := mixed(t)
	noDivide.Alpha = 0
	for name, a := range map[string]*adapter.Adapter{
		"value head, rslora": value, "score head": score, "ranks differ": mixed(t), "alpha 0": noDivide,
		"head alone": {Arch: "llama", Alpha: 1, Head: adapter.NewScoreHead(16, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			require.NoError(t, adapter.ExportPEFT(a, dir, small, "some/base"))
			b, err := adapter.ImportPEFT(dir, small)
			require.NoError(t, err)
			require.Equal(t, a, b)
			// PEFT's own scale from what it reads is the one used here.
			for _, p := range a.Pairs {
				require.InEpsilon(t, peftScale(t, dir, p), a.Scale(p), 1e-6)
			}
		})
	}
}

// peftScale computes alpha/r or alpha/sqrt(r) from adapter_config.json alone.
func peftScale(t *testing.T, dir string, p adapter.Pair) float64 {
	raw, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	require.NoError(t, err)
	var c struct {
		R            float64            `json:"r"`
		Alpha        float64            `json:"lora_alpha"`
		Rs           bool               `json:"use_rslora"`
		RankPattern  map[string]float64 `json:"rank_pattern"`
		AlphaPattern map[string]float64 `json:"alpha_pattern"`
	}
	require.NoError(t, json.Unmarshal(raw, &c))
	key := map[string]string{"blk.1.ffn_up.weight": "model.layers.1.mlp.up_proj"}[p.Name]
	if r, ok := c.RankPattern[key]; ok {
		c.R = r
	}
	if a, ok := c.AlphaPattern[key]; ok {
		c.Alpha = a
	}
	require.Equal(t, float64(p.Rank), c.R)
	if c.Rs {
		return c.Alpha / math.Sqrt(c.R)
	}
	return c.Alpha / c.R
}

// PEFT has no "do not divide": alpha = rank is the same.
func TestAlphaZeroIsExportedAsRank(t *testing.T) {
	a := trained(t, []string{"attn_q"}, 2, true)
	a.Alpha = 0
	dir := t.TempDir()
	require.NoError(t, adapter.ExportPEFT(a, dir, small, ""))
	b, err := adapter.ImportPEFT(dir, small)
	require.NoError(t, err)
	require.Equal(t, a.Pairs, b.Pairs)
	require.Equal(t, float32(2), b.Alpha)
	require.Equal(t, float32(1), b.Scale(b.Pairs[0]))
}

func TestAnExportWithoutHeadRemovesAnEarlierOne(t *testing.T) {
	dir := t.TempDir()
	a := trained(t, []string{"attn_q"}, 2, false)
	a.Head = adapter.NewValueHead(16, 1)
	require.NoError(t, adapter.ExportPEFT(a, dir, small, ""))
	require.FileExists(t, filepath.Join(dir, "v_head.safetensors"))
	a.Head = nil
	require.NoError(t, adapter.ExportPEFT(a, dir, small, ""))
	b, err := adapter.ImportPEFT(dir, small)
	require.NoError(t, err)
	require.Nil(t, b.Head)
	other := small
	other.Embd = 32
	require.ErrorIs(t, adapter.ExportPEFT(a, dir, other, ""), adapter.ErrMismatch)
}

// Only the rows of q and k move, each matrix by its own number of heads.
func TestOnlyQAndKRowsMove(t *testing.T) {
	for module, c := range map[string]struct {
		nIn, nOut int64
		moved     bool
	}{
		"self_attn.q_proj": {16, 16, true}, "self_attn.k_proj": {16, 8, true}, "self_attn.v_proj": {16, 8, false},
		"self_attn.o_proj": {16, 16, false}, "mlp.gate_proj": {16, 24, false}, "mlp.up_proj": {16, 24, false},
		"mlp.down_proj": {24, 16, false},
	} {
		ts := pair(module, 2, c.nIn, c.nOut)
		a, err := adapter.ImportPEFT(folder(t, nil, ts...), small)
		require.NoError(t, err, module)
		require.Equal(t, ts[0].Data, a.Pairs[0].A, module)
		want := append([]float32(nil), ts[1].Data...)
		if c.moved { // head width 4: rows 0 1 2 3 -> 0 2 1 3
			for h := int64(0); h < c.nOut; h += 4 {
				copy(want[(h+1)*2:], ts[1].Data[(h+2)*2:(h+3)*2])
				copy(want[(h+2)*2:], ts[1].Data[(h+1)*2:(h+2)*2])
			}
		}
		require.Equal(t, want, a.Pairs[0].B, module)
	}
}

func TestPatternsBecomeOneAlpha(t *testing.T) {
	ts := append(pair("self_attn.v_proj", 2, 16, 8), pair("mlp.up_proj", 2, 16, 24)...)
	// scale·B of a pair, element 0 (B's is 1).
	effect := func(a *adapter.Adapter, name string) float64 {
		p, ok := a.Pair(name)
		require.True(t, ok)
		return float64(a.Scale(*p)) * float64(p.B[0])
	}
	v, up := "blk.0.attn_v.weight", "blk.0.ffn_up.weight"

	a, err := adapter.ImportPEFT(folder(t, map[string]any{"alpha_pattern": map[string]float64{"v_proj": 2}}, ts...),
		small)
	require.NoError(t, err)
	require.Equal(t, float32(8), a.Alpha)
	require.InDelta(t, 1, effect(a, v), 1e-6)
	require.InDelta(t, 4, effect(a, up), 1e-6)
	require.Zero(t, a.Rounded, "a quarter is a power of two")

	a, err = adapter.ImportPEFT(folder(t, map[string]any{"alpha_pattern": map[string]float64{"v_proj": 2.7}}, ts...),
		small)
	require.NoError(t, err)
	plain, err := adapter.ImportPEFT(folder(t, nil, ts...), small)
	require.NoError(t, err)
	scaled, _ := a.Pair(v)
	original, _ := plain.Pair(v)
	rounded := int64(0)
	for i, b := range original.B {
		if want := float64(b) * 2.7 / 8; math.Abs(float64(scaled.B[i])-want) > 1e-12*math.Abs(want) {
			rounded++
		}
	}
	require.Positive(t, rounded)
	require.Equal(t, rounded, a.Rounded, "what was rounded is counted")

	ts = append(pair("self_attn.v_proj", 3, 16, 8), pair("mlp.up_proj", 2, 16, 24)...)
	rank := map[string]any{"rank_pattern": map[string]float64{`layers\.0\.self_attn\.v_proj`: 3}}
	a, err = adapter.ImportPEFT(folder(t, rank, ts...), small)
	require.NoError(t, err)
	require.InDelta(t, 8.0/3, effect(a, v), 1e-6)
	require.InDelta(t, 4, effect(a, up), 1e-6)

	rank["use_rslora"] = true
	a, err = adapter.ImportPEFT(folder(t, rank, ts...), small)
	require.NoError(t, err)
	require.False(t, a.RsLoRA, "no single alpha: the rest is in B")
	require.InDelta(t, 8/math.Sqrt(3), effect(a, v), 1e-6)
	require.InDelta(t, 8/math.Sqrt(2), effect(a, up), 1e-6)

	a, err = adapter.ImportPEFT(
		folder(t, map[string]any{"use_rslora": true, "alpha_pattern": map[string]float64{"up_proj": 4}},
			append(pair("self_attn.v_proj", 2, 16, 8), pair("mlp.up_proj", 2, 16, 24)...)...), small)
	require.NoError(t, err)
	require.True(t, a.RsLoRA)
	require.InDelta(t, 8/math.Sqrt(2), effect(a, v), 1e-6)
	require.InDelta(t, 4/math.Sqrt(2), effect(a, up), 1e-6)
}

func TestUnsupportedConfigs(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]any
		want   string
	}{
		"type":            {map[string]any{"peft_type": "IA3"}, `field "peft_type": want "LORA", got "IA3"`},
		"rank":            {map[string]any{"r": 0}, `field "r"`},
		"rank of tensor":  {map[string]any{"r": 4}, "rank 2, but adapter_config.json says 4"},
		"alpha":           {map[string]any{"lora_alpha": 0}, `field "lora_alpha"`},
		"alpha text":      {map[string]any{"lora_alpha": "x"}, "lora_alpha"},
		"DoRA":            {map[string]any{"use_dora": true}, `field "use_dora" is true: DoRA`},
		"bias":            {map[string]any{"bias": "all"}, `field "bias"`},
		"lora bias":       {map[string]any{"lora_bias": true}, `field "lora_bias"`},
		"saved modules":   {map[string]any{"modules_to_save": []string{"lm_head"}}, `lists "lm_head"`},
		"PiSSA":           {map[string]any{"init_lora_weights": "pissa_niter_16"}, "changes the base weights"},
		"fan in":          {map[string]any{"fan_in_fan_out": true}, `field "fan_in_fan_out"`},
		"aLoRA":           {map[string]any{"alora_invocation_tokens": []int{1}}, "invocation tokens"},
		"replication":     {map[string]any{"layer_replication": [][]int{{0, 1}}}, "replicated layers"},
		"pattern regexp":  {map[string]any{"rank_pattern": map[string]int{"(?=q)": 2}}, "(?=q)"},
		"pattern type":    {map[string]any{"rank_pattern": []int{1}}, "want an object of numbers"},
		"alpha pattern 0": {map[string]any{"alpha_pattern": map[string]int{"q_proj": 0}}, "alpha_pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.config)
			_, err := adapter.ImportPEFT(dir, small)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, dir)
		})
	}
	ok := map[string]any{
		"task_type": "SEQ_CLS", "modules_to_save": []string{"classifier", "score"}, "init_lora_weights": "gaussian",
		"use_dora": false, "layer_replication": nil, "rank_pattern": map[string]int{}, "alpha_pattern": nil,
		"loftq_config": map[string]any{}, "new_field": 1,
	}
	_, err := adapter.ImportPEFT(folder(t, ok), small)
	require.NoError(t, err)
}

func TestUnsupportedTensors(t *testing.T) {
	with := func(name string, shape ...int64) []safetensors.Tensor {
		n := int64(1)
		for _, s := range shape {
			n *= s
		}
		return append(pair("self_attn.q_proj", 2, 16, 16), safetensors.Tensor{Name: name, Shape: shape,
			Data: make([]float32, n)})
	}
	const layer = "base_model.model.model.layers.0."
	for name, c := range map[string]struct {
		tensors []safetensors.Tensor
		want    string
	}{
		"lm_head": {with("base_model.model.lm_head.lora_A.weight", 2, 16),
			"is on the output matrix (lm_head): LoRA is laid over the seven matrices"},
		"lm_head kept": {with("base_model.model.lm_head.weight", 32, 16), "is on the output matrix (lm_head)"},
		"embedding": {with("base_model.model.model.embed_tokens.lora_embedding_A", 2, 32),
			"is on the token embedding (embed_tokens)"},
		"norm":         {with(layer+"input_layernorm.weight", 16), "want base_model.model.model.layers.N"},
		"unknown":      {with(layer+"mlp.gate.lora_A.weight", 2, 16), `target "gate"`},
		"wrong parent": {with(layer+"mlp.v_proj.lora_A.weight", 2, 16), `target "v_proj"`},
		"magnitude": {with(layer+"self_attn.q_proj.lora_magnitude_vector", 16),
			"want base_model.model.model.layers.N"},
		"two labels": {with("base_model.model.score.weight", 2, 16), "a classifier of one label"},
		"half alone": {with(layer+"self_attn.v_proj.lora_B.weight", 8, 2), "has no other half"},
		"same twice": {with(layer+"self_attn.q_proj.lora_A.default.weight", 2, 16), "are the same half"},
		"huge layer": {with("base_model.model.model.layers.99999999999.self_attn.q_proj.lora_A.weight", 2, 16),
			"want base_model"},
		"layer": {with("base_model.model.model.layers.7.self_attn.v_proj.lora_A.weight", 2, 16)[2:],
			"has no other half"},
		"vector": {[]safetensors.Tensor{{Name: layer + "self_attn.q_proj.lora_A.weight", Shape: []int64{2},
			Data: make([]float32, 2)}, {Name: layer + "self_attn.q_proj.lora_B.weight", Shape: []int64{2},
			Data: make([]float32, 2)}}, "1 dimensions, want 2"},
		"ranks": {[]safetensors.Tensor{pair("self_attn.q_proj", 2, 16, 16)[0],
			pair("self_attn.q_proj", 3, 16, 16)[1]}, "of one r"},
		"n_out": {pair("self_attn.q_proj", 2, 16, 24),
			"made for a base with heads*head_dim (n_out) 24, this one has 16"},
		"n_in":      {pair("self_attn.q_proj", 2, 32, 16), "made for a base with n_embd (n_in) 32, this one has 16"},
		"zero rows": {pair("self_attn.q_proj", 2, 0, 16), "of one r"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := adapter.ImportPEFT(folder(t, nil, c.tensors...), small)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestOddFolders(t *testing.T) {
	dir := folder(t, nil)
	require.NoError(t, os.Rename(filepath.Join(dir, "adapter_model.safetensors"),
		filepath.Join(dir, "adapter_model.bin")))
	_, err := adapter.ImportPEFT(dir, small)
	require.ErrorContains(t, err, "safe_serialization=True")
	require.NoError(t, os.Remove(filepath.Join(dir, "adapter_model.bin")))
	_, err = adapter.ImportPEFT(dir, small)
	require.ErrorIs(t, err, os.ErrNotExist)

	dir = folder(t, nil)
	config := filepath.Join(dir, "adapter_config.json")
	require.NoError(t, os.WriteFile(config, []byte("{"), 0o644))
	_, err = adapter.ImportPEFT(dir, small)
	require.ErrorContains(t, err, config)
	require.NoError(t, os.WriteFile(config, []byte(strings.Repeat(" ", 16<<20+1)), 0o644))
	_, err = adapter.ImportPEFT(dir, small)
	require.ErrorContains(t, err, "more than")

	head := func(dir string, ts ...safetensors.Tensor) {
		b, err := safetensors.Bytes(ts, nil)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "v_head.safetensors"), b, 0o644))
	}
	weight := safetensors.Tensor{Name: "v_head.summary.weight", Shape: []int64{1, 16}, Data: make([]float32, 16)}
	dir = folder(t, nil)
	head(dir, safetensors.Tensor{Name: "other", Shape: []int64{1}, Data: []float32{1}})
	_, err = adapter.ImportPEFT(dir, small)
	require.ErrorContains(t, err, `tensor "other"`)
	head(dir)
	_, err = adapter.ImportPEFT(dir, small)
	require.ErrorContains(t, err, `no tensor "v_head.summary.weight"`)
	head(dir, weight)
	a, err := adapter.ImportPEFT(dir, small)
	require.NoError(t, err)
	require.False(t, a.Head.HasBias)

	dir = folder(t, nil, append(pair("self_attn.q_proj", 2, 16, 16),
		safetensors.Tensor{Name: "base_model.model.score.weight", Shape: []int64{1, 16}, Data: make([]float32, 16)})...)
	head(dir, weight)
	_, err = adapter.ImportPEFT(dir, small)
	require.ErrorContains(t, err, "which one is meant")
}
