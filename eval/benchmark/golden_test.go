package benchmark

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/metrics"
	"steer/eval/query"
	"steer/internal/stats"
	"steer/internal/testfiles"
	"steer/rl/data"
	"steer/rl/run"
)

// goldenTask is a file of lm-evaluation-harness 0.4.13's own requests and answers.
type goldenTask struct {
	Aggregate struct {
		Acc       struct{ Mean, Stderr float64 }
		AccNorm   struct{ Mean, Stderr float64 } `json:"acc_norm"`
		MCC       float64                        `json:"mcc_sklearn"`
		Predicted float64                        `json:"predicted_index_1_rate"`
		Gold      float64                        `json:"gold_index_1_rate"`
	}
	Items []struct {
		Row           int
		Gold          int
		Context       string
		Continuations []string
		Contexts      []string
		Continuation  string
		LogLikelihood []float64 `json:"loglikelihood"`
		IsGreedy      []bool    `json:"is_greedy"`
		Acc           float64
		AccNorm       *float64 `json:"acc_norm"`
	}
}

func readTask(t *testing.T, name string) goldenTask {
	t.Helper()
	var task goldenTask
	testfiles.ReadGolden(t, "lmeval/"+name+".json.gz", &task)
	return task
}

// checkTask compares requests item by item, then feeds the harness's own
// log-likelihoods through our decision rule and aggregation.
func checkTask(t *testing.T, name string, items []query.Item, norm bool) {
	t.Helper()
	task := readTask(t, name)
	require.Len(t, items, len(task.Items))
	var records []run.Item
	for i, want := range task.Items {
		it := items[i]
		require.Equal(t, want.Row, it.Row, i)
		require.Equal(t, want.Gold, it.Gold, i)
		require.Len(t, it.Choices, len(want.LogLikelihood), i)
		liks := make([]query.Likelihood, len(it.Choices))
		for k, c := range it.Choices {
			if want.Contexts != nil {
				require.Equal(t, want.Contexts[k], c.Context, i)
				require.Equal(t, want.Continuation, c.Continuation, i)
			} else {
				require.Equal(t, want.Context, c.Context, i)
				require.Equal(t, want.Continuations[k], c.Continuation, i)
			}
			liks[k] = query.Likelihood{LogProb: want.LogLikelihood[k], Greedy: want.IsGreedy[k]}
		}
		r := query.Decide(it, liks)
		require.Equal(t, want.Acc == 1, r.Pred == r.Gold, i)
		if norm {
			require.Equal(t, *want.AccNorm == 1, *r.PredNorm == r.Gold, i)
		}
		records = append(records, r)
	}
	set := evaltest.Settings()
	b := metrics.New(name, eval.ProtocolLogLik, "m", "v", len(records), set)
	b.AddAccuracy(records)
	require.NoError(t, b.AddBinary(metrics.PredictionsOf(records)))
	require.InDelta(t, task.Aggregate.Acc.Mean, b.Metrics["acc"], 1e-12)
	require.InDelta(t, task.Aggregate.Acc.Stderr, b.Metrics["acc_stderr"], 1e-12)
	require.InDelta(t, task.Aggregate.MCC, b.Metrics["mcc"], 1e-12)
	require.InDelta(t, task.Aggregate.Predicted, b.Metrics["predicted_yes"], 1e-12)
	require.InDelta(t, task.Aggregate.Gold, b.Metrics["gold_yes"], 1e-12)
	lo, hi := stats.Wilson(int(task.Aggregate.Acc.Mean*float64(len(records))+.5), len(records), .95)
	require.InDeltaSlice(t, []float64{lo, hi}, []float64{b.Intervals["acc"][0], b.Intervals["acc"][1]}, 1e-12)
	if norm {
		b.AddAccuracyNorm(records)
		require.InDelta(t, task.Aggregate.AccNorm.Mean, b.Metrics["acc_norm"], 1e-12)
		require.InDelta(t, task.Aggregate.AccNorm.Stderr, b.Metrics["acc_norm_stderr"], 1e-12)
	}
	if p := task.Aggregate.Predicted; p == 0 || p == 1 {
		require.Contains(t, b.Flags, "degenerate")
	}
}

func TestGoldenWSC273(t *testing.T) {
	schemas, err := data.ReadWSC(testfiles.Data(t, "winograd/WSCollection.xml"))
	require.NoError(t, err)
	checkTask(t, "wsc273", WSC273Items(schemas, " "), false)
}

func TestGoldenToxiGen(t *testing.T) {
	rows, err := data.ReadToxiGen(testfiles.Data(t, "toxigen/annotated_train.csv"))
	require.NoError(t, err)
	checkTask(t, "toxigen_train_0_200", ToxiGenItems(rows[:200], 0, " "), true)
}

func TestGoldenDeontology(t *testing.T) {
	rows, err := data.ReadDeontology(testfiles.Data(t, "ethics/deontology/deontology_test.csv"))
	require.NoError(t, err)
	checkTask(t, "ethics_deontology_200", DeontologyItems(rows[:200], 0, " "), false)
}

func TestGoldenUtilitarianism(t *testing.T) {
	rows, err := data.ReadUtilitarianism(testfiles.Data(t, "ethics/utilitarianism/util_test.csv"))
	require.NoError(t, err)
	checkTask(t, "ethics_utilitarianism_200", UtilitarianismItems(rows[:200], 0, " "), false)
}
