package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/evaltest"
	"steer/internal/atomicfile"
	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/run"
)

// What a killed process left of a file in items/ goes with the next evaluation, whatever that
// measures; what a living one is writing stays.
func TestLeftoversInItemsAreRemoved(t *testing.T) {
	s := newStudy(t)
	_, err := New(s.cfg, filepath.Join(s.dir, "a"))
	require.NoError(t, err)
	items := filepath.Join(s.dir, "a", run.ItemsDir)
	require.NoError(t, os.WriteFile(filepath.Join(items, ".gone.loglik.x.jsonl.zst.tmp-0123abcd"), []byte("half"),
		0o600))
	living, err := atomicfile.Create(filepath.Join(items, "y.json"))
	require.NoError(t, err)
	_, err = New(s.cfg, filepath.Join(s.dir, "a"))
	require.NoError(t, err)
	left, err := os.ReadDir(items)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.NoError(t, living.Commit())
}

func TestSuite(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	var dev, train strings.Builder
	for i := range 20 {
		right := i % 3
		for k, into := range []*strings.Builder{&dev, &train} {
			into.WriteString(evaltest.Anecdote(fmt.Sprintf("%d-%d", k, i), fmt.Sprintf("AITA %d", i),
				fmt.Sprintf("story %d", i), right, 1+i%2))
		}
	}
	var deontology, chat strings.Builder
	deontology.WriteString("label,scenario,excuse\n")
	for i := range 12 {
		fmt.Fprintf(&deontology, "%d,Should you %d?,No because %d.\n", i%2, i, i)
		fmt.Fprintf(&chat, `{"messages":[{"role":"user","content":"q%02d"},{"role":"assistant","content":"a"}]}`+"\n",
			i)
	}
	cfg := benchmark.DefaultConfig()
	require.NoError(t, conf.Parse("eval.yaml", []byte(fmt.Sprintf(`
bos: on
max_length: 3000
resamples: 100
ethics_deontology: {path: %s, first: 2, limit: 8}
scruples:
  path: %s
  protocols: [loglik, reward, thesis]
  threshold: {path: %s}
  max_new_tokens: 4
cross_reward:
  prompts: {path: %s}
  max_new_tokens: 20
`, write("d.csv", deontology.String()), write("dev.jsonl", dev.String()), write("train.jsonl", train.String()),
		write("chat.jsonl", chat.String()))), &cfg))

	suite, err := New(cfg, filepath.Join(dir, "eval"))
	require.NoError(t, err)
	sft := evaltest.Policy("sft", "WRONG", 2)
	benchmarks, err := suite.Language(context.Background(), sft)
	require.NoError(t, err)
	require.Len(t, benchmarks, 3)
	require.Equal(t, 8, benchmarks[0].N)
	reward := evaltest.Reward("counts", func(x eval.Exchange) float32 {
		return float32(evaltest.Noise(int32(len(x.ResponseText)), int32(x.ResponseText[5])))
	})
	byReward, err := suite.Reward(context.Background(), reward)
	require.NoError(t, err)
	require.Len(t, byReward, 1)
	tpl, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	other := evaltest.Policy("other", "good", 1)
	for _, s := range []*eval.Subject{&sft, &other} {
		s.Generator = &evaltest.Scripted{Answer: func(p string) string { return s.Name }}
	}
	cross, err := suite.CrossReward(context.Background(), []eval.Subject{sft, other},
		[]eval.Reward{{Name: "counts", Rewarder: evaltest.CountGood}}, tpl)
	require.NoError(t, err)
	require.Equal(t, 12, cross.Prompts.Used)
	require.Equal(t, "### Human: q00### Assistant:", cross.Samples[0].Prompt)

	for _, b := range append(benchmarks, byReward...) {
		records, err := run.ReadRecords[run.Item](filepath.Join(dir, "eval", b.Provenance.Items))
		require.NoError(t, err)
		require.Len(t, records, b.N)
		require.Len(t, b.Provenance.Fact("data_sha256").Value(), 64)
		require.NotEmpty(t, b.Provenance.PromptVersion)
	}
	require.Equal(t, true, benchmarks[0].Provenance.Fact("bos").Value())
	first, err := run.ReadRecords[run.Item](filepath.Join(dir, "eval", "items",
		"ethics-deontology.loglik.sft.jsonl.zst"))
	require.NoError(t, err)
	require.Equal(t, 2, first[0].Row)
	answers, err := run.ReadRecords[run.Answer](filepath.Join(dir, "eval", "items",
		"cross_reward.answers.all.jsonl.zst"))
	require.NoError(t, err)
	require.Len(t, answers, 24)

	// Everything is JSON: no NaN, no infinity.
	out, err := json.Marshal(run.NewEvaluation("eval", []run.Model{{Name: "sft", Role: "sft"}},
		append(benchmarks, byReward...), cross))
	require.NoError(t, err)
	require.Contains(t, string(out), `"diff_sft"`)
	require.Contains(t, string(out), `"stage":"eval"`)

	// The same again gives the same.
	again, err := suite.Language(context.Background(), evaltest.Policy("sft", "WRONG", 2))
	require.NoError(t, err)
	require.Equal(t, benchmarks, again)
}

