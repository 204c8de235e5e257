package adapter_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
)

// random is an adapter with values of every size.
func random(t *testing.T, seed uint64, targets []string, rank int, alpha float32, rsLoRA bool) *adapter.Adapter {
	t.Helper()
	a, err := adapter.New(small, targets, rank, alpha, rsLoRA, seed)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, p := range a.Pairs {
		for i := range p.B {
			p.B[i] = float32(rng.NormFloat64())
		}
	}
	return a
}

// product is scale · B A in double precision, row o of it behind row o-1; nil where there is no pair.
func product(a *adapter.Adapter, name string, by float32) []float64 {
	p, ok := a.Pair(name)
	if !ok {
		return nil
	}
	out := make([]float64, p.NOut*p.NIn)
	for o := range p.NOut {
		for j := range p.Rank {
			for i := range p.NIn {
				ba := float64(p.B[o*p.Rank+j]) * float64(p.A[j*p.NIn+i])
				out[o*p.NIn+i] += float64(a.Scale(*p)) * float64(by) * ba
			}
		}
	}
	return out
}

func TestCombineAddsProducts(t *testing.T) {
	qv, all := []string{"attn_q", "attn_v"}, adapter.Targets()
	for name, c := range map[string]struct {
		parts []adapter.Part
		exact bool
	}{
		"powers of two": {[]adapter.Part{
			{random(t, 1, all, 4, 8, false), 1}, {random(t, 2, qv, 2, 8, false), 0.5}}, true},
		"one scale of three halves": {[]adapter.Part{
			{random(t, 1, all, 4, 6, false), 1}, {random(t, 2, all, 2, 3, false), 1}}, true},
		"thirds and ones": {[]adapter.Part{
			{random(t, 1, all, 3, 4, false), 1}, {random(t, 2, qv, 2, 2, false), 1}}, false},
		"rank-stabilized": {[]adapter.Part{
			{random(t, 1, qv, 3, 4, true), 1}, {random(t, 2, []string{"ffn_down"}, 2, 2, false), -0.7}}, false},
		"switched off": {[]adapter.Part{{random(t, 1, qv, 3, 3, false), 1}, {random(t, 2, qv, 3, 3, false), 0}}, true},
		"three": {[]adapter.Part{{random(t, 1, qv, 1, 1, false), 1}, {random(t, 2, all, 2, 4, false), 1},
			{random(t, 3, qv, 2, 4, false), 2}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := adapter.Combine(c.parts)
			require.NoError(t, err)
			require.NoError(t, got.Check(small))
			if c.exact {
				require.Zero(t, got.Rounded)
			}
			require.LessOrEqual(t, got.Rounded, got.Scaled)
			ranks := map[string]int{}
			want := map[string][]float64{}
			for _, part := range c.parts {
				for _, p := range part.Pairs {
					ranks[p.Name] += p.Rank
					sum := product(part.Adapter, p.Name, part.Scale)
					for i, x := range want[p.Name] {
						sum[i] += x
					}
					want[p.Name] = sum
				}
			}
			require.Len(t, got.Pairs, len(ranks))
			path := filepath.Join(t.TempDir(), "combined.gguf")
			require.NoError(t, got.Save(path))
			back, err := adapter.Load(path)
			require.NoError(t, err)
			for _, p := range back.Pairs {
				require.Equal(t, ranks[p.Name], p.Rank)
				have := product(back, p.Name, 1)
				for i, w := range want[p.Name] {
					// Each value of B is off by half a unit in its last place, 2^-24 of itself.
					tolerance := 1e-12
					if !c.exact {
						tolerance += math.Exp2(-24) * 20
					}
					require.InDelta(t, w, have[i], tolerance, "%s, value %d", p.Name, i)
				}
			}
		})
	}
}

