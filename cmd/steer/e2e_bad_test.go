package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/rl/run"
)

// bad is a command line that must fail with an exit code and a message, and leave no
// run folder behind that looks as if something had been trained.
type bad struct {
	name string
	args []string
	code int
	says []string
}

func (b bad) run(t *testing.T, dir string) {
	t.Run(b.name, func(t *testing.T) {
		code, out, said := steerIn(t, dir, b.args...)
		require.Equal(t, b.code, code, "%v\n%s", b.args, said)
		require.Empty(t, out)
		require.True(t, strings.HasPrefix(lastParagraph(said), "steer: "), said)
		for _, s := range b.says {
			require.Contains(t, said, s)
		}
		require.NoFileExists(t, filepath.Join(dir, "out", run.ResultFile))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "out")))
	})
}

// lastParagraph is what a program said from its own name on.
func lastParagraph(said string) string {
	if i := strings.LastIndex(said, "\nsteer: "); i >= 0 {
		return said[i+1:]
	}
	return said
}

// job gives the arguments of a trainer's job in dir with more behind them.
func job(kind string, more ...string) []string {
	return append([]string{kind, kind + ".yaml", "-o", "out"}, more...)
}

// jobs writes the jobs of all trainers into a new folder.
func jobFolder(t testing.TB) (dir string) {
	t.Helper()
	up := unbrokenRuns(t)
	dir = t.TempDir()
	for _, j := range trainerJobs {
		j.write(t, dir, up)
	}
	return dir
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	put(t, dir, "twice.yaml", "seed: 1\nseed: 2\n")
	put(t, dir, "key.yaml", strings.Replace(string(get(t, dir, "sft.yaml")), "max_tokens", "max_token", 1))
	put(t, dir, "enum.yaml", strings.Replace(string(get(t, dir, "sft.yaml")), "pack: none", "pack: isolatd", 1))
	for _, b := range []bad{
		{"unknown command", []string{"sftt"}, exitUsage, []string{`unknown command "sftt"`, "sft"}},
		{"unknown flag", job("sft", "--lerning-rate", "1"), exitUsage,
			[]string{"unknown flag: --lerning-rate", `See "steer sft --help"`}},
		{"flag without its value", []string{"sft", "--model"}, exitUsage, []string{"--model"}},
		{"too many arguments", []string{"ppo", "a.yaml", "b.yaml"}, exitUsage, []string{`See "steer ppo --help"`}},
		{"unknown key", []string{"sft", "key.yaml"}, exitUsage,
			[]string{"key.yaml:10: max_token: unknown key", `did you mean "max_tokens"?`}},
		{"unknown key on the command line", job("ppo", "--set", "kl_cof=1"), exitUsage,
			[]string{"kl_cof: unknown key", `did you mean "kl_coef"?`}},
		{"key given twice", []string{"sft", "twice.yaml"}, exitUsage,
			[]string{"twice.yaml:2: seed: key given twice, first on line 1"}},
		{"unknown value in a file", []string{"sft", "enum.yaml"}, exitUsage,
			[]string{`enum.yaml:9: pack: want one of auto, none, isolated, run_on, got "isolatd": ` +
				`did you mean "isolated"?`}},
		{"unknown value of a flag", job("reward", "--theory", "virtues"), exitUsage,
			[]string{"theory: want one of deontology", `did you mean "virtue"?`}},
		{"unknown precision", job("sft", "--precision", "f16"), exitUsage,
			[]string{"engine.precision: want one of bf16, f32"}},
		{"unknown preset", job("sft", "--preset", "theses"), exitUsage, []string{"theses", "default", "thesis"}},
		{"no number", job("sft", "--max-steps", "ten"), exitUsage,
			[]string{`max_steps: want a whole number, got "ten"`}},
		{"number out of range", job("sft", "--set", "optim.lr=-1"), exitUsage,
			[]string{"optim.lr: want more than 0, got -1"}},
		{"threads", job("sft", "--threads", "-1"), exitUsage,
			[]string{"engine.threads: want 0 (all CPUs) to 512, got -1"}},
		{"batch sizes of sft", job("sft", "--set", "mini_batch_size=4", "--set", "micro_batch_size=3"), exitUsage,
			[]string{"mini_batch_size 4 does not divide by micro_batch_size 3: choose one of [1 2 4]"}},
		{"batch sizes of reward", job("reward", "--set", "mini_batch_size=4", "--set", "micro_batch_size=3", "--set",
			"micro_batch_tokens=0"), exitUsage, []string{"mini_batch_size 4 does not divide by micro_batch_size 3"}},
		{"batch sizes of ppo", job("ppo", "--set", "mini_batch_size=3"), exitUsage,
			[]string{"rollout_batch_size 4 does not divide by mini_batch_size 3",
				"mini_batch_size 3 does not divide by micro_batch_size 2"}},
		{"a loss without its constant", job("dpo", "--loss", "exo_pair"), exitUsage,
			[]string{"label_smoothing: exo_pair wants more than 0"}},
		{"a constant that the loss does not read", job("dpo", "--loss", "hinge", "--set", "label_smoothing=0.1"),
			exitUsage, []string{"label_smoothing: loss hinge does not read it, only [sigmoid "}},
		{"another stage's preset", job("dpo", "--preset", "thesis"), exitUsage,
			[]string{`dpo: preset "thesis": want one of [default trl-dpo]`}},
		{"statements for a loss of pairs", job("dpo", "--loss", "ipo", "--theory", "toxicity"), exitUsage,
			[]string{"theory toxicity has single statements with a label", "set loss to kto"}},
		{"nothing given", []string{"sft"}, exitUsage, []string{"sft: model: want the path of a GGUF file"}},
		{"no job file", []string{"sft", "nowhere.yaml"}, exitFailure, []string{"nowhere.yaml: no such file"}},
		{"no model", job("sft", "--model", "nowhere.gguf"), exitFailure,
			[]string{"model: ", "nowhere.gguf: no such file"}},
		{"no data", job("sft", "--train", "nowhere.jsonl"), exitFailure,
			[]string{"train: ", "nowhere.jsonl: file does not exist (also looked for", "nowhere.jsonl.gz"}},
		{"no adapter", job("reward", "--sft", "nowhere.gguf"), exitFailure,
			[]string{"sft.0: ", "nowhere.gguf: no such file"}},
		{"two adapters below a policy", job("ppo", "--sft", "a.gguf", "--sft", "b.gguf"), exitUsage,
			[]string{"sft: want at most one adapter"}},
		{"no folder to report", []string{"report", "nowhere"}, exitFailure, []string{"nowhere: no such file"}},
		{"unknown form of report", []string{"report", ".", "--format", "pdf"}, exitUsage,
			[]string{`--format "pdf": want one of [html json md csv text]`}},
		{"one run to compare", []string{"report", "--compare", "."}, exitUsage,
			[]string{"--compare: want two runs, got 1"}},
		{"nothing to compare with", []string{"report", "--compare", ".", "nowhere"}, exitFailure,
			[]string{"nowhere: no such file"}},
		{"folder is a file", append(job("sft")[:2], "-o", "sft.yaml"), exitFailure,
			[]string{"run folder sft.yaml: cannot be made", "not a directory"}},
	} {
		b.run(t, dir)
	}
}

