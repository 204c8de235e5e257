package benchmark

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/metrics"
	"steer/eval/task"
	"steer/ggml/lm"
	"steer/internal/testfiles"
	"steer/rl/data"
	"steer/rl/run"
)

// What was asked is what the template renders, and a choice follows without a blank.
func TestChatTask(t *testing.T) {
	tk := loadTask(t, "data: d.jsonl\noutput_type: generate_until\ndoc_to_text: q\ndoc_to_target: a\n"+
		"num_fewshot: 1\ndescription: Be kind.\ngen_prefix: So\nfewshot_config: {sampler: first_n}\n",
		`{"q": "one <s>", "a": "1"}`+"\n"+`{"q": "two", "a": "2"}`+"\n")
	tpl, err := data.NewTemplate(data.TemplateChatML, nil)
	require.NoError(t, err)
	gen := &evaltest.Scripted{Answer: func(string) string { return "2" }}
	s := eval.Subject{Name: "g", Generator: gen, Tokenizer: evaltest.Tokenizer{}}
	b, _, err := UserTask(context.Background(), s, evaltest.Settings(), tk,
		TaskPrompts{ApplyChatTemplate: true, SystemInstruction: "Hello"}, tpl)
	require.NoError(t, err)
	require.Equal(t, "<|im_start|>system\nHello\n\nBe kind.<|im_end|>\n<|im_start|>user\none <s><|im_end|>\n"+
		"<|im_start|>assistant\nSo 1<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\nSo",
		evaltest.Tokenizer{}.Decode(gen.Seen[1].Prompt, true))
	require.NotContains(t, gen.Seen[1].Prompt, int32(evaltest.BOS), "text of a row is no special token")
	require.Equal(t, "chatml", b.Provenance.Fact("chat_template").String())
	require.Equal(t, "true", b.Provenance.Fact("fewshot_as_multiturn").String())
	no := false
	_, _, err = UserTask(context.Background(), s, evaltest.Settings(), tk,
		TaskPrompts{ApplyChatTemplate: true, FewshotAsMultiturn: &no}, tpl)
	require.NoError(t, err)
	require.Contains(t, evaltest.Tokenizer{}.Decode(gen.Seen[3].Prompt, true),
		"<|im_start|>user\none <s> So 1\n\ntwo<|im_end|>\n<|im_start|>assistant\nSo")
	_, _, err = UserTask(context.Background(), s, evaltest.Settings(), tk, TaskPrompts{ApplyChatTemplate: true}, nil)
	require.ErrorContains(t, err, "apply_chat_template: there is no template")
	yes := true
	require.ErrorContains(t, TaskPrompts{FewshotAsMultiturn: &yes}.check(), "set apply_chat_template: true too")
	choices := loadTask(t, "data: d.jsonl\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: 0\n"+
		"doc_to_choice: [no, 'yes']\n", `{"q": "one"}`+"\n")
	b, _, err = UserTask(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 3}), evaltest.Settings(),
		choices, TaskPrompts{ApplyChatTemplate: true}, tpl)
	require.NoError(t, err)
	require.Equal(t, run.NewFact(""), b.Provenance.Fact("target_delimiter"))
}

// A template that takes no system turn is asked without, and that is counted.
func TestRefusedSystemTurn(t *testing.T) {
	tk := loadTask(t, "data: d.jsonl\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n",
		`{"q": "ab", "a": "cd"}`+"\n")
	tpl, err := data.NewOwnTemplate(lm.Chat{Template: `{% for m in messages %}{% if m.role == 'system' %}` +
		`{{ raise_exception('no system') }}{% endif %}[{{ m.content }}]{% endfor %}`}, nil, time.Time{})
	require.NoError(t, err)
	m := &evaltest.Bigram{Scale: 3}
	b, records, err := UserTask(context.Background(), evaltest.Subject(m), evaltest.Settings(), tk,
		TaskPrompts{ApplyChatTemplate: true, SystemInstruction: "x"}, tpl)
	require.NoError(t, err)
	require.Contains(t, b.Flags, "system_turn_refused=1")
	want := 0.0
	for _, pair := range []string{"]c", "cd"} {
		p, _ := m.Logprob(int32(pair[0]), int32(pair[1]), 1)
		want += p
	}
	require.InDelta(t, want, records[0].LogProbs[0], 1e-5)
}

// The harness's own sums over three texts (task/testdata/prompts.py).
func TestRollingTask(t *testing.T) {
	var golden struct {
		Rolling struct {
			Texts          []string
			LogLikelihoods []float64
			Word           float64 `json:"word_perplexity"`
			Byte           float64 `json:"byte_perplexity"`
			Bits           float64 `json:"bits_per_byte"`
		}
	}
	testfiles.ReadJSON(t, "../task/testdata/prompts.json.gz", &golden)
	g := golden.Rolling
	require.Len(t, g.Texts, 3)
	items, records := make([]task.Item, 3), make([]run.Item, 3)
	for i, text := range g.Texts {
		items[i].Targets = []string{text}
		records[i] = run.Item{LogProbs: []float64{g.LogLikelihoods[i]}, Tokens: 1}
	}
	yaml := "data: d.jsonl\noutput_type: loglikelihood_rolling\ndoc_to_target: q\nnum_fewshot: 2\n"
	tk := loadTask(t, yaml, `{"q": "abcdef"}`+"\n"+`{"q": ""}`+"\n"+`{"q": "x y"}`+"\n")
	require.Equal(t, []string{"num_fewshot"}, tk.Ignored)
	m := &evaltest.Bigram{Scale: 3}
	set := evaltest.Settings()
	set.MaxLength = 4
	b, got, err := UserTask(context.Background(), evaltest.Subject(m), set, tk, TaskPrompts{}, nil)
	require.NoError(t, err)
	sum := 0.0
	for _, text := range []string{"\x00abcdef", "\x00x y"} {
		for k := 1; k < len(text); k++ {
			before := int32(text[k-1])
			if k == 1 {
				before = evaltest.BOS
			}
			p, _ := m.Logprob(before, int32(text[k]), 1)
			sum += p
		}
	}
	require.InDelta(t, -sum/9/math.Ln2, b.Metrics["bits_per_byte"], 1e-5)
	require.InDelta(t, -sum/4, math.Log(b.Metrics["word_perplexity"]), 1e-5)
	require.Zero(t, got[1].LogProbs[0])
	require.Contains(t, b.Intervals, "word_perplexity")
	require.Equal(t, "3", b.Provenance.Fact("windows").String())
	summary := metrics.New("t", eval.ProtocolLogLik, "m", "v", 3, set)
	require.NoError(t, addRolling(summary, tk, items, records))
	require.InDelta(t, g.Word, summary.Metrics["word_perplexity"], 1e-9)
	require.InDelta(t, g.Byte, summary.Metrics["byte_perplexity"], 1e-12)
	require.InDelta(t, g.Bits, summary.Metrics["bits_per_byte"], 1e-12)
	tk = loadTask(t, strings.Replace(yaml, "num_", "#", 1),
		`{"q": ""}`+"\n")
	_, _, err = UserTask(context.Background(), evaltest.Subject(m), set, tk, TaskPrompts{}, nil)
	require.ErrorContains(t, err, "all texts are empty")
}
