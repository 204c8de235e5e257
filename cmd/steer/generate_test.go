package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/testfiles"
)

func generated(t testing.TB, stdin string, args ...string) []generation {
	t.Helper()
	return lines[generation](t,
		succeed(t, stdin, append([]string{"generate", "--json", "--max-new", "12"}, args...)...))
}

func TestGenerateIsDeterminedBySeed(t *testing.T) {
	m := demoModel(t)
	args := []string{"-m", m.Model, "--prompt", "Is it right", "--prompt", "You should", "--n", "2", "--temperature",
		"1", "--seed"}
	one := generated(t, "", append(args, "7")...)
	require.Len(t, one, 4)
	require.Equal(t, one, generated(t, "", append(args, "7")...))
	require.NotEqual(t, one, generated(t, "", append(args, "8")...))
	for i, g := range one {
		require.Equal(t, i/2+1, g.Line)
		require.Equal(t, i%2, g.Sample)
		require.Equal(t, g.NTokens, len(g.Tokens))
		require.LessOrEqual(t, g.NTokens, 12)
		require.Contains(t, []lm.FinishReason{lm.FinishLength, lm.FinishStopToken}, g.Finish)
	}
	require.NotEqual(t, one[0].Tokens, one[1].Tokens)
	require.NotEqual(t, one[0].Seed, one[1].Seed)
}

func TestGenerateForPeople(t *testing.T) {
	m := demoModel(t)
	args := []string{"generate", "-m", m.Model, "--max-new", "8", "--temperature", "0", "--prompt", "Is it right"}
	single := succeed(t, "", args...)
	require.NotContains(t, single, "---")
	require.Equal(t, generated(t, "", "-m", m.Model, "--max-new", "8", "--temperature", "0", "--prompt",
		"Is it right")[0].Text, strings.TrimRight(single, "\n"))
	two := succeed(t, "", append(args, "--n", "2")...)
	require.Contains(t, two, "--- prompt 1, answer 2 of 2: Is it right\n")
	require.Equal(t, 2, strings.Count(two, strings.TrimRight(single, "\n")), "greedy answers are equal")
}

// The likeliest token after the prompt is the one that scores highest.
func TestGenerateGreedyTakesTheLikeliest(t *testing.T) {
	m := demoModel(t)
	g := generated(t, "", "-m", m.Model, "--temperature", "0", "--prompt", "I promised my boss")[0]
	prompt := runScore(t, "", "-m", m.Model, "--text", "I promised my boss")[0].IDs
	require.Equal(t, len(prompt), g.Asked)
	best := runScore(t, `{"ids":`+jsonInts(append(append([]int32{}, prompt...), g.Tokens[0]))+`}`, "-m", m.Model)[0]
	top := best.Logprobs[len(best.Logprobs)-1]
	var in strings.Builder
	for id := int32(0); id < int32(describe(t, m.Model).Vocab); id += 31 {
		in.WriteString(`{"ids":` + jsonInts(append(append([]int32{}, prompt...), id)) + "}\n")
	}
	for _, r := range runScore(t, in.String(), "-m", m.Model) {
		require.LessOrEqual(t, r.Logprobs[len(r.Logprobs)-1], top+1e-2)
	}
}

func TestGenerateInputs(t *testing.T) {
	m := demoModel(t)
	want := generated(t, "", "-m", m.Model, "--seed", "3", "--template", "guanaco", "--prompt", "Hello", "--prompt",
		"Is it right?")
	jsonl := `{"prompt":"Hello"}` + "\n" +
		`{"messages":[{"role":"user","content":"Is it right?"},{"role":"assistant","content":"dropped"}]}` + "\n"
	for name, in := range map[string]struct{ file, stdin string }{
		"JSON lines": {file: writeFile(t, "p.jsonl", jsonl)},
		"stdin":      {file: "-", stdin: jsonl},
		"text":       {file: writeFile(t, "p.txt", "Hello\nIs it right?\n")},
	} {
		t.Run(name, func(t *testing.T) {
			got := generated(t, in.stdin, "-m", m.Model, "--seed", "3", "--template", "guanaco", "--file", in.file)
			require.Equal(t, want, got)
		})
	}
	// The prompts that come with the demo.
	require.Len(t, generated(t, "", "-m", m.Model, "--max-new", "1", "--file", m.Prompts),
		len(lines[any](t, readAll(t, m.Prompts))))
}

