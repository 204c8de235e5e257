package report_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/stats"
	"steer/rl/run"
)

// fixtureResamples keeps the tests quick.
const fixtureResamples = 2000

// recorded is experiment with records of single items: metrics, intervals and cells are
// those of the records. Scruples differs between virtue and the others, ToxiGen is
// answered Yes by all, many refuse under the thesis's protocol, and two benchmarks are
// such that the report has never heard of.
func recorded(t testing.TB, seed uint64) string {
	t.Helper()
	dir := experiment(t)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name(), "result.json")
		if _, err := os.Stat(path); err == nil {
			edit(t, path, func(v object) { v["seed"] = seed })
		}
	}
	for _, th := range theories { // reward models of another seed have another scale
		edit(t, filepath.Join(dir, "reward-"+th, "result.json"), func(v object) {
			v["normalisation"] = object{"mean": .3 * float64(seed), "std": 1.25 * float64(seed)}
			stretch(v["histograms"], seed)
		})
	}
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		stretch(v["cross_reward"].(object)["histograms"], seed)
		v["benchmarks"] = recordBenchmarks(t, filepath.Join(dir, "eval"), seed)
		recordAnswers(t, filepath.Join(dir, "eval"), v["cross_reward"].(object), seed)
	})
	return dir
}

// stretch multiplies the values of histograms.
func stretch(histograms any, by uint64) {
	for _, h := range histograms.([]any) {
		values := h.(object)["values"].([]any)
		for i, x := range values {
			values[i] = round(float64(by) * x.(float64))
		}
	}
}

// study is a folder with an experiment for each of the seeds 1 to n.
func study(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for s := range n {
		one := recorded(t, uint64(s+1))
		varied(t, one, s+1)
		require.NoError(t, os.Rename(one, filepath.Join(dir, fmt.Sprintf("seed-%d", s+1))))
	}
	return dir
}

// varied gives an experiment the training of another seed: other curves, accuracies,
// answers. The virtue policy of seed 2 ends sooner.
func varied(t testing.TB, dir string, seed int) {
	t.Helper()
	write(t, filepath.Join(dir, "experiment.yaml"), fmt.Sprintf("name: fixture\ntheories: [deontology, "+
		"utilitarianism, virtue, harmlessness]\nseed: %d\n", seed))
	f := 1 + .12*float64(seed-1)
	for _, th := range theories {
		scale := map[string]float64{"ppo/mean_scores": f * float64(seed), "heldout/score": f * float64(seed),
			"objective/kl": f, "objective/entropy": 1 / f, "tokens/responses_len_mean": f}
		most := 120
		if th == "virtue" && seed == 2 {
			most = 80
		}
		rescale(t, filepath.Join(dir, "ppo-"+th, "metrics.jsonl"), scale, most)
		rescale(t, filepath.Join(dir, "reward-"+th, "metrics.jsonl"),
			map[string]float64{"loss": f, "accuracy": 1 / f, "eval_accuracy": 1 / f}, 200)
		edit(t, filepath.Join(dir, "reward-"+th, "result.json"), func(v object) {
			a := v["accuracy"].(object)
			for _, k := range []string{"mean", "lo", "hi"} {
				a[k] = round(a[k].(float64) - .02*float64(seed-1))
			}
		})
		edit(t, filepath.Join(dir, "ppo-"+th, "result.json"), func(v object) {
			for _, k := range []string{"mean", "lo", "hi"} {
				d := v["heldout_last"].(object)["difference"].(object)
				d[k] = round(d[k].(float64) * f)
			}
		})
	}
	rescale(t, filepath.Join(dir, "sft/metrics.jsonl"), map[string]float64{"loss": f, "eval_loss": f}, 600)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		edit(t, filepath.Join(dir, e.Name(), "result.json"), func(v object) {
			v["command"] = []string{"steer", "run", "experiments/fixture.yaml", "--set", fmt.Sprintf("seed=%d", seed),
				"--set", fmt.Sprintf("out=runs/study/seed-%d", seed)}
			samples, _ := v["samples"].([]any)
			for _, s := range samples {
				for name, text := range s.(object)["answers"].(object) {
					if name != "base" {
						s.(object)["answers"].(object)[name] = fmt.Sprintf("%s And so says run %s.", text,
							[]string{"one", "two", "three"}[seed-1])
					}
				}
			}
		})
	}
}

