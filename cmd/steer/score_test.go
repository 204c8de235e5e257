package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/rewards"
)

// scored is a line of steer score as another program reads it.
type scored struct {
	Line       int
	IDs        []int32
	Positions  []int32
	Logprobs   []float32
	Entropy    []float32
	Head       any
	Score      any
	Sum        *float64
	N          *int
	Perplexity *float64
	Text       *string
}

func runScore(t testing.TB, stdin string, args ...string) []scored {
	t.Helper()
	return lines[scored](t, succeed(t, stdin, append([]string{"score", "--precision", "f32"}, args...)...))
}

func close32(t testing.TB, want, got []float32, tol float64) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.InDelta(t, want[i], got[i], tol, "position %d", i)
	}
}

func TestScoreOfTextAndOfItsTokens(t *testing.T) {
	m := demoModel(t)
	rows := runScore(t, "", "-m", m.Model, "--logprobs", "--entropy", "--text", "I kept my promise.", "--text", "No.")
	require.Len(t, rows, 2)
	for _, r := range rows {
		n := len(r.IDs)
		require.Len(t, r.Logprobs, n-1)
		require.Len(t, r.Entropy, n-1)
		require.Nil(t, r.Positions)
		require.Nil(t, r.Head)
		sum := 0.0
		for i, lp := range r.Logprobs {
			require.Less(t, lp, float32(0))
			require.Greater(t, r.Entropy[i], float32(0))
			require.LessOrEqual(t, float64(r.Entropy[i]), math.Log(float64(describe(t, m.Model).Vocab))+1e-4)
			sum += float64(lp)
		}
		require.Equal(t, sum, *r.Sum)
		require.Equal(t, n-1, *r.N)
		require.InEpsilon(t, math.Exp(-sum/float64(n-1)), *r.Perplexity, 1e-12)
	}
	require.Equal(t, "No.", *rows[1].Text)
	require.Equal(t, 2, rows[1].Line)

	// The ids of a text have the text's log-probabilities, whatever the batch.
	in := fmt.Sprintf("{\"ids\": %s}\n\n{\"ids\": %s, \"extra\": 1}\n", jsonInts(rows[1].IDs), jsonInts(rows[0].IDs))
	for _, batch := range []string{"1", "2048"} {
		again := runScore(t, in, "-m", m.Model, "--batch-tokens", batch)
		require.Equal(t, 3, again[1].Line, "blank lines are counted, not scored")
		require.Nil(t, again[0].Text)
		require.Nil(t, again[0].Entropy, "by default log-probabilities only")
		close32(t, rows[1].Logprobs, again[0].Logprobs, 1e-4)
		close32(t, rows[0].Logprobs, again[1].Logprobs, 1e-4)
	}
}

func jsonInts(x []int32) string { return strings.Join(strings.Fields(fmt.Sprint(x)), ",") }

