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

// process_results makes the metrics of every item; metric_list says how they become one.
func TestUserTaskResults(t *testing.T) {
	python := `
import re

def halves(dataset):
    return dataset.filter(lambda x: x["keep"]).map(lambda x: {"q": x["q"].upper()})

def choose(doc, results):
    lls, greedy = zip(*results)
    return {"first": 1.0 if lls[0] > lls[1] else 0.0, "gap": abs(lls[0] - lls[1]), "left": 1}

def spread(items):
    return max(items) - min(items)

def answer(doc, results):
    return {"hit": re.sub(r"\W", "", results[0]) == doc["a"]}

def whole(doc, results):
    (ll,) = results
    return {"word_perplexity": (ll, len(doc["q"].split())), "bits_per_byte": (ll, 2)}
`
	load := func(yaml string) *task.Task {
		dir := evaltest.WriteFiles(t, map[string]string{"u.py": python, "t.yaml": yaml,
			"d.jsonl": `{"q": "ab", "a": "B", "keep": true}` + "\n" +
				`{"q": "x", "a": "y", "keep": false}` + "\n" + `{"q": "cd e", "a": "z", "keep": true}` +
				"\n"})
		tk, err := task.Load(filepath.Join(dir, "t.yaml"), "")
		require.NoError(t, err)
		return tk
	}
	m := &evaltest.Bigram{Scale: 3}
	tk := load("data: d.jsonl\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: [b, c]\n" +
		"doc_to_target: 7\n" +
		"process_docs: !function u.halves\nprocess_results: !function u.choose\nmetric_list:\n" +
		"  - {metric: first, aggregation: mean}\n  - {metric: gap, aggregation: !function u.spread}\n" +
		"  - {metric: left, aggregation: median}\n")
	require.Equal(t, []string{"metric left is not computed (aggregation: median)"}, tk.Notes)
	b, records, err := UserTask(context.Background(), evaltest.Subject(m), evaltest.Settings(), tk, TaskPrompts{}, nil)
	require.NoError(t, err)
	require.Len(t, records, 2)
	var gaps []float64
	first := 0.0
	for i, last := range []byte{'B', 'E'} {
		p, _ := m.Logprob(int32(last), ' ', 1)
		x, _ := m.Logprob(' ', 'b', 1)
		y, _ := m.Logprob(' ', 'c', 1)
		require.InDelta(t, p+x, records[i].LogProbs[0], 1e-5)
		gaps = append(gaps, math.Abs(x-y))
		if x > y {
			first++
		}
	}
	require.InDelta(t, first/2, b.Metrics["first"], 1e-12)
	require.InDelta(t, gaps[0]-gaps[1], b.Metrics["gap"], 1e-5)
	require.NotContains(t, b.Metrics, "left")
	require.NotContains(t, b.Metrics, "acc")
	gen := &evaltest.Scripted{Answer: func(prompt string) string { return prompt[len(prompt)-1:] + "!" }}
	b, _, err = UserTask(context.Background(), eval.Subject{Name: "g", Generator: gen, Tokenizer: evaltest.Tokenizer{}},
		evaltest.Settings(), load("data: d.jsonl\noutput_type: generate_until\ndoc_to_text: \"{{q}}{{a}}\"\n"+
			"doc_to_target: a\nprocess_results: !function u.answer\nmetric_list: [{metric: hit}]\n"+
			""), TaskPrompts{}, nil)
	require.NoError(t, err)
	require.InDelta(t, 1, b.Metrics["hit"], 1e-12)
	require.Equal(t, eval.ProtocolGenerate, b.Protocol)
	b, records, err = UserTask(context.Background(), evaltest.Subject(m), evaltest.Settings(),
		load("data: d.jsonl\noutput_type: loglikelihood_rolling\ndoc_to_target: q\n"+
			"process_results: !function u.whole\nmetric_list:\n"+
			"  - {metric: word_perplexity, aggregation: weighted_perplexity}\n"+
			"  - {metric: bits_per_byte, aggregation: bits_per_byte}\n"), TaskPrompts{}, nil)
	require.NoError(t, err)
	sum := records[0].LogProbs[0] + records[1].LogProbs[0] + records[2].LogProbs[0]
	require.InDelta(t, -sum/4, math.Log(b.Metrics["word_perplexity"]), 1e-9)
	require.InDelta(t, -sum/6/math.Ln2, b.Metrics["bits_per_byte"], 1e-9)
	_, _, err = UserTask(context.Background(), evaltest.Subject(m), evaltest.Settings(),
		load("data: d.jsonl\noutput_type: loglikelihood_rolling\ndoc_to_target: q\n"+
			"process_results: !function u.answer\nmetric_list: [{metric: hit}]\n"), TaskPrompts{}, nil)
	require.ErrorContains(t, err, `item "t-0": `)
	require.ErrorContains(t, err, "TypeError: expected string, got float")
}