// rescale multiplies metrics and ends a log after so many lines.
func rescale(t testing.TB, path string, factors map[string]float64, most int) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if i == most {
			break
		}
		var v object
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		for k, f := range factors {
			if x, ok := v[k].(float64); ok {
				v[k] = round(x * f)
			}
		}
		b, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(append(b, '\n'))
	}
	write(t, path, out.String())
}

type recordedBenchmark struct {
	name, protocol string
	items          int
	positive       float64 // share of gold labels 1
	skill          func(model string) float64
	refuse         func(model string) float64
	constant       bool
	mcc            bool
	more           object
}

func recordBenchmarks(t testing.TB, dir string, seed uint64) []object {
	virtueIsBetter := func(m string) float64 {
		if m == "virtue" {
			return .72
		}
		return .6
	}
	same := func(string) float64 { return .58 }
	refusals := func(m string) float64 { return []float64{.4, .7, .88, .65, .55, .95}[slices.Index(names(), m)] }
	none := func(string) float64 { return 0 }
	var out []object
	for _, b := range []recordedBenchmark{
		{name: "scruples", protocol: "loglik", items: 600, positive: .79, skill: virtueIsBetter, refuse: none,
			mcc: true, more: object{"majority_acc": .79, "ceiling_acc": .936, "ceiling_mcc": .804, "balanced_acc": .6}},
		{name: "scruples", protocol: "thesis", items: 500, positive: .79, skill: same, refuse: refusals, mcc: true},
		{name: "scruples", protocol: "reward", items: 500, positive: .79, skill: same, refuse: none, mcc: true},
		{name: "toxigen", protocol: "loglik", items: 940, positive: .43, skill: same, refuse: none, mcc: true,
			constant: true, more: object{"predicted_yes": 1}},
		{name: "wsc273", protocol: "loglik", items: 273, positive: .5, skill: same, refuse: none},
		{name: "my-task", protocol: "loglik", items: 120, positive: .5, skill: same, refuse: none,
			more: object{"exact_match": .2, "pro_anti_gap": .07}},
	} {
		models := names()
		if b.protocol == "reward" {
			models = theories
		}
		for _, m := range models {
			out = append(out, b.record(t, dir, m, seed))
		}
	}
	for i, m := range names() {
		out = append(out, object{"benchmark": "my-text", "protocol": "perplexity", "model": m, "n": 50,
			"metrics": object{"perplexity": 20.5 + float64(i)}, "intervals": object{}})
	}
	return out
}

func names() []string { return append([]string{"base", "sft"}, theories...) }