func readAll(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

func TestGenerateStops(t *testing.T) {
	m := demoModel(t)
	free := generated(t, "", "-m", m.Model, "--temperature", "0", "--max-new", "24", "--prompt",
		"I promised my boss")[0]
	words := strings.Fields(free.Text)
	require.Greater(t, len(words), 2)
	stop := words[1]
	cut := generated(t, "", "-m", m.Model, "--temperature", "0", "--max-new", "24", "--prompt", "I promised my boss",
		"--stop", stop, "--stop", "never said")[0]
	require.Equal(t, lm.FinishStopString, cut.Finish)
	require.Equal(t, free.Text[:strings.Index(free.Text, stop)], cut.Text, "the answer ends before the stop string")
	require.Equal(t, free.Tokens[:cut.NTokens], cut.Tokens)

	// A stop token ends the answer and is not shown.
	ended := generated(t, "", "-m", m.Model, "--template", "guanaco", "--max-new", "64", "--temperature", "0",
		"--prompt", "Is it right to lie?")[0]
	if ended.Finish == lm.FinishStopToken {
		require.NotContains(t, ended.Text, "<|")
		require.Equal(t, strings.TrimSpace(ended.Text), ended.Text)
	}
}

func TestGenerateWithAdapters(t *testing.T) {
	m := demoModel(t)
	args := []string{"-m", m.Model, "--temperature", "0", "--max-new", "24", "--prompt", "I promised my boss"}
	base := generated(t, "", args...)
	strong := func(sign float32) string {
		return newAdapter(t, m.Model, func(a *adapter.Adapter) {
			for i := range a.Pairs {
				for j := range a.Pairs[i].B {
					a.Pairs[i].B[j] *= 8 * sign
				}
			}
		})
	}
	plus, minus := strong(1), strong(-1)
	require.NotEqual(t, base[0].Tokens, generated(t, "", append(args, "-a", plus)...)[0].Tokens)
	require.Equal(t, base[0].Tokens, generated(t, "", append(args, "-a", plus, "-a", minus)...)[0].Tokens,
		"two adapters that cancel")
	fresh := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		for i := range a.Pairs {
			clear(a.Pairs[i].B)
		}
	})
	require.Equal(t, base[0].Tokens, generated(t, "", append(args, "-a", fresh)...)[0].Tokens,
		"an untrained adapter changes nothing")
}

