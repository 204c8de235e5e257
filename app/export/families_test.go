package export_test

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/export"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/ggml/merge"
	"steer/internal/testfiles"
)

// families are models of the goldens: one of each family, and each way in which they differ.
var families = []string{"llama3rope", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "granite",
	"olmo2", "smollm3"}

// kit is a base with what was trained on it: numbers of every size, so that nothing hides.
type kit struct {
	name                string
	model               string // f32, a GGUF file
	sft, policy, reward string // LoRA GGUF files; policy and reward lie on sft
	ids                 [][]int32
	config              any    // transformers'
	class               string // transformers'
}

// familyKit makes a kit of a golden model.
func familyKit(t testing.TB, name string) *kit {
	t.Helper()
	golden := testfiles.Golden(t, "arch/"+name)
	var g struct {
		IDs    [][]int32
		Config json.RawMessage
		Class  string `json:"hf_class"`
	}
	testfiles.ReadJSON(t, filepath.Join(golden, "forward.json.gz"), &g)
	k := &kit{name: name, model: filepath.Join(t.TempDir(), name+".gguf"), config: g.Config, class: g.Class}
	for _, ids := range g.IDs {
		if len(ids) > 1 && len(ids) < 70 {
			k.ids = append(k.ids, ids)
		}
	}
	toFloat(t, filepath.Join(golden, "q8_0.gguf"), k.model)
	k.adapters(t, 0.05)
	return k
}

// storiesKit makes a kit of a model that writes text.
func storiesKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{name: "stories260K", model: gguftest.Stories260K(t), class: "LlamaForCausalLM"}
	k.config = map[string]any{
		"vocab_size": 512, "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
		"num_attention_heads": 8, "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "max_position_embeddings": 512,
		"tie_word_embeddings": true,
		"rope_parameters":     map[string]any{"rope_type": "default", "rope_theta": 10000.0},
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{2, 9, 40} {
		ids := []int32{1}
		for len(ids) < n {
			ids = append(ids, int32(3+rng.IntN(500)))
		}
		k.ids = append(k.ids, ids)
	}
	k.adapters(t, 0.15) // what it writes has to change
	return k
}

// toFloat writes a model with every matrix as float32: the very numbers that were stored.
func toFloat(t testing.TB, from, to string) {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	w, _, err := merge.Model(f, &adapter.Adapter{}, "f32", nil)
	require.NoError(t, err)
	require.NoError(t, w.Save(to))
}

