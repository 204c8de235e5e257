package eval

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/internal/conf"
	"steer/rl/data"
)

func crossPrompts(n int) []Prompt {
	out := make([]Prompt, n)
	for i := range out {
		text := fmt.Sprintf("q%02d", i)
		ids, _ := fakeTokenizer{}.Encode(text, false, false)
		out[i] = Prompt{ID: text, Text: text, Tokens: ids}
	}
	return out
}

// policy answers with word repeated by the prompt's number.
func policy(name, word string, scale float64) Subject {
	return Subject{
		Name: name, Tokenizer: fakeTokenizer{}, Evaluator: &bigram{scale: scale},
		Generator: &scripted{answer: func(prompt string) string {
			return word + strings.Repeat("!", int(prompt[2]-'0'))
		}},
	}
}

var counts = rewardFunc(func(x Exchange) float32 {
	return float32(strings.Count(x.ResponseText, "good")*10 + len(x.ResponseText))
})

func crossOptions() CrossRewardOptions {
	return CrossRewardOptions{Reference: "sft", Samples: 2, Bins: 5,
		Generate: GenerateOptions{MaxNew: 40, Batch: 7, Sampling: lm.Sampling{Temperature: 1, TopP: 1}}}
}

func TestCrossReward(t *testing.T) {
	policies := []Subject{policy("base", "okay", 1), policy("sft", "okay", 2), policy("kind", "good", 2.5)}
	rewards := []Reward{{Name: "counts", Rewarder: counts, Mean: 4, Std: 2}, {Name: "flat", Rewarder: rewardFunc(func(Exchange) float32 { return 7 }), Mean: 7, Std: 1}}
	prompts := crossPrompts(30)
	res, records, err := CrossReward(context.Background(), policies, rewards, testSettings(), crossOptions(), prompts)
	require.NoError(t, err)
	require.Equal(t, "normalised", res.Unit)
	require.Equal(t, []string{"base", "sft", "kind"}, res.Policies)
	require.Len(t, res.Cells, 3)

	// Answers have 4 + (last digit) characters; mean of the digits over 30 prompts is 4.5.
	sft, kind, base := res.Cells[1][0], res.Cells[2][0], res.Cells[0][0]
	require.InDelta(t, (8.5-4)/2, sft.Mean, 1e-12)
	require.InDelta(t, (18.5-4)/2, kind.Mean, 1e-12)
	require.Nil(t, sft.Diff)
	require.InDelta(t, 5, *kind.Diff, 1e-12)
	// Paired: the prompts' own spread cancels.
	require.InDelta(t, 5, *kind.DiffLo, 1e-9)
	require.InDelta(t, 5, *kind.DiffHi, 1e-9)
	require.InDelta(t, 1, *kind.WinRate, 1e-12)
	require.InDelta(t, .5, *base.WinRate, 1e-12) // all ties
	require.Less(t, kind.Lo, kind.Mean)
	require.Greater(t, kind.Hi, kind.Mean)
	require.InDelta(t, 8.5, res.Lengths["kind"].Mean, 1e-12)
	require.NotContains(t, res.KL, "sft")

	// KL by hand for the first prompt of "kind".
	reference, model := policies[1].Evaluator.(*bigram), policies[2].Evaluator.(*bigram)
	k1, k3 := 0.0, 0.0
	seq := append(slices.Clone(prompts[0].Tokens), []int32{'g', 'o', 'o', 'd'}...)
	for i := 3; i < len(seq); i++ {
		p, _ := model.logprob(seq[i-1], seq[i], 1)
		q, _ := reference.logprob(seq[i-1], seq[i], 1)
		k1 += p - q
		k3 += math.Exp(q-p) - 1 - (q - p)
	}
	at := slices.IndexFunc(records, func(r AnswerRecord) bool { return r.Policy == "kind" && r.ID == "q00" })
	require.InDelta(t, k1, records[at].KL, 1e-4)
	require.InDelta(t, k3, records[at].KLK3, 1e-4)
	require.GreaterOrEqual(t, records[at].KLK3, 0.0)
	require.Len(t, records, 90)
	require.InDelta(t, 14, records[at].Raw["counts"], 1e-6)

	// Same numbers for every policy, other ones for every prompt.
	a, b := policies[0].Generator.(*scripted).seen, policies[2].Generator.(*scripted).seen
	for i := range a {
		require.Equal(t, a[i].Seed, b[i].Seed)
	}
	seeds := map[uint64]bool{}
	for _, r := range a {
		seeds[r.Seed] = true
	}
	require.Len(t, seeds, 30)

	for _, h := range res.Histograms {
		sum := 0.0
		for _, k := range h.Counts {
			sum += k
		}
		require.EqualValues(t, 30, sum)
		require.Len(t, h.Edges, 6)
	}
	require.Len(t, res.Samples, 2)
	require.Equal(t, "good", res.Samples[0].Answers["kind"])
	require.InDelta(t, 5, res.Samples[0].Scores["kind"]["counts"], 1e-12)
}