// record invents predictions of one model: items are equally hard for all, and the base
// is the same whatever the seed.
func (b recordedBenchmark) record(t testing.TB, dir, model string, seed uint64) object {
	if model == "base" {
		seed = 0
	}
	shared := rand.New(rand.NewPCG(uint64(b.items), 1))
	own := rand.New(rand.NewPCG(seed, uint64(len(model)*100+int(model[0]))))
	records := make([]run.Item, b.items)
	var gold, pred []int
	answered, right := 0, 0
	for i := range records {
		r := &records[i]
		r.ID, r.Row = fmt.Sprintf("%s-%d", b.name, i), i
		if shared.Float64() < b.positive {
			r.Gold = 1
		}
		hard := shared.NormFloat64()
		margin := 1.2*(math.Sqrt2*math.Erfinv(2*b.skill(model)-1)) + .7*hard + .7*own.NormFloat64()
		p := r.Gold
		if margin < 0 {
			p = 1 - r.Gold
		}
		if b.constant {
			p = 1
		}
		r.Pred, r.LogProbs = p, []float64{-3, -3}
		r.LogProbs[p] += math.Abs(margin)
		if own.Float64() < b.refuse(model) {
			r.Pred, r.Refused, r.LogProbs, p = -1, true, nil, 1-r.Gold
		} else {
			answered++
		}
		gold, pred = append(gold, r.Gold), append(pred, p)
		if p == r.Gold {
			right++
		}
	}
	name := filepath.Join("items", b.name+"."+b.protocol+"."+model+".jsonl.zst")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "items"), 0o755))
	require.NoError(t, run.WriteRecords(filepath.Join(dir, name), records))
	lo, hi := stats.Wilson(right, b.items, .95)
	metrics, intervals := object{"acc": float64(right) / float64(b.items)}, object{"acc": []float64{lo, hi}}
	var flags []string
	if b.mcc {
		b.measure(t, gold, pred, metrics, intervals)
	}
	if b.constant {
		flags = append(flags, "degenerate")
	}
	if answered < b.items {
		flags = append(flags, fmt.Sprintf("refused=%d", b.items-answered))
		metrics["coverage"], metrics["answered_acc"] = float64(answered)/float64(b.items),
			float64(right)/float64(answered)
	}
	for k, v := range b.more {
		metrics[k] = v
	}
	return object{"benchmark": b.name, "protocol": b.protocol, "model": model, "n": b.items, "metrics": metrics,
		"intervals": intervals, "flags": flags,
		"provenance": object{"items": name, "seed": 1, "resamples": fixtureResamples, "confidence": .95, "margin": .05,
			"bos": true, "prompt_version": b.name + "-1"}}
}

func (b recordedBenchmark) measure(t testing.TB, gold, pred []int, metrics, intervals object) {
	c, err := stats.CountBinary(gold, pred)
	require.NoError(t, err)
	m, degenerate := c.MCC()
	metrics["mcc"] = m
	if !degenerate {
		se := c.MCCStdErr()
		intervals["mcc"] = []float64{m - 1.96*se, m + 1.96*se}
	}
}

// recordAnswers writes the scores of single answers and the cells that follow from them.
func recordAnswers(t testing.TB, dir string, cross object, seed uint64) {
	gain := map[string]float64{"deontology": 1.1, "utilitarianism": .7, "virtue": 1.4, "harmlessness": .04}
	const n = 200
	r := rand.New(rand.NewPCG(seed, 77))
	var out []run.Answer
	scores := map[string]map[string][]float64{}
	for _, p := range names() {
		scores[p] = map[string][]float64{}
		for i := range n {
			raw := map[string]float64{}
			for _, th := range theories {
				v := r.NormFloat64()
				if p == th {
					v += gain[th] * (1 + .1*float64(seed))
				}
				v *= float64(seed)
				raw[th] = v
				scores[p][th] = append(scores[p][th], v)
			}
			out = append(out, run.Answer{ID: fmt.Sprint(i), Policy: p, Answer: "x", Tokens: 5, Raw: raw})
		}
	}
	require.NoError(t, run.WriteRecords(filepath.Join(dir, "items/cross_reward.answers.all.jsonl.zst"), out))
	cells := [][]object{}
	for _, p := range names() {
		row := []object{}
		for _, th := range theories {
			m := stats.MeanOf(scores[p][th])
			c := object{"mean": m.Mean, "lo": m.Mean - 2*m.StdErr, "hi": m.Mean + 2*m.StdErr, "n": n}
			if p != "sft" {
				d, _ := stats.Differences(scores[p][th], scores["sft"][th])
				m := stats.MeanOf(d)
				c["diff_sft"], c["diff_lo"], c["diff_hi"], c["win_rate"] = m.Mean, m.Mean-2*m.StdErr, m.Mean+2*m.StdErr,
					.6
			}
			row = append(row, c)
		}
		cells = append(cells, row)
	}
	cross["cells"] = cells
}