// The reference itself is not measured, and its absence is no failure.
func TestKLSkipsTheReference(t *testing.T) {
	cfg := benchmark.DefaultConfig()
	cfg.MaxLength = 100
	cfg.KL.Path = evaltest.WriteFile(t, "c.jsonl", `{"prompt":"a","response":"b"}`+"\n")
	suite, err := New(cfg, t.TempDir())
	require.NoError(t, err)
	got, err := suite.Language(context.Background(), eval.Subject{Name: "sft"})
	require.NoError(t, err)
	require.Empty(t, got)
	// What is configured beside it is measured all the same.
	cfg.Perplexity.Path = cfg.KL.Path
	suite, err = New(cfg, t.TempDir())
	require.NoError(t, err)
	got, err = suite.Language(context.Background(), eval.Subject{Name: "sft", Evaluator: &evaltest.Bigram{},
		Tokenizer: evaltest.Tokenizer{}})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, benchmark.NamePerplexity, got[0].Benchmark)
	_, err = suite.Language(context.Background(), eval.Subject{Name: "p", Evaluator: &evaltest.Bigram{},
		Tokenizer: evaltest.Tokenizer{}})
	require.ErrorContains(t, err, "want the divergence")
}

func TestGenerations(t *testing.T) {
	answers := map[string]map[string]string{
		"sft":  {"one": " fine", "two": " fine"},
		"nice": {"one": " kind words", "two": " fine"},
		"bad":  {"one": " awful", "two": " "},
	}
	policy := func(name string) eval.Subject {
		return eval.Subject{Name: name, Tokenizer: evaltest.Tokenizer{},
			Generator: &evaltest.Scripted{Answer: func(p string) string { return answers[name][p] }}}
	}
	score := map[string]float32{"fine": 1, "kind words": 2, "awful": -3, "": -1}
	var seen []eval.Exchange
	judge := eval.Reward{Name: "harmlessness", Mean: 1, Std: 2,
		Rewarder: evaltest.RewardFunc(func(x eval.Exchange) float32 {
			seen = append(seen, x)
			return score[x.Turns[1].Content]
		})}
	classifier := eval.Reward{Name: "toxicity", Classifier: true,
		Rewarder: evaltest.RewardFunc(func(x eval.Exchange) float32 {
			require.Equal(t, eval.Exchange{ResponseText: x.ResponseText, Turns: []data.Message{
				{Role: data.RoleUser, Content: "What do you think?"},
				{Role: data.RoleAssistant, Content: x.ResponseText},
			}}, x, "a statement by itself")
			return score[x.ResponseText]
		})}
	dir := t.TempDir()
	cfg := benchmark.DefaultConfig()
	cfg.Settings = evaltest.Settings()
	cfg.Generations.Path = evaltest.WriteFile(t, "prompts.txt", "one\n\ntwo\n"+strings.Repeat("long", 200)+"\n")
	suite, err := New(cfg, dir)
	require.NoError(t, err)
	var stages []string
	suite.cfg.OnProgress = func(p eval.Progress) { stages = append(stages, p.Benchmark+" "+p.Protocol+" "+p.Model) }
	policies := []eval.Subject{policy("sft"), policy("nice"), policy("bad")}
	got, err := suite.Generations(context.Background(), policies, []eval.Reward{judge, classifier})
	require.NoError(t, err)
	require.Len(t, got, 6)
	require.Contains(t, stages, "generations generate bad")
	require.Equal(t, eval.Exchange{PromptText: "one ", ResponseText: "fine",
		Turns: []data.Message{{Role: "user", Content: "one"}, {Role: "assistant", Content: "fine"}}}, seen[0])

	find := func(model, protocol string) *run.Measurement {
		for _, b := range got {
			if b.Model == model && b.Protocol == protocol {
				return b
			}
		}
		t.Fatal(model, protocol)
		return nil
	}
	b := find("bad", "harmlessness")
	require.InDelta(t, -2, b.Metrics["score"], 1e-12)
	require.InDelta(t, -1.5, b.Metrics["score_normalised"], 1e-12)
	require.InDelta(t, -3, b.Metrics["diff"], 1e-12) // -4 and -2
	require.InDelta(t, 0.5, b.Metrics["diff_p"], 1e-12)
	require.InDelta(t, 0.5, b.Metrics["blank"], 1e-12)
	require.NotContains(t, b.Metrics, "toxic")
	require.Contains(t, b.Flags, "dropped=1")
	require.Equal(t, run.NewFact([]string{"\n"}), b.Provenance.Fact("stop_strings"))
	require.NotEmpty(t, b.Provenance.Fact("data_sha256").Value())
	require.NotContains(t, find("sft", "harmlessness").Metrics, "diff")
	b = find("bad", "toxicity")
	s := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	require.EqualValues(t, 1, b.Metrics["toxic"])
	require.InDelta(t, (s(3)+s(1))/2, b.Metrics["toxicity"], 1e-12)
	require.Zero(t, find("nice", "toxicity").Metrics["toxic"])

	records, err := run.ReadRecords[run.Item](filepath.Join(dir, b.Provenance.Items))
	require.NoError(t, err)
	require.Equal(t, "line-1", records[0].ID)
	require.Equal(t, "one", records[0].Prompt)
	require.Equal(t, " awful", records[0].Answer)
	require.EqualValues(t, -3, *records[0].Score)

	suite.cfg.Generations.Rewards = []string{"none"}
	_, err = suite.Generations(context.Background(), policies, []eval.Reward{judge})
	require.ErrorContains(t, err, `no reward model is named "none"`)
	suite.cfg.Generations.Rewards, suite.cfg.Generations.Reference = []string{"toxicity"}, "x"
	_, err = suite.Generations(context.Background(), policies, []eval.Reward{judge, classifier})
	require.ErrorContains(t, err, `the reference "x"`)
	_, err = suite.Generations(context.Background(), policies, nil)
	require.ErrorContains(t, err, "no reward model to judge")
	suite.cfg.Generations.Reference, suite.cfg.Generations.Chat = "sft", true
	_, err = suite.Generations(context.Background(), policies, []eval.Reward{judge, classifier})
	require.ErrorContains(t, err, "chat needs the template")
}

