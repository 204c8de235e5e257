package benchmark

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/query"
	"steer/eval/task"
	"steer/rl/run"
)

func loadTask(t *testing.T, yaml, data string) *task.Task {
	t.Helper()
	tk, err := task.Load(filepath.Join(evaltest.WriteFiles(t, map[string]string{"t.yaml": yaml, "d.jsonl": data}),
		"t.yaml"), "")
	require.NoError(t, err)
	return tk
}

func TestUserTaskChoices(t *testing.T) {
	tk := loadTask(t, "task: quiz\ndata: d.jsonl\noutput_type: multiple_choice\ndoc_to_text: \"Q: {{q}}\\nA:\"\n"+
		"doc_to_choice: [no, 'yes']\ndoc_to_target: a\ntarget_delimiter: \"-\"\ntag: x\n",
		evaltest.Lines(12, func(i int) string { return fmt.Sprintf(`{"q": "question %d", "a": %d}`, i, i%2) }))
	b, records, err := UserTask(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 3}),
		evaltest.Settings(), tk, TaskPrompts{}, nil)
	require.NoError(t, err)
	require.Len(t, records, 12)
	require.Equal(t, "quiz", b.Benchmark)
	require.Equal(t, eval.ProtocolLogLik, b.Protocol)
	for _, name := range []string{
		"acc", "acc_norm", "mcc", "balanced_acc", "macro_f1", "majority_acc", "predicted_yes", "auc",
	} {
		require.Contains(t, b.Metrics, name)
	}
	for key, want := range map[string]any{
		"target_delimiter": "-", "bos": false, "max_length": 4000, "ignored_keys": "tag", "first": 0, "num_fewshot": 0,
		"output_type": "multiple_choice", "task_sha256": tk.SHA256,
	} {
		require.Equal(t, run.NewFact(want), b.Provenance.Fact(key), key)
	}
	require.Len(t, b.Provenance.Fact("data_sha256").Value(), 64)
	require.Equal(t, "quiz@"+tk.SHA256[:12], b.Provenance.PromptVersion)
	// The same as the same items asked by hand.
	var want []query.Item
	for i := range 12 {
		want = append(want, query.NewItem(fmt.Sprintf("quiz-%d", i), i, fmt.Sprintf("Q: question %d\nA:", i), "-",
			i%2, "no", "yes"))
	}
	byHand, err := query.Choose(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 3}),
		evaltest.Settings(), want, eval.Progress{})
	require.NoError(t, err)
	require.Equal(t, byHand, records)
}

// Choices of their own in every row are no classes.
func TestUserTaskVaryingChoices(t *testing.T) {
	yaml := "data: d.jsonl\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: c\ndoc_to_target: \"{{a}}\"\n"
	place := func(i int) int { return []int{1, 1, 0, 1, 2}[i%5] }
	data := evaltest.Lines(60, func(i int) string {
		return fmt.Sprintf(`{"q": "q%02d", "c": ["x%02d", "yyy%02d", "é"], "a": %d}`, i, i, i, place(i))
	})
	b, records, err := UserTask(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 3}),
		evaltest.Settings(), loadTask(t, yaml+"metric_list: [{metric: acc}, {metric: acc_bytes}, {metric: "+
			"exact_match}]\n", data), TaskPrompts{}, nil)
	require.NoError(t, err)
	require.NotContains(t, b.Metrics, "mcc")
	require.NotContains(t, b.Metrics, "acc_norm")
	require.InDelta(t, .6, b.Metrics["majority_acc"], 1e-12)
	bytes, greedy := 0, 0
	for i, r := range records {
		best, pred := math.Inf(-1), 0
		for k, n := range []float64{3, 5, 2} {
			if r.LogProbs[k]/n > best {
				best, pred = r.LogProbs[k]/n, k
			}
		}
		if pred == place(i) {
			bytes++
		}
		if r.Greedy[place(i)] {
			greedy++
		}
	}
	require.InDelta(t, float64(bytes)/60, b.Metrics["acc_bytes"], 1e-12)
	require.InDelta(t, float64(greedy)/60, b.Metrics["exact_match"], 1e-12)
	b, _, err = UserTask(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 3}), evaltest.Settings(),
		loadTask(t, yaml+"metric_list: [{metric: mcc}, {metric: macro_f1}]\n", data), TaskPrompts{}, nil)
	require.NoError(t, err)
	require.Contains(t, b.Metrics, "mcc")
	_, _, err = UserTask(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 3}), evaltest.Settings(),
		loadTask(t, yaml+"metric_list: [f1]\n", data), TaskPrompts{}, nil)
	require.ErrorContains(t, err, "f1 is defined for two choices, these are 3: want macro_f1")
}

