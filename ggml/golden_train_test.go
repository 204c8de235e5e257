package ggml

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
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

type goldenBatch []struct {
	IDs  []int32
	Mask []int
}

// sequences turns masked rows into sequences; n is the number of targets.
func (b goldenBatch) sequences() (batch []lm.Sequence, n int) {
	for _, row := range b {
		q := lm.Sequence{Tokens: row.IDs}
		for i := 1; i < len(row.IDs); i++ {
			if row.Mask[i] == 1 {
				q.Targets = append(q.Targets, int32(i))
			}
		}
		n += len(q.Targets)
		batch = append(batch, q)
	}
	return batch, n
}

type goldenCase struct {
	Model     string
	Optimizer struct {
		LR             float64
		Betas          [2]float64
		Eps            float64
		WeightDecay    float64 `json:"weight_decay"`
		ClipGlobalNorm float64 `json:"clip_global_norm"`
	}
	FinalLossBatch0 float64 `json:"final_loss_batch0"`
	FinalLoss       float64 `json:"final_loss"`
	Trajectory      []struct {
		Loss     float64
		GradNorm float64 `json:"grad_norm"`
		Accuracy float64
	}
	RMSWeightChange json.RawMessage `json:"rms_weight_change_10_steps"`
}

func (c *goldenCase) update() lm.Update {
	o := c.Optimizer
	return lm.Update{LR: o.LR, Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, WeightDecay: o.WeightDecay,
		MaxGradNorm: o.ClipGlobalNorm}
}

// meanNLL runs a batch and its backward pass: loss = -Σ logprob / n.
func meanNLL(t testing.TB, s *Step, batch []lm.Sequence, n int, opt lm.Options, backward bool) float64 {
	t.Helper()
	opt.Gradient = backward
	out := forward(t, s, batch, opt)
	loss := 0.0
	g := lm.Gradient{Logprobs: make([][]float32, len(batch))}
	for i, lp := range out.Logprobs {
		g.Logprobs[i] = make([]float32, len(lp))
		for j, v := range lp {
			loss -= float64(v)
			g.Logprobs[i][j] = float32(-1 / float64(n))
		}
	}
	if backward {
		require.NoError(t, s.Backward(g))
	}
	return loss / float64(n)
}

// goldenGradients reads a file of PEFT gradients into GGUF names and row order, by
// reading them as if they were an adapter.
func goldenGradients(t testing.TB, dir, file string, shape adapter.Shape) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, file))
	require.NoError(t, err)
	grads := map[string][]float32{}
	for _, info := range f.Tensors() {
		data, err := f.Float32(info.Name)
		require.NoError(t, err)
		grads[info.Name] = data
	}
	require.NoError(t, f.Close())
	return grads
}

// peftGradients names our gradients as PEFT does, rows of q and k in its order, by
// exporting them as if they were an adapter.
func peftGradients(t testing.TB, s *Step, shape adapter.Shape) map[string][]float32 {
	t.Helper()
	grads, err := s.Gradients()
	require.NoError(t, err)
	a := s.trained.Describe().Clone()
	require.NoError(t, a.SetParams(grads))
	dir := filepath.Join(t.TempDir(), "grads")
	require.NoError(t, adapter.ExportPEFT(a, dir, shape, "test"))
	return goldenGradients(t, dir, "adapter_model.safetensors", shape)
}

func norm(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return math.Sqrt(s)
}