// patched copies the demo's model with some bytes changed.
func patched(t testing.TB, dir, name string, change func(f *gguf.File, raw []byte)) string {
	t.Helper()
	_, assets := e2e(t)
	raw := get(t, assets.Model)
	f, err := gguf.Open(assets.Model)
	require.NoError(t, err)
	defer f.Close()
	change(f, raw)
	return put(t, dir, name, string(raw))
}

// tensor finds a tensor of a model.
func tensor(t testing.TB, f *gguf.File, name string) gguf.TensorInfo {
	t.Helper()
	i, ok := f.Tensor(name)
	require.True(t, ok, name)
	return i
}

func TestBadModelsAndAdapters(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	up := unbrokenRuns(t)
	_, assets := e2e(t)
	whole := string(get(t, assets.Model))
	put(t, dir, "cut.gguf", whole[:len(whole)/2])
	put(t, dir, "head.gguf", whole[:100])
	put(t, dir, "empty.gguf", "")
	put(t, dir, "noise.gguf", strings.Repeat("steer", 1000))
	trained := get(t, up, "sft/adapter.gguf")
	put(t, dir, "cut-adapter.gguf", string(trained[:20000]))
	put(t, dir, "nan-adapter.gguf",
		string(trained[:len(trained)-8])+"\x00\x00\xc0\x7f"+string(trained[len(trained)-4:]))
	small := gguftest.Shape{Layers: 1, Embd: 16, FF: 32, Heads: 2, KVHeads: 1, Vocab: 300, Ctx: 64}
	require.NoError(t, gguftest.WriteTinyLlama(filepath.Join(dir, "qwen.gguf"), small, 1,
		gguftest.Options{Arch: "bert"}))
	require.NoError(t, gguftest.WriteTinyLlama(filepath.Join(dir, "small.gguf"), small, 1, gguftest.Options{}))
	put(t, dir, "rows.jsonl", `{"ids": [1, 5, 9, 4]}`+"\n")
	patched(t, dir, "nan-norm.gguf", func(f *gguf.File, raw []byte) { // F32
		i := tensor(t, f, "blk.1.attn_norm.weight")
		for k, b := range []byte{0, 0, 0xc0, 0x7f} {
			raw[i.Offset+8+int64(k)] = b
		}
	})
	patched(t, dir, "nan-quantized.gguf", func(f *gguf.File, raw []byte) { // the scale of a Q8_0 block is an F16
		i := tensor(t, f, "blk.0.ffn_up.weight")
		raw[i.Offset], raw[i.Offset+1] = 0, 0x7e
	})
	require.NoError(t, os.Symlink(filepath.Join(up, "sft/adapter.gguf"), filepath.Join(dir, "sft-adapter.gguf")))
	on := func(kind, model string, more ...string) []string {
		return job(kind, append([]string{"--model", model}, more...)...)
	}
	for _, b := range []bad{
		{"cut short", on("sft", "cut.gguf"), exitFailure,
			[]string{"cut.gguf", "bytes are missing, from tensor", "cut short"}},
		{"cut in its header", on("sft", "head.gguf"), exitFailure, []string{"head.gguf", "not a usable GGUF file"}},
		{"empty", on("sft", "empty.gguf"), exitFailure, []string{"empty.gguf", "cut short"}},
		{"something else", on("sft", "noise.gguf"), exitFailure, []string{"noise.gguf", `want "GGUF"`}},
		{"a folder", on("sft", "."), exitFailure, []string{"is a folder: want a GGUF file"}},
		{"an adapter", on("sft", "sft-adapter.gguf"), exitFailure, []string{"this is an adapter, not a model"}},
		{"another architecture", on("sft", "qwen.gguf"), exitFailure, []string{`qwen.gguf`, `"bert"`, "llama"}},
		{"NaN in a norm", on("sft", "nan-norm.gguf"), exitFailure,
			[]string{"nan-norm.gguf", "blk.1.attn_norm.weight", "holds NaN"}},
		{"NaN in a quantized matrix", on("sft", "nan-quantized.gguf"), exitFailure,
			[]string{"nan-quantized.gguf", "blk.0.ffn_up.weight", "holds NaN"}},
		{"adapter cut short", job("sft", "--init-adapter", "cut-adapter.gguf"), exitFailure,
			[]string{"cut-adapter.gguf", "cut short"}},
		{"adapter with NaN", job("reward", "--sft", "nan-adapter.gguf"), exitFailure,
			[]string{"nan-adapter.gguf", "is NaN: the adapter is damaged or its training diverged"}},
		{"a model as adapter", job("sft", "--init-adapter", assets.Model), exitFailure,
			[]string{"model.gguf", `want "adapter", got "model"`}},
		{"a missing PEFT file", job("sft", "--init-adapter", "."), exitFailure, []string{"adapter_config.json"}},
		{"adapter of a base of another shape", on("sft", "small.gguf", "--init-adapter", "sft-adapter.gguf", "--train",
			"rows.jsonl", "--set", "train.limit=0", "--eval", ""), exitFailure,
			[]string{"sft-adapter.gguf", "blk.0.attn_k.weight", "base"}},
		{"reward model without a head", job("ppo", "--reward", "sft-adapter.gguf"), exitFailure,
			[]string{"sft-adapter.gguf", "no scalar head", "steer reward"}},
		{"rank beyond the model", job("sft", "--set", "lora.rank=100000"), exitFailure,
			[]string{"rank 100000: want 1 to "}},
	} {
		b.run(t, dir)
	}

	// Another base of the same shape: it fits, and may be meant (another quantization of
	// the same weights), so it is said and not refused.
	patched(t, dir, "other.gguf",
		func(f *gguf.File, raw []byte) { raw[tensor(t, f, "blk.0.ffn_up.weight").Offset+5] ^= 1 })
	_, said := mustSteer(t, dir, on("reward", "other.gguf", "--set", "max_steps=1")...)
	require.Contains(t, said, "warning: adapter "+filepath.Join(up, "sft/adapter.gguf")+" was trained on another base")
	_, said = mustSteer(t, dir, on("reward", assets.Model, "--set", "max_steps=1", "--fresh")...)
	require.NotContains(t, said, "another base")
	for _, args := range [][]string{{"score", "--text", "Yes."}, {"generate", "--prompt", "Yes.", "--max-new", "2"}} {
		_, said = mustSteer(t, dir, append(args, "-m", "other.gguf", "-a", filepath.Join(up, "sft/adapter.gguf"))...)
		require.Contains(t, said, "was trained on another base", args[0])
		_, said = mustSteer(t, dir, append(args, "-m", assets.Model, "-a", filepath.Join(up, "sft/adapter.gguf"))...)
		require.NotContains(t, said, "another base", args[0])
	}
}

