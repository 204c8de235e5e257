package goldentest

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/query"
	"steer/ggml"
	"steer/internal/testfiles"
	"steer/rl/data"
)

// goldenTask is a file of lm-evaluation-harness 0.4.13's own requests and answers.
type goldenTask struct {
	Aggregate struct {
		Acc struct{ Mean float64 }
	}
	Items []struct {
		ContextTokens []int     `json:"n_context_tokens"`
		Continuation  [][]int32 `json:"continuation_ids"`
		LogLikelihood []float64 `json:"loglikelihood"`
		IsGreedy      []bool    `json:"is_greedy"`
		Acc           float64   `json:"acc"`
		AccNorm       *float64  `json:"acc_norm"`
	}
}

// tasks are the benchmarks with answers by the harness, in its order of items.
var tasks = []struct {
	name  string
	items func(testing.TB) []query.Item
}{
	{"wsc273", func(t testing.TB) []query.Item {
		schemas, err := data.ReadWSC(testfiles.Data(t, "winograd/WSCollection.xml"))
		require.NoError(t, err)
		return benchmark.WSC273Items(schemas, " ")
	}},
	{"toxigen_train_0_200", func(t testing.TB) []query.Item {
		rows, err := data.ReadToxiGen(testfiles.Data(t, "toxigen/annotated_train.csv"))
		require.NoError(t, err)
		return benchmark.ToxiGenItems(rows[:200], 0, " ")
	}},
	{"ethics_deontology_200", func(t testing.TB) []query.Item {
		rows, err := data.ReadDeontology(testfiles.Data(t, "ethics/deontology/deontology_test.csv"))
		require.NoError(t, err)
		return benchmark.DeontologyItems(rows[:200], 0, " ")
	}},
	{"ethics_utilitarianism_200", func(t testing.TB) []query.Item {
		rows, err := data.ReadUtilitarianism(testfiles.Data(t, "ethics/utilitarianism/util_test.csv"))
		require.NoError(t, err)
		return benchmark.UtilitarianismItems(rows[:200], 0, " ")
	}},
}

// Item by item against lm-evaluation-harness on the real model: every request has
// the harness's tokens, every log-likelihood is within 2e-3, every greedy flag (in
// these tasks always false) and every accuracy equal, but where two choices are
// closer than that.
//
// All requests are tokenized; log-likelihoods are computed for every eighth item,
// for all with STEER_LONG=1 (some minutes).
func TestLMEval(t *testing.T) {
	const tol = 2e-3
	path := testfiles.Model(t)
	every := 8
	if os.Getenv("STEER_LONG") == "1" {
		every = 1
	} else {
		t.Log("every 8th item only; set STEER_LONG=1 for all")
	}
	m := open(t, path, 0)
	subject := eval.Subject{Name: filepath.Base(path), Evaluator: step(t, m, ggml.StepOptions{Precision: ggml.F32}),
		Tokenizer: m.Tokenizer()}
	set := benchmark.DefaultConfig().Settings
	set.MaxLength = m.Info().CtxTrain
	enc, err := query.NewEncoder(m.Tokenizer(), set.BOS)
	require.NoError(t, err)
	for _, task := range tasks {
		t.Run(task.name, func(t *testing.T) {
			var golden goldenTask
			testfiles.ReadGolden(t, "lmeval/"+task.name+".json.gz", &golden)
			items := task.items(t)
			require.Len(t, items, len(golden.Items))
			var picked []query.Item
			var rows []int
			for i, it := range items {
				for k, c := range it.Choices {
					context, continuation, err := enc.Pair(c.Context, c.Continuation)
					require.NoError(t, err)
					require.Len(t, context, golden.Items[i].ContextTokens[k], "item %d, choice %d", i, k)
					require.Equal(t, golden.Items[i].Continuation[k], continuation, "item %d, choice %d", i, k)
				}
				if i%every == 0 {
					picked, rows = append(picked, it), append(rows, i)
				}
			}
			records, err := query.Choose(t.Context(), subject, set, picked, eval.Progress{})
			require.NoError(t, err)
			largest, right, want := 0.0, 0, 0.0
			for j, r := range records {
				g := golden.Items[rows[j]]
				close := false
				for k, ll := range g.LogLikelihood {
					largest = max(largest, math.Abs(r.LogProbs[k]-ll))
					close = close || k > 0 && math.Abs(ll-g.LogLikelihood[0]) < tol
					require.InDelta(t, ll, r.LogProbs[k], tol, "item %d, choice %d", rows[j], k)
					require.Equal(t, g.IsGreedy[k], r.Greedy[k], "item %d, choice %d", rows[j], k)
				}
				if r.Pred == r.Gold {
					right++
				}
				want += g.Acc
				require.True(t, close || (g.Acc == 1) == (r.Pred == r.Gold), "item %d", rows[j])
				if g.AccNorm != nil {
					require.True(t, close || (*g.AccNorm == 1) == (*r.PredNorm == r.Gold), "item %d, normalised",
						rows[j])
				}
			}
			t.Logf("%d of %d items: log-likelihoods within %.1g, accuracy %.4f (%.4f)",
				len(records), len(items), largest, float64(right)/float64(len(records)), want/float64(len(records)))
			if every == 1 {
				require.InDelta(t, golden.Aggregate.Acc.Mean, float64(right)/float64(len(records)),
					1.0/float64(len(records)))
			}
		})
	}
}