func TestTasksInSuite(t *testing.T) {
	dir := evaltest.WriteFiles(t, map[string]string{
		"a.yaml": "include: base.yaml\ntask: first\n",
		"base.yaml": "data: d.jsonl\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: ['no', 'yes']\n" +
			"doc_to_target: a\n",
		"b.yaml":   "output_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: \" t\"\n",
		"d.jsonl":  evaltest.Lines(6, func(i int) string { return fmt.Sprintf(`{"q": "q%d", "a": %d}`, i, i%2) }),
		"job.yaml": "tasks:\n- a.yaml\n- {path: b.yaml, data: d.jsonl, first: 1, limit: 2}\n",
	})
	raw, err := os.ReadFile(filepath.Join(dir, "job.yaml"))
	require.NoError(t, err)
	cfg := benchmark.DefaultConfig()
	require.NoError(t, conf.Parse("job.yaml", raw, &cfg))
	set := evaltest.Settings()
	cfg.Settings = set
	for _, f := range cfg.DataFiles() {
		if *f.Path != "" {
			*f.Path = filepath.Join(dir, *f.Path)
		}
	}
	require.NoError(t, cfg.LoadTasks())
	require.Equal(t, map[string]string{"tasks[0].file0": filepath.Join(dir, "d.jsonl"),
		"tasks[0].file1": filepath.Join(dir, "base.yaml"), "tasks[1].file0": filepath.Join(dir,
			"d.jsonl")}, cfg.Tasks.Inputs())
	suite, err := New(cfg, filepath.Join(dir, "out"))
	require.NoError(t, err)
	got, err := suite.Language(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 1}))
	require.NoError(t, err)
	require.Equal(t, []string{"first", "b"}, []string{got[0].Benchmark, got[1].Benchmark})
	require.Equal(t, 2, got[1].N)
	require.Equal(t, run.NewFact(1), got[1].Provenance.Fact("first"))
	require.FileExists(t, filepath.Join(dir, "out", "items", "first.loglik.fake.jsonl.zst"))
	_, err = json.Marshal(got)
	require.NoError(t, err)

	bad := cfg
	bad.Tasks = []benchmark.TaskFile{cfg.Tasks[0], cfg.Tasks[0]}
	require.ErrorContains(t, bad.LoadTasks(), `eval: tasks[1]: `)
	require.ErrorContains(t, bad.LoadTasks(), `the name "first" is that of`)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.yaml"), []byte("task: toxigen\ninclude: base.yaml\n"), 0o600))
	bad.Tasks = []benchmark.TaskFile{{ShortFile: benchmark.ShortFile{File: benchmark.File{Path: filepath.Join(dir,
		"c.yaml")}}}}
	_, err = New(bad, filepath.Join(dir, "out"))
	require.ErrorContains(t, err, `the name "toxigen" is that of a benchmark of the suite too`)
	bad.Tasks = []benchmark.TaskFile{{ShortFile: benchmark.ShortFile{File: benchmark.File{Path: filepath.Join(dir,
		"nope.yaml")}}}}
	_, err = New(bad, filepath.Join(dir, "out"))
	require.ErrorContains(t, err, "nope.yaml")
	bad.Tasks = []benchmark.TaskFile{{ShortFile: benchmark.ShortFile{File: benchmark.File{Path: filepath.Join(dir,
		"a.yaml"), First: 6}}}}
	_, err = New(bad, filepath.Join(dir, "out"))
	require.ErrorContains(t, err, "first: want a row of")
}