// adapters makes three adapters with different ranks, scales and targets.
func (k *kit) adapters(t testing.TB, strength float64) {
	t.Helper()
	f, err := gguf.Open(k.model)
	require.NoError(t, err)
	shape, err := adapter.ShapeOf(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	make := func(seed uint64, targets []string, rank int, alpha float32, meta map[string]string) (string, string) {
		a, err := adapter.New(shape, targets, rank, alpha, false, seed)
		require.NoError(t, err)
		rng := rand.New(rand.NewPCG(seed, 7))
		for _, p := range a.Pairs {
			for i := range p.B {
				p.B[i] = float32(rng.NormFloat64() * strength)
			}
		}
		a.Meta = meta
		switch a.Role() {
		case adapter.RoleReward:
			a.Head = adapter.NewScoreHead(shape.Embd, seed)
			a.Head.Mean, a.Head.Std = 0.25, 2
		case adapter.RolePolicy:
			a.Head = adapter.NewValueHead(shape.Embd, seed)
		}
		path := filepath.Join(t.TempDir(), "adapter.gguf")
		require.NoError(t, a.Save(path))
		return path, a.ContentSHA256()
	}
	all := shape.Targets()
	var sft string
	k.sft, sft = make(1, all, 3, 6, map[string]string{adapter.MetaRole: "sft", adapter.MetaTrainedOn: "",
		adapter.MetaTemplate: "hh"})
	k.policy, _ = make(2, all[:1], 2, 3, map[string]string{adapter.MetaRole: "policy", adapter.MetaTrainedOn: sft,
		adapter.MetaTemplate: "hh"})
	k.reward, _ = make(3, all[1:], 4, 4, map[string]string{adapter.MetaRole: "reward", adapter.MetaTrainedOn: sft})
}

// answers are what a model says of the sequences of a kit: the log-probabilities of their tokens and, of
// a stack with a head, its raw value at the last token.
type answers struct {
	logprobs [][]float32
	heads    []float32
}

// ask evaluates a stack of adapters, in f32.
func (k *kit) ask(t testing.TB, model string, paths ...string) (out answers) {
	t.Helper()
	dev, err := ggml.OpenDevice(ggml.DeviceOptions{Threads: 2})
	require.NoError(t, err)
	defer func() { require.NoError(t, dev.Close()) }()
	m, err := ggml.LoadModel(dev, model, ggml.ModelOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	opt := ggml.StepOptions{Precision: ggml.F32}
	for _, p := range paths {
		host, err := adapter.LoadFor(p, m.Shape())
		require.NoError(t, err)
		live, err := m.NewAdapter(host, false)
		require.NoError(t, err)
		defer func() { require.NoError(t, live.Close()) }()
		opt.Adapters = append(opt.Adapters, live)
		if live.HasHead() {
			opt.Head = live
		}
	}
	step, err := m.NewStep(opt)
	require.NoError(t, err)
	defer func() { require.NoError(t, step.Close()) }()
	var batch []lm.Sequence
	for _, ids := range k.ids {
		q := lm.Sequence{Tokens: ids}
		for i := 1; i < len(ids); i++ {
			q.Targets = append(q.Targets, int32(i))
		}
		if opt.Head != nil {
			q.Heads = []int32{int32(len(ids) - 1)}
		}
		batch = append(batch, q)
	}
	got, err := step.Forward(context.Background(), batch, lm.Options{})
	require.NoError(t, err)
	out.logprobs = got.Logprobs
	for _, h := range got.Heads {
		if opt.Head == nil {
			break
		}
		out.heads = append(out.heads, h[0])
	}
	return out
}

// requireSame compares log-probabilities.
func requireSame(t testing.TB, want, got [][]float32, tolerance float64, what string) {
	t.Helper()
	require.Len(t, got, len(want))
	worst := 0.0
	for i := range want {
		require.Len(t, got[i], len(want[i]))
		for j := range want[i] {
			worst = math.Max(worst, math.Abs(float64(want[i][j]-got[i][j])))
		}
	}
	t.Logf("%s: log-probabilities differ by %.2g at most", what, worst)
	require.LessOrEqual(t, worst, tolerance, what)
}

// apart is the largest difference of log-probabilities: a test must not pass because nothing changes.
func apart(a, b [][]float32) float64 {
	worst := 0.0
	for i := range a {
		for j := range a[i] {
			worst = math.Max(worst, math.Abs(float64(a[i][j]-b[i][j])))
		}
	}
	return worst
}

// In every family, adapters as one and merged adapters say what the stack says, and the heads too.
func TestEveryFamilyLeavesAsItIs(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			k := familyKit(t, name)
			policy := k.ask(t, k.model, k.sft, k.policy)
			require.Greater(t, apart(k.ask(t, k.model).logprobs, policy.logprobs), 0.02)
			require.Greater(t, apart(k.ask(t, k.model, k.sft).logprobs, policy.logprobs), 0.02)

			stack := export.Stack{Model: k.model, Paths: []string{k.sft, k.policy}}
			one, _, err := stack.Combine()
			require.NoError(t, err)
			joined := filepath.Join(t.TempDir(), "joined.gguf")
			require.NoError(t, one.Save(joined))
			got := k.ask(t, k.model, joined)
			requireSame(t, policy.logprobs, got.logprobs, 1e-4, "combined")
			require.InDeltaSlice(t, policy.heads, got.heads, 1e-4)

			merged := filepath.Join(t.TempDir(), "merged.gguf")
			r, err := stack.Merge(context.Background(), merged, "f32")
			require.NoError(t, err)
			require.Len(t, one.Pairs, r.Merged)
			requireSame(t, policy.logprobs, k.ask(t, merged).logprobs, 1e-4, "merged")

			reward := k.ask(t, k.model, k.sft, k.reward)
			scorer := export.Stack{Model: k.model, Paths: []string{k.sft, k.reward}}
			peft := filepath.Join(t.TempDir(), "peft")
			_, _, err = scorer.PEFT(peft, "")
			require.NoError(t, err)
			back := k.ask(t, k.model, peft)
			require.InDeltaSlice(t, reward.heads, back.heads, 1e-4)
			requireSame(t, reward.logprobs, back.logprobs, 1e-4, "through PEFT")
		})
	}
}
