package main

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/adapter/safetensors"
	"steer/ggml/gguf/gguftest"
	"steer/internal/testfiles"
)

// Numbers that PyTorch, transformers and PEFT computed, redone from the command line
// in f32: at most 1e-3 off, 1e-4 on average (golden/README).
const (
	goldenMax  = 1e-3
	goldenMean = 1e-4
)

// difference collects how far numbers are from the reference.
type difference struct {
	n            int
	sum, largest float64
}

func (d *difference) add(t testing.TB, got, want []float32) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		x := math.Abs(float64(got[i]) - float64(want[i]))
		d.n, d.sum, d.largest = d.n+1, d.sum+x, max(d.largest, x)
	}
}

func (d *difference) check(t testing.TB, what string) {
	t.Helper()
	require.NotZero(t, d.n, what)
	t.Logf("%s: %d values, max %.2g, mean %.2g", what, d.n, d.largest, d.sum/float64(d.n))
	require.LessOrEqual(t, d.largest, goldenMax, what)
	require.LessOrEqual(t, d.sum/float64(d.n), goldenMean, what)
}

func idLines(all [][]int32) string {
	var b strings.Builder
	for _, ids := range all {
		fmt.Fprintf(&b, "{\"ids\": %s}\n", jsonInts(ids))
	}
	return b.String()
}

// floats turns a JSON list into numbers.
func floats(x any) []float32 {
	var out []float32
	for _, v := range x.([]any) {
		out = append(out, float32(v.(float64)))
	}
	return out
}

func TestScoreRedoesGoldenForward(t *testing.T) {
	var g struct {
		Items []struct {
			IDs               []int32
			Logprobs, Entropy []float32
			Head              map[string][]float32
		}
	}
	testfiles.ReadGolden(t, "forward/forward_S.json.gz", &g)
	model := gguftest.Stories260K(t)
	f, err := safetensors.Open(testfiles.Golden(t, "forward/head_S.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	w, err := f.Float32("head.weight")
	require.NoError(t, err)
	bias, err := f.Float32("head.bias")
	require.NoError(t, err)
	head := newAdapter(t, model, func(a *adapter.Adapter) {
		a.Pairs, a.Head = nil, &adapter.Head{Weight: w[:64], Bias: bias[0], HasBias: true}
	})
	var ids [][]int32
	for _, it := range g.Items {
		ids = append(ids, it.IDs)
	}
	file := writeFile(t, "ids.jsonl", idLines(ids))
	rows := runScore(t, "", "--logprobs", "--entropy", "--head", "--positions", "all", "--model", model, "--adapter",
		head, file)
	require.Len(t, rows, len(g.Items))
	var lp, en, hd difference
	for i, it := range g.Items {
		lp.add(t, rows[i].Logprobs, it.Logprobs)
		en.add(t, rows[i].Entropy, it.Entropy[:len(it.IDs)-1])
		if h := it.Head["head0"]; h != nil {
			hd.add(t, floats(rows[i].Head), h)
		}
	}
	lp.check(t, "logprobs")
	en.check(t, "entropy")
	hd.check(t, "head")
}

// The PEFT folder and the GGUF file made of it give PEFT's log-probabilities.
func TestScoreRedoesGoldenLoRA(t *testing.T) {
	for _, c := range []struct {
		name, dir string
		model     func(testing.TB) string
	}{
		{"stories260K", "lora/s_all", gguftest.Stories260K},
		{"SmolLM2-135M", "lora/m_qv", testfiles.Model},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testfiles.Golden(t, c.dir)
			var g struct {
				Batches [][]struct{ IDs []int32 }
				Base    [][]float32 `json:"logprobs_base_batch0"`
				Init    [][]float32 `json:"logprobs_init_batch0"`
				Final   [][]float32 `json:"logprobs_final_batch0"`
			}
			testfiles.ReadJSON(t, filepath.Join(dir, "batches.json.gz"), &g)
			var ids [][]int32
			for _, s := range g.Batches[0] {
				ids = append(ids, s.IDs)
			}
			model := c.model(t)
			imported := filepath.Join(t.TempDir(), "imported.gguf")
			succeed(t, "", "adapter", "import", filepath.Join(dir, "adapter_final"), "-m", model, "-o", imported)
			for _, v := range []struct {
				what string
				args []string
				want [][]float32
			}{
				{"base", nil, g.Base},
				{"PEFT folder", []string{"--adapter", filepath.Join(dir, "adapter_init")}, g.Init},
				{"GGUF", []string{"--adapter", imported}, g.Final},
			} {
				rows := runScore(t, idLines(ids), append([]string{"--logprobs", "--model", model}, v.args...)...)
				var d difference
				for i := range v.want {
					d.add(t, rows[i].Logprobs, v.want[i])
				}
				d.check(t, v.what)
			}
		})
	}
}

// A reward model of transformers and PEFT: texts in, scores out.
func TestScoreRedoesGoldenReward(t *testing.T) {
	dir := testfiles.Golden(t, "reward/rm")
	var g struct {
		Pairs []struct {
			Chosen, Rejected string
			IDsChosen        []int32 `json:"ids_chosen"`
			IDsRejected      []int32 `json:"ids_rejected"`
			ScoreChosen      float32 `json:"score_chosen"`
			ScoreRejected    float32 `json:"score_rejected"`
		}
	}
	testfiles.ReadJSON(t, filepath.Join(dir, "pairs.json.gz"), &g)
	var in strings.Builder
	for _, p := range g.Pairs {
		require.NoError(t, json.NewEncoder(&in).Encode(map[string]string{"text": p.Chosen}))
		require.NoError(t, json.NewEncoder(&in).Encode(map[string]string{"text": p.Rejected}))
	}
	rows := runScore(t, in.String(), "--head", "--model", testfiles.Model(t), "--adapter",
		filepath.Join(dir, "adapter_init"))
	require.Len(t, rows, 2*len(g.Pairs))
	var d difference
	for i, p := range g.Pairs {
		require.Equal(t, p.IDsChosen, rows[2*i].IDs)
		require.Equal(t, p.IDsRejected, rows[2*i+1].IDs)
		got := []float32{float32(rows[2*i].Head.(float64)), float32(rows[2*i+1].Head.(float64))}
		d.add(t, got, []float32{p.ScoreChosen, p.ScoreRejected})
	}
	d.check(t, "scores")
}