// relativeError is |a-b| / |b|.
func relativeError(a, b []float32) float64 {
	d := make([]float32, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return norm(d) / norm(b)
}

// compareGradients requires every golden gradient to be met within tol (relative L2).
func compareGradients(t testing.TB, got, want map[string][]float32, tol float64) {
	t.Helper()
	worst, worstName := 0.0, ""
	for name, w := range want {
		g, ok := got[strings.ReplaceAll(name, ".default", "")]
		require.True(t, ok, name)
		require.Equal(t, len(w), len(g), name)
		if e := relativeError(g, w); e >= worst {
			worst, worstName = e, name
		}
	}
	t.Logf("%d gradients, largest relative error %.2g (%s)", len(want), worst, worstName)
	require.LessOrEqual(t, worst, tol, worstName)
}

func rms(a, b *adapter.Adapter) float64 {
	pa, pb := a.Params(), b.Params()
	s, n := 0.0, 0
	for i := range pa {
		for j := range pa[i].Data {
			d := float64(pa[i].Data[j] - pb[i].Data[j])
			s += d * d
			n++
		}
	}
	return math.Sqrt(s / float64(n))
}

// LoRA gradients, global norms and ten AdamW steps against PyTorch and PEFT
// (golden/lora), f32.
func TestGoldenLoRA(t *testing.T) {
	for _, name := range []string{"s_all", "m_qv", "m_all"} {
		t.Run(name, func(t *testing.T) {
			dir := testfiles.Golden(t, "lora/"+name)
			model := gguftest.Stories260K
			if name[0] == 'm' {
				model = testfiles.Model
			}
			m := open(t, model(t))
			init, err := adapter.ImportPEFT(dir+"/adapter_init", m.Shape())
			require.NoError(t, err)
			goldenTraining(t, m, dir, init)
		})
	}
}

// goldenTraining trains an adapter as the folder's case.json says and compares everything on the way.
func goldenTraining(t *testing.T, m *Model, dir string, init *adapter.Adapter) {
	t.Helper()
	var c goldenCase
	testfiles.ReadJSON(t, dir+"/case.json", &c)
	var batches struct {
		Batches  []goldenBatch
		Init     [][]float32        `json:"logprobs_init_batch0"`
		GradNorm map[string]float64 `json:"grad_norm_batch0"`
	}
	testfiles.ReadJSON(t, dir+"/batches.json.gz", &batches)
	final, err := adapter.ImportPEFT(dir+"/adapter_final", m.Shape())
	require.NoError(t, err)
	l := live(t, m, init, true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true, Precision: F32})

	for k, want := range c.Trajectory {
		batch, n := batches.Batches[k%len(batches.Batches)].sequences()
		loss := meanNLL(t, s, batch, n, lm.Options{}, true)
		require.InDelta(t, want.Loss, loss, 1e-3, "loss of step %d", k)
		if k == 0 {
			require.InDelta(t, want.Loss, loss, 1e-4)
			grads := peftGradients(t, s, m.Shape())
			compareGradients(t, grads, goldenGradients(t, dir, "grads.safetensors", m.Shape()), 1e-3)
			for name, w := range batches.GradNorm {
				require.InEpsilon(t, w, norm(grads[name]), 1e-3, name)
			}
		}
		gnorm, err := s.Update(c.update())
		require.NoError(t, err)
		require.InEpsilon(t, want.GradNorm, gnorm, 1e-3, "gradient norm of step %d", k)
		t.Logf("step %d: loss %.6f (%.6f), gradient norm %.6f (%.6f)", k, loss, want.Loss, gnorm, want.GradNorm)
	}
	batch, n := batches.Batches[0].sequences()
	require.InDelta(t, c.FinalLossBatch0, meanNLL(t, s, batch, n, lm.Options{}, false), 0.005*c.FinalLossBatch0)
	got, err := l.Host()
	require.NoError(t, err)
	change := rms(final, init)
	t.Logf("weights: rms difference %.2g of a change of %.2g", rms(got, final), change)
	require.LessOrEqual(t, rms(got, final), 0.01*change)
}

// Reward-model scores, gradients (score head included) and ten steps against
// transformers' LlamaForSequenceClassification and PEFT (golden/reward).
func TestGoldenReward(t *testing.T) {
	dir := testfiles.Golden(t, "reward/rm")
	var c goldenCase
	testfiles.ReadJSON(t, dir+"/case.json", &c)
	var golden struct {
		Pairs []struct {
			Chosen        []int32 `json:"ids_chosen"`
			Rejected      []int32 `json:"ids_rejected"`
			ScoreChosen   float64 `json:"score_chosen"`
			ScoreRejected float64 `json:"score_rejected"`
		}
		GradNorm map[string]float64 `json:"grad_norm"`
	}
	testfiles.ReadJSON(t, dir+"/pairs.json.gz", &golden)
	m := open(t, testfiles.Model(t))
	init, err := adapter.ImportPEFT(dir+"/adapter_init", m.Shape())
	require.NoError(t, err)
	require.NotNil(t, init.Head)
	l := live(t, m, init, true)
	s := step(t, m, StepOptions{Adapters: []*Adapter{l}, Train: true, Precision: F32})

	var batch []lm.Sequence
	for _, p := range golden.Pairs {
		for _, ids := range [][]int32{p.Chosen, p.Rejected} {
			batch = append(batch, lm.Sequence{Tokens: ids, Heads: []int32{int32(len(ids) - 1)}})
		}
	}
	run := func(backward bool) (loss float64, out *lm.Output) {
		out = forward(t, s, batch, lm.Options{Gradient: backward})
		g := lm.Gradient{Heads: make([][]float32, len(batch))}
		n := float64(len(golden.Pairs))
		for i := range golden.Pairs {
			d := float64(out.Heads[2*i][0] - out.Heads[2*i+1][0])
			loss += math.Log1p(math.Exp(-d)) / n
			dd := -1 / (1 + math.Exp(d)) / n // d(-log σ(d))/dd = σ(d) - 1
			g.Heads[2*i], g.Heads[2*i+1] = []float32{float32(dd)}, []float32{float32(-dd)}
		}
		if backward {
			require.NoError(t, s.Backward(g))
		}
		return loss, out
	}
	for k, want := range c.Trajectory {
		loss, out := run(true)
		if k == 0 {
			for i, p := range golden.Pairs {
				require.InDelta(t, p.ScoreChosen, out.Heads[2*i][0], 1e-3)
				require.InDelta(t, p.ScoreRejected, out.Heads[2*i+1][0], 1e-3)
			}
			grads := peftGradients(t, s, m.Shape())
			compareGradients(t, grads, goldenGradients(t, dir, "grads.safetensors", m.Shape()), 1e-3)
			for name, w := range golden.GradNorm {
				require.InEpsilon(t, w, norm(grads[name]), 1e-3, name)
			}
		}
		require.InDelta(t, want.Loss, loss, 1e-3, fmt.Sprintf("loss of step %d", k))
		gnorm, err := s.Update(c.update())
		require.NoError(t, err)
		require.InEpsilon(t, want.GradNorm, gnorm, 2e-3)
	}
	loss, _ := run(false)
	require.InDelta(t, c.FinalLoss, loss, 0.005*c.FinalLoss)
}