func TestBadData(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	file := func(name, content string) string { put(t, dir, name, content); return name }
	good := `{"text": "### Human: May I?### Assistant: You may."}` + "\n"
	_, assets := e2e(t)
	file("eval.yaml", "model: "+assets.Model+"\n")
	file("twice.yaml", "model: "+assets.Model+"\nsubjects: [{name: sft}, {name: sft}]\n")
	rows := func(n int) string {
		return "label,scenario,excuse\n1,I promised to come.,So I came.\n" +
			strings.Repeat("0,I promised to come.,So I slept.\n", n)
	}
	for _, b := range []bad{
		{"JSON cut short", job("sft", "--train", file("cut.jsonl", good+`{"text": "a`)), exitFailure,
			[]string{"cut.jsonl: line 2:", "mend or delete this row"}},
		{"field of another type", job("sft", "--train", file("type.jsonl", good+`{"text": 3}`+"\n")), exitFailure,
			[]string{`type.jsonl: line 2: field "text"`, "want text, got a number"}},
		{"field missing", job("sft", "--train", file("field.jsonl", good+`{"txt": "a"}`+"\n")), exitFailure,
			[]string{"field.jsonl: line 2:", `"text"`}},
		{"not UTF-8", job("sft", "--train", file("latin.jsonl", good+"{\"text\": \"### Human: a### Assistant: "+
			"caf\xe9\"}\n")), exitFailure, []string{"latin.jsonl: line 2: not UTF-8", "0xe9"}},
		{"empty JSONL", job("sft", "--train", file("empty.jsonl", "")), exitFailure,
			[]string{"empty.jsonl: no rows: the file is empty"}},
		{"empty held-out data", job("sft", "--eval", "empty.jsonl"), exitFailure,
			[]string{"held-out", "empty.jsonl: no rows: the file is empty"}},
		{"a binary file", job("sft", "--train", file("noise.jsonl", strings.Repeat("\x00\x01\x02\xff", 50))),
			exitFailure, []string{"noise.jsonl"}},
		{"a damaged gzip file", job("sft", "--train", file("bad.jsonl.gz", "\x1f\x8b\x08\x00nonsense")), exitFailure,
			[]string{"bad.jsonl.gz"}},
		{"token id beyond the vocabulary", job("sft", "--train",
			file("ids.jsonl", `{"ids": [1, 2, 3]}`+"\n"+`{"ids": [1, 99999]}`+"\n")), exitFailure,
			[]string{"ids.jsonl: line 2:", "token 1 is 99999", "out of range"}},
		{"token id below zero", job("sft", "--train", file("neg.jsonl", `{"ids": [1, -2, 3]}`+"\n")), exitFailure,
			[]string{`neg.jsonl: line 1: field "ids[1]"`, "want a token id, got -2"}},
		{"label", job("reward", "--train", file("label.csv", rows(2)+"2,a,b\n")), exitFailure,
			[]string{`label.csv: line 5: field "label"`, `want 0 or 1, got "2"`}},
		{"columns", job("reward", "--train", file("columns.csv", rows(2)+"0,a\n")), exitFailure,
			[]string{"columns.csv: line 5:", "want 3 columns, got 2"}},
		{"open quote", job("reward", "--train", file("quote.csv", rows(2)+"0,a,\"b\n")), exitFailure,
			[]string{"quote.csv: line 5:", "want a closing quote"}},
		{"CSV not UTF-8", job("reward", "--train", file("latin.csv", rows(2)+"0,a,caf\xe9\n")), exitFailure,
			[]string{"latin.csv: line 5: not UTF-8"}},
		{"empty CSV", job("reward", "--train", file("empty.csv", "")), exitFailure,
			[]string{"empty.csv: no rows: the file is empty"}},
		{"header only", job("reward", "--held-out", file("header.csv", "label,scenario,excuse\n")), exitFailure,
			[]string{"header.csv: no rows"}},
		{"no pair", job("reward", "--train", file("same.csv", rows(0))), exitFailure,
			[]string{"same.csv: no rows: 1 rows gave no pair"}},
		{"data of another theory", job("reward", "--theory", "virtue"), exitFailure,
			[]string{"deontology_train.csv: another format", "ethics-virtue"}},
		{"benchmark in another format", job("eval", "--toxigen", file("toxigen.csv", "a,b\n1,2\n")), exitFailure,
			[]string{"toxigen.csv: line 1:", "another format"}},
		{"benchmark that is no XML", job("eval", "--wsc273", file("wsc.xml", "<x>")), exitFailure,
			[]string{"wsc.xml: line 1: another format", "<collection>"}},
		{"subject given twice", []string{"eval", "twice.yaml", "-o", "out"}, exitUsage,
			[]string{`name "sft" is empty, taken or "base"`}},
		{"empty prompts", job("ppo", "--prompts", "empty.jsonl"), exitFailure,
			[]string{"ppo: prompts", "empty.jsonl: no rows"}},
		{"prompts all too long", job("ppo", "--set", "max_prompt_tokens=3"), exitFailure,
			[]string{"none of 10 prompts has at most 3 tokens; the shortest has 15: raise max_prompt_tokens"}},
	} {
		b.run(t, dir)
	}
}