// A scale that is no power of two is carried by the one alpha where all ranks agree, else by the B of
// the fewest values.
func TestCombineChoosesAlpha(t *testing.T) {
	qv := []string{"attn_q", "attn_v"}
	same, err := adapter.Combine([]adapter.Part{
		{random(t, 1, qv, 3, 5, false), 1}, {random(t, 2, qv, 3, 5, false), 1}})
	require.NoError(t, err)
	require.Equal(t, float32(10), same.Alpha)
	require.Zero(t, same.Scaled)
	some, err := adapter.Combine([]adapter.Part{
		{random(t, 1, adapter.Targets(), 3, 5, false), 1}, {random(t, 2, qv, 1, 1, false), 1}})
	require.NoError(t, err)
	// Pairs of rank 3 alone keep alpha 5 over 3; in those of rank 4, everything is multiplied.
	require.Equal(t, float32(5), some.Alpha)
	require.Positive(t, some.Rounded)
}

func TestCombineDescribes(t *testing.T) {
	qv := []string{"attn_q", "attn_v"}
	sft, policy := random(t, 1, qv, 2, 4, false), random(t, 2, qv, 2, 4, false)
	sft.Meta = map[string]string{adapter.MetaRole: "sft", adapter.MetaBase: "b", adapter.MetaTrainedOn: "",
		adapter.MetaTemplate: "guanaco"}
	policy.Meta = map[string]string{adapter.MetaRole: "policy", adapter.MetaBase: "b",
		adapter.MetaTrainedOn: sft.ContentSHA256(), adapter.MetaTemplate: "chatml", "own": "x"}
	policy.Head, sft.Head = adapter.NewValueHead(small.Embd, 1), adapter.NewScoreHead(small.Embd, 1)
	got, err := adapter.Combine([]adapter.Part{{sft, 1}, {policy, 0.25}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		adapter.MetaRole: "policy", adapter.MetaBase: "b", adapter.MetaTrainedOn: "", adapter.MetaTemplate: "chatml",
		"own": "x", adapter.MetaCombined: sft.ContentSHA256() + " " + policy.ContentSHA256(),
		adapter.MetaCombinedScales: "1 0.25"}, got.Meta)
	require.Equal(t, 1, got.HeadFrom)
	require.Equal(t, []int{0}, got.Dropped)
	require.Equal(t, policy.Head, got.Head)
	_, err = adapter.CheckStack([]adapter.Placed{{Path: "x", Adapter: got.Adapter, Content: got.ContentSHA256()}})
	require.NoError(t, err)
	policy.Head.Weight[0] = 7
	require.NotEqual(t, policy.Head, got.Head, "a copy")

	mute := random(t, 3, qv, 2, 4, false)
	got, err = adapter.Combine([]adapter.Part{{mute, 1}, {mute, 1}})
	require.NoError(t, err)
	require.NotContains(t, got.Meta, adapter.MetaTrainedOn)
	require.Equal(t, -1, got.HeadFrom)
}

func TestCombineRefuses(t *testing.T) {
	qv := []string{"attn_q", "attn_v"}
	good, large := random(t, 1, qv, 2, 4, false), random(t, 1, qv, 2, 4, false)
	wide, err := adapter.New(adapter.Shape{Layers: 2, Embd: 32, FF: 24, Heads: 4, KVHeads: 2, HeadDim: 4}, qv, 2, 4,
		false, 1)
	require.NoError(t, err)
	large.Pairs[0].B[0] = math.MaxFloat32
	for name, c := range map[string]struct {
		parts []adapter.Part
		want  string
	}{
		"none":       {nil, "nothing to combine"},
		"other base": {[]adapter.Part{{good, 1}, {wide, 1}}, "different bases"},
		"NaN":        {[]adapter.Part{{good, float32(math.NaN())}}, "want a finite number"},
		"overflow":   {[]adapter.Part{{good, 1}, {large, 8}}, "a scale is too large"},
		"architecture": {[]adapter.Part{{good, 1}, {&adapter.Adapter{Arch: "qwen2", Pairs: good.Pairs}, 1}},
			"architecture"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := adapter.Combine(c.parts)
			require.ErrorContains(t, err, c.want)
		})
	}
}
