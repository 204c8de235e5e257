package eval

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/data"
)

func TestTextWindows(t *testing.T) {
	ids := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8}
	got := textWindows(ids, 4, 2)
	require.Equal(t, []Request{
		{Context: ids[0:1], Continuation: ids[1:4]},
		{Context: ids[2:4], Continuation: ids[4:6]},
		{Context: ids[4:6], Continuation: ids[6:8]},
		{Context: ids[5:8], Continuation: ids[8:9]},
	}, got)
	require.Equal(t, []Request{{Context: ids[:1], Continuation: ids[1:]}}, textWindows(ids, 9, 3))
	require.Equal(t, []Request{{Context: ids[:1], Continuation: ids[1:]}}, textWindows(ids, 50, 3))
	for _, w := range [][2]int{{2, 1}, {5, 4}, {3, 1}, {7, 3}} {
		next := 1
		for _, r := range textWindows(ids, w[0], w[1]) {
			require.Equal(t, next, int(r.Continuation[0])) // every token once, none left out
			require.NotEmpty(t, r.Context)
			require.LessOrEqual(t, len(r.Context)+len(r.Continuation), w[0])
			next += len(r.Continuation)
		}
		require.Equal(t, len(ids), next)
	}
}

// A bigram model sees one token back, so the windows do not matter and the sum can be
// taken token by token.
func TestPerplexity(t *testing.T) {
	m := &bigram{scale: 3}
	text := "Zwei Wörter und noch acht mehr stehen hier."
	nats := 0.0
	previous := int32(fakeBOS)
	for i := range len(text) {
		p, _ := m.logprob(previous, int32(text[i]), 1)
		nats, previous = nats-p, int32(text[i])
	}
	n := float64(len(text)) // bytes, and tokens of the fake
	for _, w := range []TextWindows{{}, {Context: 8, Stride: 3}, {Context: 2, Stride: 1}} {
		b, records, err := Perplexity(context.Background(), subject(m), testSettings(), w, text)
		require.NoError(t, err)
		require.InDelta(t, nats/n, b.Metrics["nats_per_token"], 1e-5)
		require.InDelta(t, math.Exp(nats/n), b.Metrics["perplexity"], 1e-2)
		require.InDelta(t, nats/n/math.Ln2, b.Metrics["bits_per_byte"], 1e-5)
		require.InEpsilon(t, math.Exp(nats/8), b.Metrics["word_perplexity"], 1e-4)
		require.EqualValues(t, n, b.Metrics["tokens"])
		require.EqualValues(t, 8, b.Metrics["words"])
		require.EqualValues(t, fakeBOS, b.Provenance["first_token_from"])
		sum := 0
		for i, r := range records {
			require.Equal(t, sum, r.Row, i)
			sum += r.Tokens
		}
		require.EqualValues(t, n, sum)
		if w.Context > 0 {
			require.Equal(t, w.Context, b.Provenance["context"])
			lo, hi := b.Intervals["perplexity"][0], b.Intervals["perplexity"][1]
			require.Less(t, lo, b.Metrics["perplexity"])
			require.Greater(t, hi, b.Metrics["perplexity"])
		} else {
			require.Empty(t, b.Intervals)
		}
	}
	b, _, err := Perplexity(context.Background(), subject(m), testSettings(), TextWindows{File: File{Limit: 10}}, text)
	require.NoError(t, err)
	require.EqualValues(t, 10, b.Metrics["tokens"])
	require.EqualValues(t, 10, b.Metrics["bytes"])

	_, _, err = Perplexity(context.Background(), subject(m), testSettings(), TextWindows{Context: 5000}, text)
	require.ErrorContains(t, err, "perplexity.context is 5000")
	cfg := DefaultConfig()
	cfg.MaxLength, cfg.Perplexity = 9, TextWindows{File: File{Path: writeFile(t, "t.txt", text)}, Context: 11}
	_, err = NewSuite(cfg, t.TempDir())
	require.ErrorContains(t, err, "perplexity.context is 11, the model is given at most 10 tokens")
	_, _, err = Perplexity(context.Background(), Subject{Name: "x"}, testSettings(), TextWindows{}, text)
	require.ErrorContains(t, err, "need an evaluator")
	for _, w := range []TextWindows{{Context: 4, Stride: 4}, {Context: 1}, {Stride: -1}, {File: File{First: 1}}} {
		cfg = DefaultConfig()
		cfg.Perplexity = w
		require.ErrorContains(t, cfg.Validate(), "eval: perplexity")
	}
}