// Sequences longer than the context are dropped, cut or refused, as asked, and counted.
func TestSequencesBeyondTheContext(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	long := strings.Repeat("I promise. ", 600)
	put(t, dir, "long.jsonl", fmt.Sprintf("{\"text\": \"### Human: May I?### Assistant: %s\"}\n{\"text\": \"### "+
		"Human: May I?### Assistant: You may.\"}\n", long))
	put(t, dir, "ids.jsonl", `{"ids": [1`+strings.Repeat(", 7", 700)+"]}\n"+`{"ids": [1, 7, 7, 7]}`+"\n")
	put(t, dir, "ask.jsonl", fmt.Sprintf("{\"text\": \"### Human: %s### Assistant: No.\"}\n{\"text\": \"### Human: "+
		"May I?### Assistant: You may.\"}\n", long))
	put(t, dir, "pairs.csv", "label,scenario,excuse\n"+
		"1,I promised to come.,So I came.\n0,I promised to come.,"+long+"\n"+
		"1,I said yes.,So I went.\n0,I said yes.,So I slept.\n")
	bound := []string{"--set", "max_tokens=100000", "--max-steps", "1", "--set", "mini_batch_size=1"}
	sft := func(more ...string) []string { return job("sft", append(append(bound, "--fresh"), more...)...) }
	warned := "warning: max_tokens 100000 is more than the model's context of 512 tokens holds"

	for _, pack := range []string{"none", "isolated", "run_on"} {
		_, said := mustSteer(t, dir, sft("--train", "long.jsonl", "--set", "pack="+pack)...)
		require.Contains(t, said, warned, pack)
		if pack != "run_on" { // which cuts the stream of examples, not examples
			require.Contains(t, said, "2 of 2 examples kept", pack)
			require.Contains(t, said, "1 too long and truncated", pack)
		}
	}
	_, said := mustSteer(t, dir, sft("--train", "ids.jsonl")...)
	require.Contains(t, said, "1 too long and truncated")
	_, said = mustSteer(t, dir, sft("--train", "long.jsonl", "--set", "overlong=drop")...)
	require.Contains(t, said, "1 of 2 examples kept")
	require.Contains(t, said, "1 too long and dropped")
	_, said = mustSteer(t, dir, job("reward", "--train", "pairs.csv", "--set", "max_length=100000", "--set",
		"overlong=drop", "--max-steps", "1", "--fresh")...)
	require.Contains(t, said, "warning: max_length 100000 is more than the model's context of 512 tokens holds")
	require.Contains(t, said, "1 of 2 pairs kept")
	_, said = mustSteer(t, dir,
		job("reward", "--train", "pairs.csv", "--set", "max_length=100000", "--max-steps", "1", "--fresh")...)
	require.Contains(t, said, "2 of 2 pairs kept")
	require.Contains(t, said, "1 too long and cut from the left")
	_, said = mustSteer(t, dir,
		job("ppo", "--prompts", "ask.jsonl", "--set", "max_prompt_tokens=100000", "--iterations", "1", "--fresh")...)
	require.Contains(t, said, "warning: max_prompt_tokens 100000 is more than the model's context of 512 tokens holds")
	require.Contains(t, said, "prompts: 1 prompts, 1 of more than 506 tokens left out")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "out")))

	for _, b := range []bad{
		{"sft refuses", sft("--train", "long.jsonl", "--set", "overlong=error"), exitFailure,
			[]string{"longer than max_tokens", "set overlong to drop or truncate"}},
		{"reward refuses", job("reward", "--train", "pairs.csv", "--set", "max_length=64", "--set", "overlong=error"),
			exitFailure, []string{"pairs.csv: line ", "max_length is 64", "set overlong to drop or truncate_left"}},
		{"nothing is left", sft("--train", "long.jsonl", "--set", "max_tokens=4", "--set", "overlong=drop"),
			exitFailure, []string{"no example to train on: 0 of 2 examples kept", "2 too long and dropped"}},
		{"no room for a prompt", job("ppo", "--set", "max_new_tokens=512"), exitFailure,
			[]string{"max_new_tokens 512 leaves no room for a prompt in the model's context of 512 tokens"}},
	} {
		b.run(t, dir)
	}
}