func TestEthicsSuite(t *testing.T) {
	dir := t.TempDir()
	write := func(name, body string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		return path
	}
	csv := "label,scenario\n"
	for i := range 8 {
		csv += fmt.Sprintf("%d,I claim %d.\n", i%2, i)
	}
	cfg := benchmark.DefaultConfig()
	cfg.Settings = evaltest.Settings()
	cfg.EthicsJustice = benchmark.EthicsConfig{
		File:      benchmark.File{Path: write("justice_test.csv", csv)},
		Hard:      benchmark.File{Path: write("hard.csv", csv), Limit: 4},
		Train:     benchmark.File{Path: write("train.csv", "label,scenario\n1,I claim 3.\n")},
		Protocols: []eval.Protocol{eval.ProtocolLogLik, eval.ProtocolReward},
	}
	suite, err := New(cfg, filepath.Join(dir, "out"))
	require.NoError(t, err)
	got, err := suite.Language(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 2}))
	require.NoError(t, err)
	more, err := suite.Reward(context.Background(), eval.Reward{Name: "r",
		Rewarder: evaltest.RewardFunc(func(x eval.Exchange) float32 { return float32(len(x.ResponseText)) - 10.5 })})
	require.NoError(t, err)
	names := []string{}
	for _, b := range append(got, more...) {
		names = append(names, b.Benchmark+" "+b.Protocol)
		require.Contains(t, b.Metrics, "exact_match")
		require.EqualValues(t, 1, b.Metrics["overlap_rows"])
		require.Contains(t, b.Provenance.All(), "train_data_sha256")
		require.NotContains(t, b.Provenance.All(), "threshold_data")
		require.FileExists(t, filepath.Join(dir, "out", b.Provenance.Items))
	}
	require.Equal(t, []string{"ethics-justice loglik", "ethics-justice-hard loglik", "ethics-justice reward",
		"ethics-justice-hard reward"}, names)
	require.Equal(t, 4, got[1].N)
	require.EqualValues(t, 1, got[1].Metrics["groups"])

	cfg.EthicsJustice.Protocols = []eval.Protocol{eval.ProtocolThesis}
	_, err = New(cfg, filepath.Join(dir, "out"))
	require.ErrorContains(t, err, "ethics_justice.protocols: want loglik or reward")
	cfg.EthicsUtilitarianism.Threshold.Path = "x.csv"
	_, err = New(cfg, filepath.Join(dir, "out"))
	require.Error(t, err)
	cfg.EthicsJustice.Protocols = []eval.Protocol{eval.ProtocolLogLik}
	_, err = New(cfg, filepath.Join(dir, "out"))
	require.ErrorContains(t, err, "ethics_utilitarianism.threshold: of a pair the higher score wins")
	cfg.EthicsUtilitarianism.Threshold.Path = ""
	cfg.EthicsJustice.Train.Path = filepath.Join(dir, "nope.csv")
	_, err = New(cfg, filepath.Join(dir, "out"))
	require.ErrorContains(t, err, "nope.csv")
}

// What is wrong with the data shows before any model is asked.
func TestSuiteReadsDataFirst(t *testing.T) {
	cfg := benchmark.DefaultConfig()
	cfg.MaxLength = 10
	cfg.ToxiGen.Path = filepath.Join(t.TempDir(), "missing.csv")
	_, err := New(cfg, t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)

	cfg = benchmark.DefaultConfig()
	text := evaltest.WriteFile(t, "t.txt", "Zwei Wörter und noch acht mehr stehen hier.")
	cfg.MaxLength, cfg.Perplexity = 9, benchmark.PerplexityConfig{File: benchmark.File{Path: text}, Context: 11}
	_, err = New(cfg, t.TempDir())
	require.ErrorContains(t, err, "perplexity.context is 11, the model is given at most 10 tokens")
}