func TestTextKL(t *testing.T) {
	tpl, err := data.NewTemplate(data.TemplatePlain, nil)
	require.NoError(t, err)
	conversation := func(line int, answer string) data.Conversation {
		return data.Conversation{Line: line, Messages: []data.Message{{Role: data.RoleUser, Content: "q"}, {Role: data.RoleAssistant, Content: answer}}}
	}
	rows := []data.Conversation{conversation(1, "ab"), conversation(2, "abcd"), conversation(3, strings.Repeat("x", 90))}
	m := Subject{Name: "p", Tokenizer: fakeTokenizer{}, KL: func(_ context.Context, batch []lm.Sequence, _ lm.Options) ([][]float32, error) {
		out := make([][]float32, len(batch))
		for i, s := range batch {
			for _, at := range s.Targets {
				out[i] = append(out[i], float32(s.Tokens[at]-'a')) // a costs nothing, b 1, c 2, d 3
			}
		}
		return out, nil
	}}
	opt := KLRows{Reference: "sft", MaxTokens: 60}
	b, records, err := TextKL(context.Background(), m, testSettings(), opt, tpl, rows)
	require.NoError(t, err)
	require.Len(t, records, 2)
	extra := records[0].Tokens - 2 // what the template adds to an answer, the same in both
	require.Zero(t, extra)
	require.InDelta(t, (1+6)/2.0, b.Metrics["kl"], 1e-6)
	require.InDelta(t, 7.0/6, b.Metrics["kl_per_token"], 1e-6)
	require.InDelta(t, 6, *records[1].KL, 1e-6)
	require.Contains(t, b.Flags, "dropped=1")
	require.Equal(t, "sft", b.Provenance["reference"])

	m.KL = nil
	_, _, err = TextKL(context.Background(), m, testSettings(), opt, tpl, rows)
	require.ErrorContains(t, err, `is "sft" one of the models?`)
	m.KL = func(_ context.Context, batch []lm.Sequence, _ lm.Options) ([][]float32, error) {
		return make([][]float32, len(batch)), nil
	}
	_, _, err = TextKL(context.Background(), m, testSettings(), opt, tpl, rows)
	require.ErrorContains(t, err, "0 KL values for 2 targets") // of the sequence that stands first in the batch
	opt.MaxTokens = 2
	_, _, err = TextKL(context.Background(), m, testSettings(), opt, tpl, rows)
	require.ErrorIs(t, err, ErrNoItems)
}

// The reference itself is not measured, and its absence is no failure.
func TestKLSkipsTheReference(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxLength = 100
	cfg.KL.Path = writeFile(t, "c.jsonl", `{"prompt":"a","response":"b"}`+"\n")
	suite, err := NewSuite(cfg, t.TempDir())
	require.NoError(t, err)
	got, err := suite.Language(context.Background(), Subject{Name: "sft"})
	require.NoError(t, err)
	require.Empty(t, got)
	// What is configured beside it is measured all the same.
	cfg.Perplexity.Path = cfg.KL.Path
	suite, err = NewSuite(cfg, t.TempDir())
	require.NoError(t, err)
	got, err = suite.Language(context.Background(), Subject{Name: "sft", Evaluator: &bigram{}, Tokenizer: fakeTokenizer{}})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, NamePerplexity, got[0].Benchmark)
	_, err = suite.Language(context.Background(), Subject{Name: "p", Evaluator: &bigram{}, Tokenizer: fakeTokenizer{}})
	require.ErrorContains(t, err, "want the divergence")
}