// Training that diverges ends with the step at which it did, not with an adapter of NaN.
func TestDivergenceIsReported(t *testing.T) {
	t.Parallel()
	dir := jobFolder(t)
	for kind, more := range map[string][]string{
		"sft":    {"--set", "optim.lr=1e30", "--set", "optim.max_grad_norm=0"},
		"reward": {"--set", "optim.lr=1e30", "--set", "optim.max_grad_norm=0"},
		"ppo": {"--set", "optim.lr=1e30", "--set", "optim.max_grad_norm=0", "--set", "ratio_threshold=0", "--set",
			"early_stop=false"},
	} {
		code, _, said := steerIn(t, dir, append([]string{kind, kind + ".yaml", "-o", kind}, more...)...)
		if kind == "ppo" && code == 0 { // a guard may end it first, which is a result with a reason
			require.Equal(t, "stopped", readJSON(t, dir, kind, run.ResultFile)["status"], said)
			continue
		}
		require.Equal(t, exitFailure, code, "%s: %s", kind, said)
		require.Regexp(t, `(NaN|Inf|finite)`, said, kind)
		require.Regexp(t, `step \d+`, said, kind)
		require.NoFileExists(t, filepath.Join(dir, kind, run.ResultFile))
		require.NoFileExists(t, filepath.Join(dir, kind, run.AdapterFile))
		for _, r := range timeless(t, filepath.Join(dir, kind)) {
			require.False(t, math.IsNaN(r.Values["loss"]))
		}
	}
}