func TestUserTaskLikelihood(t *testing.T) {
	tk := loadTask(t, "data: d.jsonl\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n",
		`{"q": "ab", "a": "cd"}`+"\n"+`{"q": "x", "a": " y"}`+"\n")
	m := &evaltest.Bigram{Scale: 3}
	b, records, err := UserTask(context.Background(), evaltest.Subject(m), evaltest.Settings(), tk, TaskPrompts{}, nil)
	require.NoError(t, err)
	sum := 0.0
	for i, s := range []string{"abcd", "x y"} {
		from, want := []int{2, 1}[i], 0.0
		for k := from; k < len(s); k++ {
			p, _ := m.Logprob(int32(s[k-1]), int32(s[k]), 1)
			want += p
		}
		require.InDelta(t, want, records[i].LogProbs[0], 1e-5)
		sum += want
	}
	require.InDelta(t, -sum/2, math.Log(b.Metrics["perplexity"]), 1e-5)
	require.InDelta(t, sum/4, b.Metrics["logprob_per_character"], 1e-5)
	require.Contains(t, b.Metrics, "acc")
	require.Contains(t, b.Intervals, "perplexity")
}

func TestUserTaskGeneration(t *testing.T) {
	tk := loadTask(t, `
data: d.jsonl
output_type: generate_until
doc_to_text: "Q: {{q}}\nA:"
doc_to_target: a
generation_kwargs: {until: ["\n"], max_gen_toks: 20}
metric_list: [{metric: exact_match, ignore_case: true}]
filter_list:
  - {name: strict, filter: [{function: remove_whitespace}]}
  - {name: number, filter: [{function: regex, regex_pattern: '(\d+)'}]}
`, `{"q": "one", "a": "1"}`+"\n"+`{"q": "two", "a": ["2", "II"]}`+"\n"+
		`{"q": "three", "a": "3"}`+"\n"+`{"q": "four", "a": "4"}`+"\n")
	gen := &evaltest.Scripted{Answer: func(prompt string) string {
		switch {
		case strings.Contains(prompt, "one"):
			return " 1\nQ: more"
		case strings.Contains(prompt, "two"):
			return "ii"
		case strings.Contains(prompt, "three"):
			return "it is 3, I think, perhaps"
		}
		return ""
	}}
	set := evaltest.Settings()
	generating := eval.Subject{Name: "g", Generator: gen, Tokenizer: evaltest.Tokenizer{}}
	b, records, err := UserTask(context.Background(), generating, set, tk, TaskPrompts{}, nil)
	require.NoError(t, err)
	require.Equal(t, eval.ProtocolGenerate, b.Protocol)
	require.Equal(t, " 1", records[0].Answer)
	require.InDelta(t, .5, b.Metrics["exact_match"], 1e-12)
	require.InDelta(t, .5, b.Metrics["exact_match_number"], 1e-12)
	require.Equal(t, []int{1, 1, 0, 0}, []int{records[0].Pred, records[1].Pred, records[2].Pred, records[3].Pred})
	require.Contains(t, b.Flags, "unfinished=1")
	require.Contains(t, b.Flags, "empty_answers=1")
	require.Equal(t, "Q: one\nA:", evaltest.Tokenizer{}.Decode(gen.Seen[0].Prompt, true))
	require.Equal(t, 20, gen.Seen[0].MaxNew)
	require.Equal(t, []string{"\n"}, gen.Seen[0].StopStrings)
	// Prompts are cut from the left, and counted.
	set.MaxLength = 24
	b, _, err = UserTask(context.Background(), generating, set, tk, TaskPrompts{}, nil)
	require.NoError(t, err)
	require.Contains(t, b.Flags, "truncated=4")
	require.Equal(t, "\nA:", evaltest.Tokenizer{}.Decode(gen.Seen[len(gen.Seen)-1].Prompt, true)[1:])
	set.MaxLength = 20
	_, _, err = UserTask(context.Background(), generating, set, tk, TaskPrompts{}, nil)
	require.ErrorContains(t, err, "leaves no room for a prompt in max_length 20")
	_, _, err = UserTask(context.Background(), eval.Subject{Name: "g"}, evaltest.Settings(), tk, TaskPrompts{}, nil)
	require.ErrorContains(t, err, "needs a generator")
}