func TestCrossRewardWithoutNormalisationIsRaw(t *testing.T) {
	rewards := []Reward{{Name: "a", Rewarder: counts, Mean: 4, Std: 2}, {Name: "b", Rewarder: counts}}
	res, _, err := CrossReward(context.Background(), []Subject{policy("sft", "okay", 1)}, rewards, testSettings(), crossOptions(), crossPrompts(10))
	require.NoError(t, err)
	require.Equal(t, "raw", res.Unit)
	require.Equal(t, res.Cells[0][0], res.Cells[0][1])
}

func TestCrossRewardRefuses(t *testing.T) {
	run := func(policies []Subject, rewards []Reward, prompts []Prompt) error {
		_, _, err := CrossReward(context.Background(), policies, rewards, testSettings(), crossOptions(), prompts)
		return err
	}
	sft, good := policy("sft", "a", 1), Reward{Name: "r", Rewarder: counts}
	require.ErrorIs(t, run([]Subject{sft}, []Reward{good}, nil), ErrNoItems)
	require.ErrorContains(t, run([]Subject{sft}, nil, crossPrompts(2)), "no reward model")
	require.ErrorContains(t, run([]Subject{policy("base", "a", 1)}, []Reward{good}, crossPrompts(2)), `reference "sft" is not among`)
	require.ErrorContains(t, run([]Subject{sft, sft}, []Reward{good}, crossPrompts(2)), `two policies are named "sft"`)
	require.ErrorContains(t, run([]Subject{sft}, []Reward{good, good}, crossPrompts(2)), `two reward models are named "r"`)
	require.ErrorIs(t, run([]Subject{sft}, []Reward{good}, append(crossPrompts(2), crossPrompts(1)...)), ErrDuplicateID)
	bad := Reward{Name: "r", Rewarder: rewardFunc(func(Exchange) float32 { return float32(math.NaN()) })}
	require.ErrorIs(t, run([]Subject{sft}, []Reward{bad}, crossPrompts(2)), ErrNotFinite)
	poison := policy("x", "a", 1)
	poison.Evaluator = &bigram{poison: true}
	require.ErrorIs(t, run([]Subject{sft, poison}, []Reward{good}, crossPrompts(2)), ErrNotFinite)
}