func TestScoreInputs(t *testing.T) {
	m := demoModel(t)
	want := runScore(t, "", "-m", m.Model, "--text", "I kept it.", "--text", "Yes")
	plain := "I kept it.\n\nYes\n"
	for name, args := range map[string][]string{
		"lines of stdin": {"--lines"},
		"dash":           {"--lines", "-"},
		"txt":            {writeFile(t, "x.txt", plain)},
		"lines":          {"--lines", writeFile(t, "x.dat", "\xef\xbb\xbf"+plain)},
		"gzip":           {writeFile(t, "x.txt.gz", string(gzipped(t, []byte(plain))))},
		"JSON":           {writeFile(t, "x.jsonl", `{"text":"I kept it."}`+"\n"+`{"text": "Yes"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			got := runScore(t, plain, append([]string{"-m", m.Model}, args...)...)
			require.Len(t, got, 2)
			for i := range got {
				require.Equal(t, want[i].IDs, got[i].IDs)
				require.Equal(t, want[i].Logprobs, got[i].Logprobs)
				require.Equal(t, want[i].Text, got[i].Text)
			}
		})
	}
}

// log p(response | prompt) = log p(prompt response) - log p(prompt)
func TestScoreCountsTheResponseOnly(t *testing.T) {
	m := demoModel(t)
	r := runScore(t, `{"prompt":"I promised my boss to stay.","response":" So I stayed."}`, "-m", m.Model,
		"--logprobs")[0]
	require.NotEmpty(t, r.Positions)
	require.Equal(t, len(r.Positions), *r.N)
	require.Equal(t, int32(len(r.IDs)-1), r.Positions[len(r.Positions)-1])
	first := int(r.Positions[0])
	in := fmt.Sprintf("{\"ids\":%s}\n{\"ids\":%s}\n", jsonInts(r.IDs), jsonInts(r.IDs[:first]))
	whole := runScore(t, in, "-m", m.Model)
	require.InDelta(t, *whole[0].Sum-*whole[1].Sum, *r.Sum, 1e-3)

	// A mask picks the same positions.
	mask := make([]int32, len(r.IDs))
	for _, p := range r.Positions {
		mask[p] = 1
	}
	masked := runScore(t, fmt.Sprintf(`{"ids":%s,"mask":%s}`, jsonInts(r.IDs), jsonInts(mask)), "-m", m.Model)[0]
	require.Equal(t, r.Positions, masked.Positions)
	require.Equal(t, r.Logprobs, masked.Logprobs)
}

func TestScoreTemplates(t *testing.T) {
	m := demoModel(t)
	chat := runScore(t, `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}
{"prompt":"Hi","response":"Hello"}
{"text":"Hi"}`, "-m", m.Model, "--template", "guanaco")
	require.Equal(t, chat[0].IDs, chat[1].IDs)
	require.Equal(t, chat[0].Logprobs, chat[1].Logprobs)
	require.NotEmpty(t, chat[0].Positions)
	n := len(chat[2].IDs)
	require.Equal(t, chat[0].IDs[:n], chat[2].IDs, "a prompt is a prefix of the prompt with its answer")
	require.Equal(t, int32(n), chat[0].Positions[0])
	require.Nil(t, chat[2].Positions, "all of a prompt counts")
	system := runScore(t, `{"text":"Hi"}`, "-m", m.Model, "--template", "guanaco", "--system", "Be brief.")
	require.Greater(t, len(system[0].IDs), n)
}

// A NUL byte in one row stops nothing: it is a character.
func TestScoreTakesNUL(t *testing.T) {
	m := demoModel(t)
	out := succeed(t, "{\"text\":\"ab\"}\n{\"text\":\"a\\u0000b\"}\n", "score", "-m", m.Model)
	rows := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, rows, 2)
	require.NotEqual(t, rows[0], rows[1])
}

func TestScoreBOS(t *testing.T) {
	m := demoModel(t) // adds BOS
	bos := int32(describe(t, m.Model).Tokenizer.BOS.ID)
	ids := func(args ...string) []int32 {
		return runScore(t, "", append([]string{"-m", m.Model, "--text", "Yes sir"}, args...)...)[0].IDs
	}
	auto := ids()
	require.Equal(t, bos, auto[0])
	require.Equal(t, auto, ids("--bos", "on"))
	require.Equal(t, auto[1:], ids("--bos", "off"))

	none := rewrite(t, m.Model, map[string]any{"tokenizer.ggml.add_bos_token": false}, nil, nil)
	m.Model = none
	require.Equal(t, auto[1:], ids())
	require.Equal(t, auto, ids("--bos", "on"))
	require.Equal(t, auto, append([]int32{bos}, ids("--bos", "off")...))
	pair := `{"prompt":"","response":"Yes"}`
	n := len(runScore(t, pair, "-m", none)[0].IDs)
	require.Len(t, runScore(t, pair, "-m", none)[0].Logprobs, n-1, "nothing predicts the first token")
	require.Len(t, runScore(t, pair, "-m", none, "--bos", "on")[0].Logprobs, n)
}

func TestScoreSpecialTokens(t *testing.T) {
	m := demoModel(t)
	on := runScore(t, "", "-m", m.Model, "--text", "a<|im_end|>")[0].IDs
	off := runScore(t, "", "-m", m.Model, "--text", "a<|im_end|>", "--special=false")[0].IDs
	require.Greater(t, len(off), len(on)+2)
}

func TestScoreHead(t *testing.T) {
	m := demoModel(t)
	rm := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
		a.Head.Mean, a.Head.Std = 0.5, 2
	})
	in := "{\"text\":\"I kept my promise.\"}\n{\"text\":\"I\"}\n"
	last := runScore(t, in, "-m", m.Model, "-a", rm) // an adapter with a head: --head by default
	all := runScore(t, in, "-m", m.Model, "-a", rm, "--head", "--positions", "all", "--logprobs")
	for i := range last {
		require.Nil(t, last[i].Logprobs)
		raw := last[i].Head.(float64)
		require.NotZero(t, raw)
		require.InDelta(t, (raw-0.5)/2, last[i].Score.(float64), 1e-6)
		heads := all[i].Head.([]any)
		require.Len(t, heads, len(all[i].IDs))
		require.Len(t, all[i].Score, len(all[i].IDs))
		require.InDelta(t, raw, heads[len(heads)-1].(float64), 1e-5)
		require.Len(t, all[i].Logprobs, len(all[i].IDs)-1)
	}
	// A stack: the head of the last adapter that has one, under all of them.
	plain := newAdapter(t, m.Model, nil)
	stacked := runScore(t, in, "-m", m.Model, "-a", plain, "-a", rm)
	require.NotEqual(t, last[0].Head, stacked[0].Head)
	require.Equal(t, runScore(t, in, "-m", m.Model, "-a", rm, "-a", plain)[0].Head != nil, true)
	// Without a head on, log-probabilities change with the adapter and no head is printed.
	base, adapted := runScore(t, in, "-m", m.Model), runScore(t, in, "-m", m.Model, "-a", plain)
	require.NotEqual(t, base[0].Logprobs, adapted[0].Logprobs)
	require.Nil(t, adapted[0].Head)
}

// A reward model made by steer reward is asked in its own form.
func TestScoreInTheFormOfTheRewardModel(t *testing.T) {
	m := demoModel(t)
	eos := int32(describe(t, m.Model).Tokenizer.EOS.ID)
	reward := func(form, eos string, limit int) string {
		return newAdapter(t, m.Model, func(a *adapter.Adapter) {
			a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
			a.Meta = map[string]string{rewards.MetaRole: "reward", rewards.MetaForm: form,
				rewards.MetaTemplate: "guanaco",
				rewards.MetaEOS:      eos, rewards.MetaMaxLength: fmt.Sprint(limit)}
		})
	}
	pair := `{"prompt":"Is it right?","response":"No, it is not."}`
	chat := runScore(t, pair, "-m", m.Model, "-a", reward("chat", "false", 512))
	rendered := runScore(t, pair, "-m", m.Model, "-a", reward("chat", "false", 512), "--template", "guanaco", "--head")
	require.Equal(t, rendered[0].IDs, chat[0].IDs)
	require.Equal(t, rendered[0].Head, chat[0].Head)
	closed := runScore(t, pair, "-m", m.Model, "-a", reward("chat", "true", 512))
	require.Equal(t, append(append([]int32{}, chat[0].IDs...), eos), closed[0].IDs,
		"EOS ends the answer as in training")
	raw := runScore(t, pair, "-m", m.Model, "-a", reward("chat", "true", 512), "--bos", "auto", "--head")
	require.NotEqual(t, chat[0].IDs, raw[0].IDs, "--bos asks for the texts as they are")

	text := `{"text":"Is it right? No, it is not."}`
	plain := runScore(t, text, "-m", m.Model, "-a", reward("plain", "true", 512))
	require.Equal(t, eos, plain[0].IDs[len(plain[0].IDs)-1])
	_, out, errs := command(t, text, "score", "-m", m.Model, "-a", reward("plain", "true", 6))
	require.Contains(t, errs, "1 rows longer than the reward model's limit")
	require.Len(t, lines[scored](t, out)[0].IDs, 6)
	_, _, errs = command(t, text, "score", "-m", m.Model, "-a", reward("chat", "false", 512))
	require.Contains(t, errs, `give "prompt" and "response"`)
}

func TestScoreOverlong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.gguf") // ids only: no vocabulary
	require.NoError(t, gguftest.WriteTinyLlama(path,
		gguftest.Shape{Layers: 1, Embd: 32, FF: 32, Heads: 2, KVHeads: 2, Vocab: 16, Ctx: 4}, 1, gguftest.Options{}))
	in := "{\"ids\":[1,2,3]}\n{\"ids\":[1,2,3,4,5,6]}\n{\"ids\":[7]}\n"
	for policy, want := range map[string][][]int32{
		"drop":          {{1, 2, 3}, {7}},
		"truncate":      {{1, 2, 3}, {1, 2, 3, 4}, {7}},
		"truncate_left": {{1, 2, 3}, {3, 4, 5, 6}, {7}},
	} {
		code, out, errs := command(t, in, "score", "-m", path, "--overlong", policy)
		require.Zero(t, code, errs)
		require.Contains(t, errs, "1 rows longer than the context")
		var got [][]int32
		for _, r := range lines[scored](t, out) {
			got = append(got, r.IDs)
		}
		require.Equal(t, want, got, policy)
	}
	code, out, errs := command(t, in, "score", "-m", path)
	require.Equal(t, 1, code)
	require.Empty(t, out, "nothing is computed before all of the input is known to be good")
	require.Contains(t, errs, "standard input: line 2: 6 tokens")
	one := runScore(t, `{"ids":[7]}`, "-m", path, "--logprobs", "--entropy")
	require.Equal(t, []float32{}, one[0].Logprobs, "a single token is predicted by nothing")
	require.Zero(t, *one[0].N)
	require.Nil(t, one[0].Perplexity)
}

func TestScoreFailures(t *testing.T) {
	m := demoModel(t)
	other, nan := tinyModel(t, gguftest.Options{}), tinyModel(t, gguftest.Options{NaN: true})
	vocab := fmt.Sprint(describe(t, m.Model).Vocab)
	ad := newAdapter(t, m.Model, nil)
	on := func(args ...string) []string { return append([]string{"score", "-m", m.Model}, args...) }
	for _, f := range []failure{
		{name: "no model", args: []string{"score", "--text", "a"}, code: 2, says: []string{"--model"}},
		{name: "a field of another kind", stdin: `{"text": 3}`, args: on(), code: 1,
			says: []string{`field "text": want text, got a number`}},
		{name: "ids of another kind", stdin: `{"ids": "a"}`, args: on(), code: 1,
			says: []string{`field "ids": want a list, got text`}},
		{name: "missing model", args: []string{"score", "-m", "nowhere.gguf", "--text", "a"}, code: 1,
			says: []string{"model nowhere.gguf: no such file"}},
		{name: "missing adapter", args: on("-a", "nowhere", "--text", "a"), code: 1,
			says: []string{"adapter nowhere: no such file"}},
		{name: "missing input", args: on("nowhere.jsonl"), code: 1, says: []string{"nowhere.jsonl"}},
		{name: "truncated model", args: []string{"score", "-m", cutShort(t, m.Model), "--text", "a"}, code: 1,
			says: []string{"cut.gguf", "cut short"}},
		{name: "NaN in the model", stdin: `{"ids":[1,2]}`, args: []string{"score", "-m", nan}, code: 1,
			says: []string{nan}},
		{name: "adapter of another base", args: []string{"score", "-m", other, "-a", ad, "--text", "a"}, code: 1,
			says: []string{ad, "does not fit"}},
		{name: "model as adapter", args: on("-a", m.Model, "--text", "a"), code: 1, says: []string{m.Model, "adapter"}},
		{name: "adapter as model", args: []string{"score", "-m", ad, "--text", "a"}, code: 1,
			says: []string{"this is an adapter"}},
		{name: "id out of range", stdin: "{\"ids\":[1]}\n{\"ids\":[1," + vocab + "]}\n", args: on(), code: 1,
			says: []string{"standard input: line 2", vocab}},
		{name: "negative id", stdin: `{"ids":[-1]}`, args: on(), code: 1, says: []string{"line 1", "ids[0]", "-1"}},
		{name: "id of a fraction", stdin: `{"ids":[1.5]}`, args: on(), code: 1,
			says: []string{"line 1", `"ids[0]"`, "whole number"}},
		{name: "no ids", stdin: `{"ids":[]}`, args: on(), code: 1, says: []string{"line 1", `"ids"`, "empty"}},
		{name: "mask", stdin: `{"ids":[1,2],"mask":[1]}`, args: on(), code: 1,
			says: []string{`"mask"`, "one for each"}},
		{name: "mask value", stdin: `{"ids":[1,2],"mask":[1,2]}`, args: on(), code: 1, says: []string{`"mask[1]"`}},
		{name: "not UTF-8", stdin: "{\"text\":\"ok\"}\n{\"text\":\"caf\xe9\"}\n", args: on(), code: 1,
			says: []string{"line 2", "UTF-8"}},
		{name: "not UTF-8 in --text", args: on("--text", "caf\xe9"), code: 1, says: []string{"--text 1", "UTF-8"}},
		{name: "plain text", stdin: "hello\n", args: on(), code: 1, says: []string{"line 1", "--lines"}},
		{name: "another key", stdin: `{"txt":"a"}`, args: on(), code: 1, says: []string{"line 1", `"text"`, `"txt"`}},
		{name: "two kinds", stdin: `{"text":"a","ids":[1]}`, args: on(), code: 1,
			says: []string{"line 1", `"ids", "text"`}},
		{name: "half a pair", stdin: `{"prompt":"a"}`, args: on(), code: 1, says: []string{"line 1", `"response"`}},
		{name: "wrong type", stdin: `{"text":7}`, args: on(), code: 1, says: []string{"line 1", `"text"`, "number"}},
		{name: "messages without template", stdin: `{"messages":[{"role":"user","content":"a"}]}`, args: on(), code: 1,
			says: []string{"--template"}},
		{name: "role", stdin: `{"messages":[{"role":"tool","content":"a"}]}`, args: on("--template", "guanaco"),
			code: 1, says: []string{"messages[0].role", "tool"}},
		{name: "empty input", stdin: "\n\n", args: on(), code: 1, says: []string{"no rows"}},
		{name: "empty text", stdin: `{"text":""}`, args: on("--bos", "off"), code: 1,
			says: []string{"line 1", "no token"}},
		{name: "no head", args: on("--head", "--text", "a"), code: 1, says: []string{"--head", "--adapter"}},
		{name: "no BOS in the vocabulary", stdin: `{"ids":[1]}`, args: []string{"score", "-m", other, "--bos", "on"},
			code: 1, says: []string{"--bos on"}},
		{name: "precision", args: on("--precision", "bf17", "--text", "a"), code: 2,
			says: []string{"--precision", `did you mean "bf16"?`}},
		{name: "bos", args: on("--bos", "offf", "--text", "a"), code: 2,
			says: []string{"--bos", `did you mean "off"?`}},
		{name: "template", args: on("--template", "chatlm", "--text", "a"), code: 2,
			says: []string{"--template", `did you mean "chatml"?`}},
		{name: "positions", args: on("--positions", "alll", "--text", "a"), code: 2,
			says: []string{"--positions", `did you mean "all"?`}},
		{name: "overlong", args: on("--overlong", "truncate-left", "--text", "a"), code: 2,
			says: []string{"--overlong", `did you mean "truncate_left"?`}},
		{name: "threads", args: on("--threads", "-1", "--text", "a"), code: 2, says: []string{"--threads"}},
		{name: "device", args: on("--device", "gpu", "--text", "a"), code: 2,
			says: []string{`--device: there is no device called "gpu": want cpu, cuda, cuda:N`}},
		{name: "batch", args: on("--batch-tokens", "0", "--text", "a"), code: 2, says: []string{"--batch-tokens"}},
		{name: "text and file", args: on("--text", "a", "x.jsonl"), code: 2, says: []string{"one of them"}},
		{name: "system without template", args: on("--system", "a", "--text", "a"), code: 2,
			says: []string{"--template"}},
		{name: "two files", args: on("a", "b"), code: 2, says: []string{"score --help"}},
		{name: "unknown flag", args: on("--log-probs", "--text", "a"), code: 2, says: []string{"--log-probs"}},
	} {
		f.run(t)
	}
	folder := t.TempDir()
	failure{name: "input is a folder", args: on(folder), code: 1, says: []string{"is a folder"}}.run(t)
	require.NoError(t,
		os.WriteFile(filepath.Join(folder, "x.jsonl.gz"), gzipped(t, []byte(`{"text":"a"}`))[:20], 0o666))
	failure{name: "packed file cut short", args: on(filepath.Join(folder, "x.jsonl.gz")), code: 1,
		says: []string{"x.jsonl.gz", "cut short"}}.run(t)
}