func TestGenerateFailures(t *testing.T) {
	m := demoModel(t)
	on := func(args ...string) []string { return append([]string{"generate", "-m", m.Model}, args...) }
	for _, f := range []failure{
		{name: "no prompt", args: on(), code: 2, says: []string{"--prompt or --file"}},
		{name: "two kinds of prompt", args: on("--prompt", "a", "--file", "b"), code: 2,
			says: []string{"--prompt or --file"}},
		{name: "no model", args: []string{"generate", "--prompt", "a"}, code: 2, says: []string{"--model"}},
		{name: "missing model", args: []string{"generate", "-m", "nowhere.gguf", "--prompt", "a"}, code: 1,
			says: []string{"nowhere.gguf"}},
		{name: "missing file", args: on("--file", "nowhere.jsonl"), code: 1, says: []string{"nowhere.jsonl"}},
		{name: "truncated model", args: []string{"generate", "-m", cutShort(t, m.Model), "--prompt", "a"}, code: 1,
			says: []string{"cut.gguf", "cut short"}},
		{name: "three adapters", args: on("--prompt", "a", "-a", "x", "-a", "y", "-a", "z"), code: 2,
			says: []string{"at most two", "got 3"}},
		{name: "template", args: on("--prompt", "a", "--template", "chatm"), code: 2,
			says: []string{`did you mean "chatml"?`}},
		{name: "too long", args: on("--prompt", "a", "--max-new", "60000"), code: 1,
			says: []string{"prompt 1", "60000", "--max-new"}},
		{name: "empty prompt", args: []string{"generate", "--prompt", "", "-m",
			rewrite(t, m.Model, map[string]any{"tokenizer.ggml.add_bos_token": false}, nil, nil)}, code: 1,
			says: []string{"prompt 1", "no token"}},
		{name: "not UTF-8", args: on("--prompt", "caf\xe9"), code: 1, says: []string{"UTF-8"}},
		{name: "not UTF-8 in a file", args: on("--file", writeFile(t, "p.txt", "ok\ncaf\xe9\n")), code: 1,
			says: []string{"p.txt", "line 2", "UTF-8"}},
		{name: "no JSON", args: on("--file", writeFile(t, "p.jsonl", "hello\n")), code: 1,
			says: []string{"p.jsonl: line 1", ".txt"}},
		{name: "another key", args: on("--file", writeFile(t, "p.jsonl", `{"promt":"a"}`)), code: 1,
			says: []string{"line 1", `"promt"`}},
		{name: "no prompts", args: on("--file", "-"), code: 1, says: []string{"no prompts"}},
		{name: "temperature", args: on("--prompt", "a", "--temperature", "-1"), code: 2,
			says: []string{"--temperature"}},
		{name: "NaN", args: on("--prompt", "a", "--temperature", "NaN"), code: 2, says: []string{"--temperature"}},
		{name: "top-p", args: on("--prompt", "a", "--top-p", "1.5"), code: 2, says: []string{"--top-p"}},
		{name: "min-p", args: on("--prompt", "a", "--min-p", "-0.5"), code: 2, says: []string{"--min-p"}},
		{name: "top-k", args: on("--prompt", "a", "--top-k", "-1"), code: 2, says: []string{"--top-k"}},
		{name: "n", args: on("--prompt", "a", "--n", "0"), code: 2, says: []string{"--n"}},
		{name: "max-new", args: on("--prompt", "a", "--max-new", "0"), code: 2, says: []string{"--max-new"}},
		{name: "stop", args: on("--prompt", "a", "--stop", ""), code: 2, says: []string{"--stop"}},
		{name: "argument", args: on("hello"), code: 2, says: []string{"generate --help"}},
	} {
		f.run(t)
	}
}

// Greedy continuations of transformers: equal up to the end token, or to a position where the two
// likeliest tokens are nearer to each other than decoding in bf16 is exact. However many prompts
// are answered at once, each gets the answer it gets alone.
func TestGenerateRedoesGoldenGreedy(t *testing.T) {
	var g struct {
		Items []struct {
			Prompt string
			NewIDs []int32   `json:"new_ids"`
			Margin []float64 `json:"top1_minus_top2"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(readAll(t, testfiles.Golden(t, "sampling/M_greedy.json"))), &g))
	var args []string
	for _, it := range g.Items {
		args = append(args, "--prompt", it.Prompt)
	}
	out := generated(t, "", append(args, "-m", testfiles.Model(t), "--temperature", "0", "--max-new", "16")...)
	equal := 0
	for i, it := range g.Items {
		alone := generated(t, "", "--prompt", it.Prompt, "-m", testfiles.Model(t), "--temperature", "0", "--max-new",
			"16")
		require.Equal(t, alone[0].Tokens, out[i].Tokens, "%q alone", it.Prompt)
		for k, id := range out[i].Tokens {
			if id != it.NewIDs[k] {
				require.Less(t, it.Margin[k], 0.1, "%q, token %d", it.Prompt, k)
				break
			}
			equal++
		}
	}
	require.Greater(t, equal, 60, "of 80 tokens")
	t.Logf("%d of 80 tokens equal before the first near tie of each prompt", equal)
}