func TestGenerations(t *testing.T) {
	answers := map[string]map[string]string{
		"sft":  {"one": " fine", "two": " fine"},
		"nice": {"one": " kind words", "two": " fine"},
		"bad":  {"one": " awful", "two": " "},
	}
	policy := func(name string) Subject {
		return Subject{Name: name, Tokenizer: fakeTokenizer{}, Generator: &scripted{answer: func(p string) string { return answers[name][p] }}}
	}
	score := map[string]float32{"fine": 1, "kind words": 2, "awful": -3, "": -1}
	var seen []Exchange
	judge := Reward{Name: "harmlessness", Mean: 1, Std: 2, Rewarder: rewardFunc(func(x Exchange) float32 {
		seen = append(seen, x)
		return score[x.Turns[1].Content]
	})}
	classifier := Reward{Name: "toxicity", Classifier: true, Rewarder: rewardFunc(func(x Exchange) float32 {
		require.Equal(t, statement(x.ResponseText), x)
		return score[x.ResponseText]
	})}
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.Settings = testSettings()
	cfg.Generated.Path = writeFile(t, "prompts.txt", "one\n\ntwo\n"+strings.Repeat("long", 200)+"\n")
	suite, err := NewSuite(cfg, dir)
	require.NoError(t, err)
	var stages []string
	suite.cfg.OnProgress = func(p Progress) { stages = append(stages, p.Benchmark+" "+p.Protocol+" "+p.Model) }
	policies := []Subject{policy("sft"), policy("nice"), policy("bad")}
	got, err := suite.Generations(context.Background(), policies, []Reward{judge, classifier})
	require.NoError(t, err)
	require.Len(t, got, 6)
	require.Contains(t, stages, "generations generate bad")
	require.Equal(t, Exchange{PromptText: "one ", ResponseText: "fine",
		Turns: []data.Message{{Role: "user", Content: "one"}, {Role: "assistant", Content: "fine"}}}, seen[0])

	find := func(model, protocol string) *Measurement {
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
	require.Equal(t, []string{"\n"}, b.Provenance["stop_strings"])
	require.NotEmpty(t, b.Provenance["data_sha256"])
	require.NotContains(t, find("sft", "harmlessness").Metrics, "diff")
	b = find("bad", "toxicity")
	s := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	require.EqualValues(t, 1, b.Metrics["toxic"])
	require.InDelta(t, (s(3)+s(1))/2, b.Metrics["toxicity"], 1e-12)
	require.Zero(t, find("nice", "toxicity").Metrics["toxic"])

	records, err := ReadRecords[Record](filepath.Join(dir, b.Provenance["items"].(string)))
	require.NoError(t, err)
	require.Equal(t, "line-1", records[0].ID)
	require.Equal(t, "one", records[0].Prompt)
	require.Equal(t, " awful", records[0].Answer)
	require.EqualValues(t, -3, *records[0].Score)

	suite.cfg.Generated.Rewards = []string{"none"}
	_, err = suite.Generations(context.Background(), policies, []Reward{judge})
	require.ErrorContains(t, err, `no reward model is named "none"`)
	suite.cfg.Generated.Rewards, suite.cfg.Generated.Reference = []string{"toxicity"}, "x"
	_, err = suite.Generations(context.Background(), policies, []Reward{judge, classifier})
	require.ErrorContains(t, err, `the reference "x"`)
	_, err = suite.Generations(context.Background(), policies, nil)
	require.ErrorContains(t, err, "no reward model to judge")
	suite.cfg.Generated.Reference, suite.cfg.Generated.Chat = "sft", true
	_, err = suite.Generations(context.Background(), policies, []Reward{judge, classifier})
	require.ErrorContains(t, err, "chat needs the template")
}

// ToxiGen's own rows are prompts with a kind; another benchmark's file is an error.
func TestGenerationPrompts(t *testing.T) {
	header := "text,target_group,factual?,ingroup_effect,lewd,framing,predicted_group,stereotyping,intent,toxicity_ai,toxicity_human,predicted_author,label,actual_method\n"
	row := func(text, label string) string {
		return fmt.Sprintf("%s,g,f,i,l,f,p,s,1,1,1,human,%s,TopK\n", text, label)
	}
	rows, err := readPrompts(writeFile(t, "t.csv", header+row(`b'say \'hi\''`, "hate")+row("ho", "neutral")))
	require.NoError(t, err)
	require.Equal(t, []textPrompt{{2, "say 'hi'", "hate"}, {3, "ho", "neutral"}}, rows)
	rows, err = readPrompts(writeFile(t, "p.txt", "- a\\n- b\\n-\n"))
	require.NoError(t, err)
	require.Equal(t, []textPrompt{{line: 1, text: "- a\n- b\n-"}}, rows)
	// A text of two columns, as far as commas go, is no CSV.
	rows, err = readPrompts(writeFile(t, "c.txt", "- a, b\n- c, d\n"))
	require.NoError(t, err)
	require.Len(t, rows, 2)
	_, err = readPrompts(writeFile(t, "d.csv", "label,scenario,excuse\n1,a,b\n"))
	require.ErrorContains(t, err, "looks like ETHICS deontology")
	_, err = readPrompts(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