func TestEmptyAnswerHasNoDivergence(t *testing.T) {
	silent := policy("silent", "", 3)
	silent.Generator = &scripted{answer: func(string) string { return "" }}
	res, _, err := CrossReward(context.Background(), []Subject{policy("sft", "a", 1), silent}, []Reward{{Name: "r", Rewarder: counts}}, testSettings(), crossOptions(), crossPrompts(3))
	require.NoError(t, err)
	require.Zero(t, res.KL["silent"].Mean)
	require.Zero(t, res.Lengths["silent"].Mean)
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
			fmt.Fprintf(into, `{"id":"%d-%d","title":"AITA %d","text":"story %d","post_type":"HISTORICAL","label_scores":{"AUTHOR":%d,"OTHER":%d,"EVERYBODY":0,"NOBODY":0,"INFO":0},"label":"OTHER"}`+"\n",
				k, i, i, i, 1+i%2, right)
		}
	}
	var deontology, chat strings.Builder
	deontology.WriteString("label,scenario,excuse\n")
	for i := range 12 {
		fmt.Fprintf(&deontology, "%d,Should you %d?,No because %d.\n", i%2, i, i)
		fmt.Fprintf(&chat, `{"messages":[{"role":"user","content":"q%02d"},{"role":"assistant","content":"a"}]}`+"\n", i)
	}
	cfg := DefaultConfig()
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
`, write("d.csv", deontology.String()), write("dev.jsonl", dev.String()), write("train.jsonl", train.String()), write("chat.jsonl", chat.String()))), &cfg))

	suite, err := NewSuite(cfg, filepath.Join(dir, "eval"))
	require.NoError(t, err)
	sft := policy("sft", "WRONG", 2)
	benchmarks, err := suite.Language(context.Background(), sft)
	require.NoError(t, err)
	require.Len(t, benchmarks, 3)
	require.Equal(t, 8, benchmarks[0].N)
	reward := Reward{Name: "counts", Rewarder: rewardFunc(func(x Exchange) float32 { return float32(noise(int32(len(x.ResponseText)), int32(x.ResponseText[5]))) })}
	byReward, err := suite.Reward(context.Background(), reward)
	require.NoError(t, err)
	require.Len(t, byReward, 1)
	tpl, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	other := policy("other", "good", 1)
	for _, s := range []*Subject{&sft, &other} {
		s.Generator = &scripted{answer: func(p string) string { return s.Name }}
	}
	cross, err := suite.CrossReward(context.Background(), []Subject{sft, other}, []Reward{{Name: "counts", Rewarder: counts}}, tpl)
	require.NoError(t, err)
	require.Equal(t, 12, cross.Prompts.Used)
	require.Equal(t, "### Human: q00### Assistant:", cross.Samples[0].Prompt)

	for _, b := range append(benchmarks, byReward...) {
		records, err := ReadRecords[Record](filepath.Join(dir, "eval", b.Provenance["items"].(string)))
		require.NoError(t, err)
		require.Len(t, records, b.N)
		require.Len(t, b.Provenance["data_sha256"], 64)
		require.Contains(t, b.Provenance, "prompt_version")
	}
	require.Equal(t, true, benchmarks[0].Provenance["bos"])
	first, err := ReadRecords[Record](filepath.Join(dir, "eval", "items", "ethics-deontology.loglik.sft.jsonl.zst"))
	require.NoError(t, err)
	require.Equal(t, 2, first[0].Row)
	answers, err := ReadRecords[AnswerRecord](filepath.Join(dir, "eval", "items", "cross_reward.answers.all.jsonl.zst"))
	require.NoError(t, err)
	require.Len(t, answers, 24)

	// Everything is JSON: no NaN, no infinity.
	out, err := json.Marshal(NewResult("eval", []Model{{Name: "sft", Role: "sft"}}, append(benchmarks, byReward...), cross))
	require.NoError(t, err)
	require.Contains(t, string(out), `"diff_sft"`)
	require.Contains(t, string(out), `"stage":"eval"`)

	// The same again gives the same.
	again, err := suite.Language(context.Background(), policy("sft", "WRONG", 2))
	require.NoError(t, err)
	require.Equal(t, benchmarks, again)
}

func TestConfigRefuses(t *testing.T) {
	good := DefaultConfig()
	require.NoError(t, good.Validate())
	for want, change := range map[string]func(*Config){
		"batch_tokens": func(c *Config) { c.BatchTokens = 0 },
		"resamples":    func(c *Config) { c.Resamples = 0 },
		"confidence":   func(c *Config) { c.Confidence = 95 },
		"bos":          func(c *Config) { c.BOS = "yes" },
		"toxigen":      func(c *Config) { c.ToxiGen.Limit = -1 },
		"wsc273.first": func(c *Config) { c.WSC273.First = 1 },
		"threshold":    func(c *Config) { c.Scruples.Path = "x"; c.Scruples.Protocols = []Protocol{ProtocolReward} },
		"cross_reward": func(c *Config) { c.CrossReward.Prompts.Path = "x"; c.CrossReward.MaxNewTokens = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
	err := conf.Parse("e.yaml", []byte("scruples: {protocols: [loglic]}"), &good)
	require.ErrorContains(t, err, "loglik")
	cfg := DefaultConfig()
	cfg.MaxLength = 10
	cfg.ToxiGen.Path = filepath.Join(t.TempDir(), "missing.csv")
	_, err = NewSuite(cfg, t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = window(File{Path: "f", First: 3}, []int{1, 2, 3})
	require.ErrorIs(t, err, ErrNoItems)
	even, err := spread(File{First: 1, Limit: 3}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	require.NoError(t, err)
	require.Equal(t, []int{1, 4, 7}, even)
	for _, limit := range []int{0, 9, 20} {
		even, err = spread(File{First: 1, Limit: limit}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
		require.NoError(t, err)
		require.Len(t, even, 9)
	}
	rows, err := window(File{First: 1, Limit: 2}, []int{1, 2, 3, 4})
	require.NoError(t, err)
	require.Equal(t, []int{2, 3}, rows)
}

// batchesOf keeps the prompts of every call.
type batchesOf struct {
	Rewarder
	calls *[][]string
}

func (r batchesOf) Score(ctx context.Context, xs []Exchange) ([]float32, error) {
	var prompts []string
	for _, x := range xs {
		prompts = append(prompts, x.PromptText)
	}
	*r.calls = append(*r.calls, prompts)
	return r.Rewarder.Score(ctx, xs)
}

// A prompt is computed once for all policies only if their answers are asked about together.
func TestMatrixScoresAllAnswersToAPromptTogether(t *testing.T) {
	policies := []Subject{policy("base", "okay", 1), policy("sft", "okay", 2), policy("kind", "good", 2.5)}
	var calls [][]string
	rewards := []Reward{{Name: "counts", Rewarder: batchesOf{counts, &calls}, Mean: 4, Std: 2}}
	prompts := crossPrompts(promptsAtOnce + 6)
	_, records, err := CrossReward(context.Background(), policies, rewards, testSettings(), crossOptions(), prompts)
	require.NoError(t, err)
	require.Len(t, calls, 2)
	require.Len(t, calls[0], 3*promptsAtOnce)
	require.Len(t, calls[1], 3*6)
	for _, r := range records { // each answer got its own score
		require.EqualValues(t, counts(Exchange{ResponseText: r.Answer}), r.Raw["counts"], r.ID+" "+r.Policy)
	}
}
