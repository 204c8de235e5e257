package main

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/app/inspect"
	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/internal/filehash"
)

var tinyShape = gguftest.Shape{Layers: 2, Embd: 64, FF: 96, Heads: 4, KVHeads: 2, Vocab: 1500, Ctx: 2048}

func tinyModel(t testing.TB, opt gguftest.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	require.NoError(t, gguftest.WriteTinyLlama(path, tinyShape, 1, opt))
	return path
}

// tokensWith are the tokens of a model, one of them changed.
func tokensWith(t testing.TB, model string, id int, text string) []string {
	t.Helper()
	f, err := gguf.Open(model)
	require.NoError(t, err)
	defer f.Close()
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	require.NoError(t, err)
	tokens = slices.Clone(tokens)
	tokens[id] = text
	return tokens
}

func TestModelInspectForPeople(t *testing.T) {
	bpe := tinyModel(t, gguftest.Options{Untied: true, RopeFreqs: true, BPE: true})
	path := rewrite(t, bpe, map[string]any{
		"tokenizer.chat_template":     "{{x}}",
		"tokenizer.ggml.tokens":       tokensWith(t, bpe, gguftest.BPETurnEnd, "</s>\x1b"),
		"tokenizer.ggml.eos_token_id": uint32(gguftest.BPETurnEnd),
		"llama.rope.scaling.type":     "linear", "llama.rope.scaling.factor": float32(4),
	}, nil, nil)
	out := succeed(t, "", "model", "inspect", path)
	sum, err := filehash.Sum(path)
	require.NoError(t, err)
	for _, want := range []string{"architecture   llama\n", "sha256         " + sum + "\n", "layers         2\n",
		"width          64, feed-forward 96\n",
		"heads          4 of width 16, 2 for keys and values\n", "1,500 tokens, output matrix of its own",
		"2,048 tokens",
		"base 10000, scaling linear by 4, frequency factors (Llama 3)", "F32        22 tensors",
		"gpt2, pre-tokenizer smollm, adds no BOS",
		`256 <|endoftext|>, 258 </s>\x1b`, "chat template  yes\n", "trainable      yes, with steer's own kernels\n"} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "blk.0")
	require.Contains(t, succeed(t, "", "model", "inspect", "--tensors", path),
		"blk.1.ffn_down.weight        F32      [96 64]")
	for _, out := range []string{out, succeed(t, "", "model", "inspect", demoModel(t).Model)} {
		for _, l := range strings.Split(out, "\n") {
			require.LessOrEqual(t, utf8.RuneCountInString(l), 80, l)
		}
	}
}

// What the header says is what the engine has after loading.
func TestModelInspectJSON(t *testing.T) {
	m := demoModel(t)
	var d inspect.Model
	require.NoError(t, json.Unmarshal([]byte(succeed(t, "", "model", "inspect", "--json", "--tensors", m.Model)), &d))
	w, err := workspace.Open(m.Model, workspace.DefaultEngine())
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	info := w.Model.Info()
	s := info.Shape
	require.Equal(t, inspect.Shape{Layers: s.Layers, Embd: s.Embd, FF: s.FF, Heads: s.Heads, KVHeads: s.KVHeads,
		HeadDim: s.HeadDim},
		*d.Shape)
	require.True(t, d.Trainable)
	require.Equal(t, info.Tied, d.Tied)
	require.Equal(t, int64(info.Vocab), d.Vocab)
	require.Equal(t, int64(info.CtxTrain), d.Context)
	require.Equal(t, info.Params, d.Parameters)
	require.Equal(t, w.Tok.BOS(), int32(d.Tokenizer.BOS.ID))
	require.Equal(t, w.Tok.EOS(), int32(d.Tokenizer.EOS.ID))
	require.Len(t, d.Tensors, d.TensorCount)
	var params, bytes int64
	tensors := 0
	for _, u := range d.Types {
		params, tensors, bytes = params+u.Parameters, tensors+u.Tensors, bytes+u.Bytes
	}
	require.Equal(t, d.Parameters, params)
	require.Equal(t, d.TensorCount, tensors)
	require.Equal(t, info.Bytes, bytes)
}

// The verdict is the engine's: what is called trainable loads, what is not does not.
func TestModelInspectAgreesWithTheEngine(t *testing.T) {
	tiny := func(opt gguftest.Options) string { return tinyModel(t, opt) }
	base := tiny(gguftest.Options{})
	bpe := tiny(gguftest.Options{BPE: true})
	key := func(from, key string, v any) string { return rewrite(t, from, map[string]any{key: v}, nil, nil) }
	for _, c := range []struct {
		name, path, reason string
	}{
		{"plain", base, ""},
		{"untied, rope factors", tiny(gguftest.Options{Untied: true, RopeFreqs: true}), ""},
		{"linear rope", rewrite(t, base, map[string]any{"llama.rope.scaling.type": "linear",
			"llama.rope.scaling.factor": float32(2)}, nil, nil), ""},
		{"another architecture", tiny(gguftest.Options{Arch: "falcon"}), `architecture "falcon"`},
		{"yarn", rewrite(t, base, map[string]any{"llama.rope.scaling.type": "yarn",
			"llama.rope.scaling.factor": float32(2)}, nil, nil), ""},
		{"half a head turned", rewrite(t, base, map[string]any{"llama.rope.dimension_count": uint32(8)}, nil, nil),
			"llama.rope.dimension_count is 8, a head has 16"},
		{"experts", rewrite(t, base, map[string]any{"llama.expert_count": uint32(2),
			"llama.expert_used_count": uint32(1)}, nil, nil), "mixture of experts"},
		{"a weight missing", rewrite(t, base, nil, but("blk.1.ffn_up.weight"), nil), "blk.1.ffn_up.weight is missing"},
		{`tokenizer.ggml.model is ""`, rewrite(t, base, map[string]any{"tokenizer.ggml.model": ""}, nil, nil),
			`tokenizer.ggml.model is ""`},
		{"biases", rewrite(t, base, nil, nil, func(w *gguf.Writer) {
			w.AddF32("blk.0.ffn_down.bias", []int64{64},
				make([]float32, 64))
		}), `biases ("blk.0.ffn_down.bias")`},
		{"heads missing", rewrite(t, base, map[string]any{"llama.attention.head_count": uint32(0)}, nil, nil), "heads"},
		{"no context length", without(t, base, "llama.context_length"), "llama.context_length"},
		{"a context of -1", key(base, "llama.context_length", uint32(math.MaxUint32)),
			"llama.context_length is 4294967295: want 1 to 2147483647"},
		{"a context of another width", key(base, "llama.context_length", uint64(2048)), "context_length"},
		{"no epsilon", without(t, base, "llama.attention.layer_norm_rms_epsilon"),
			"llama.attention.layer_norm_rms_epsilon"},
		{"BPE", bpe, ""},
		{"a short vocabulary", key(bpe, "tokenizer.ggml.tokens", tokensWith(t, bpe, 0, "\u0100")[:1499]),
			"has 1499 tokens"},
		{"a doubled token", key(bpe, "tokenizer.ggml.tokens", tokensWith(t, bpe, 300, "unused301")),
			`tokens 300 and 301 are both "unused301"`},
		{"a doubled nameless token", key(bpe, "tokenizer.ggml.tokens", func() []string {
			tokens := tokensWith(t, bpe, 300, "")
			tokens[301] = "[EMPTY_300]"
			return tokens
		}()), `tokens 300 and 301 are both "[EMPTY_300]"`},
		{"no merges", without(t, bpe, "tokenizer.ggml.merges"), "tokenizer.ggml.merges"},
		{"merges that are numbers", key(bpe, "tokenizer.ggml.merges", []int32{1, 2}), "tokenizer.ggml.merges"},
		{"scores that are whole numbers", key(bpe, "tokenizer.ggml.scores", make([]int32, 1500)),
			"tokenizer.ggml.scores"},
		{"an EOS outside the vocabulary", key(bpe, "tokenizer.ggml.eos_token_id", uint32(1500)),
			"tokenizer.ggml.eos_token_id is 1500, the vocabulary has 1500 tokens"},
		{"a BOS of -1", key(bpe, "tokenizer.ggml.bos_token_id", uint32(math.MaxUint32)),
			"tokenizer.ggml.bos_token_id is 4294967295"},
		{"no EOS", without(t, bpe, "tokenizer.ggml.eos_token_id"), ""},
		{"no pre-tokenizer", without(t, bpe, "tokenizer.ggml.pre"), ""},
		{"a NaN", tiny(gguftest.Options{NaN: true}), "blk.0.ffn_up.weight holds NaN"},
		{"integers", rewrite(t, base, nil, but("blk.1.ffn_up.weight"),
			func(w *gguf.Writer) {
				w.AddRaw("blk.1.ffn_up.weight", gguf.TypeI32, []int64{64, 96}, make([]byte, 4*64*96))
			}), "stored as I32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := inspect.DescribeModel(c.path, nil)
			require.NoError(t, err)
			require.Equal(t, c.reason == "", d.Trainable, d.Reasons)
			require.Contains(t, strings.Join(d.Reasons, "; "), c.reason)

			err = evaluates(t, c.path)
			require.Equal(t, d.Trainable, err == nil, "the engine says: %v", err)
			if err != nil {
				require.ErrorContains(t, err, c.reason, "both for the same reason")
			}
			if d.Shape != nil {
				require.Positive(t, d.Shape.HeadDim)
			}
		})
	}
}

// but keeps all tensors but one.
func but(name string) func(gguf.TensorInfo) bool {
	return func(x gguf.TensorInfo) bool { return x.Name != name }
}

// without copies a model but for a key.
func without(t testing.TB, from, key string) string {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	w := gguf.NewWriter()
	for _, k := range f.Keys() {
		if k != key {
			w.SetValue(k, f.Value(k))
		}
	}
	for _, x := range f.Tensors() {
		raw, err := f.TensorData(x.Name)
		require.NoError(t, err)
		w.AddRaw(x.Name, x.Type, x.Dims, raw)
	}
	out := filepath.Join(t.TempDir(), "without.gguf")
	require.NoError(t, w.Save(out))
	return out
}

// What a download left in place of a model, and a part of one, are named, with what to do.
func TestWhatIsNoWholeModelIsNamed(t *testing.T) {
	tiny := tinyModel(t, gguftest.Options{})
	pointer := writeFile(t, "lfs.gguf",
		"version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("0a", 32)+"\nsize 94000000\n")
	page := writeFile(t, "page.gguf", "<!doctype html>\n<html><head><title>model.gguf</title>")
	part := rewrite(t, tiny,
		map[string]any{"split.count": uint16(3), "split.no": uint16(0), "split.tensors.count": int32(60)}, nil, nil)
	later := without(t, rewrite(t, tiny, map[string]any{"split.count": uint16(3), "split.no": uint16(1)}, nil, nil),
		"general.architecture")
	for _, c := range []struct{ path, says string }{
		{pointer, "git lfs pull"}, {page, "this is a web page"},
		{part, "part 1 of a model that is split into 3 files"}, {later, "part 2 of a model that is split into 3 files"},
		{part, `its name must end in "-00001-of-00003.gguf"`},
	} {
		for _, args := range [][]string{
			{"model", "inspect", c.path}, {"generate", "-m", c.path, "-p", "x"}, {"score", "-m", c.path, "--text", "x"},
			{"adapter", "import", t.TempDir(), "-m", c.path, "-o", filepath.Join(t.TempDir(), "a.gguf")},
		} {
			failure{name: strings.Join(args[:2], " "), args: args, code: 1, says: []string{c.path, c.says}}.run(t)
		}
	}
}

// A template is refused if any of its marks is no token of the model, not the last one alone.
func TestTemplateWhoseMarksAreMissing(t *testing.T) {
	bpe := tinyModel(t, gguftest.Options{BPE: true})
	for id, mark := range map[int]string{gguftest.BPETurn: "<|im_start|>", gguftest.BPETurnEnd: "<|im_end|>"} {
		path := rewrite(t, bpe, map[string]any{"tokenizer.ggml.tokens": tokensWith(t, bpe, id, "<other>")}, nil, nil)
		failure{name: mark, args: []string{"generate", "-m", path, "-p", "x", "--template", "chatml"}, code: 1,
			says: []string{"template chatml divides turns by " + mark}}.run(t)
	}
	succeed(t, "", "generate", "-m", bpe, "-p", "x", "--template", "chatml", "--max-new", "1")
}

// What a model's file lacks is said by whoever uses the model.
func TestWhatAModelLacksIsSaid(t *testing.T) {
	bpe := tinyModel(t, gguftest.Options{BPE: true})
	rows := writeFile(t, "rows.jsonl",
		`{"messages":[{"role":"user","content":"f(x)"},{"role":"assistant","content":"(a) (b) )"}]}`+"\n")
	for _, c := range []struct{ path, says string }{
		{without(t, bpe, "tokenizer.ggml.eos_token_id"), "names no EOS token"},
		{without(t, bpe, "tokenizer.ggml.bos_token_id"), "names no BOS token"},
		{without(t, bpe, "tokenizer.ggml.pre"), "tokenizer.ggml.pre is missing"},
		{rewrite(t, bpe, map[string]any{"tokenizer.ggml.pre": "spiral"}, nil, nil),
			`"spiral", which this llama.cpp does not know`},
	} {
		out := strings.Join(strings.Fields(succeed(t, "", "model", "inspect", c.path)), " ")
		require.Contains(t, out, c.says)
		require.Contains(t, out, "trainable yes")
		for _, args := range [][]string{
			{"generate", "-m", c.path, "-p", "x", "--template", "plain", "--max-new", "2"},
			{"score", "-m", c.path, "--text", "x"},
			{"sft", "--model", c.path, "--train", rows, "--template", "plain", "--max-steps", "1", "--set", "pack=none",
				"--set", "optim.warmup_steps=0",
				"-o", filepath.Join(t.TempDir(), "sft")},
		} {
			code, _, errs := command(t, "", args...)
			require.Zero(t, code, errs)
			require.Contains(t, errs, c.says)
		}
	}
}

// evaluates loads a model and sends three tokens through it.
func evaluates(t *testing.T, path string) error {
	dev, err := ggml.OpenDevice(ggml.DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, dev.Close()) }()
	m, err := ggml.LoadModel(dev, path, ggml.ModelOptions{})
	if err != nil {
		return err
	}
	defer func() { require.NoError(t, m.Close()) }()
	s, err := m.NewStep(ggml.StepOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, err = s.Forward(context.Background(), []lm.Sequence{{Tokens: []int32{1, 2, 3}, Targets: []int32{1, 2}}},
		lm.Options{})
	return err
}

func TestModelInspectShowsNoControlCharacters(t *testing.T) {
	m := demoModel(t)
	evil := rewrite(t, m.Model, map[string]any{"general.name": "a\x1b[2Jb\n" + strings.Repeat("x", 500)}, nil, nil)
	out := succeed(t, "", "model", "inspect", evil)
	require.NotContains(t, out, "\x1b")
	require.Contains(t, out, `a\x1b[2Jb\n`)
	require.Contains(t, out, "xxx...")
}

func TestModelFailures(t *testing.T) {
	m := demoModel(t)
	ad := newAdapter(t, m.Model, nil)
	for _, f := range []failure{
		{name: "missing", args: []string{"model", "inspect", "nowhere.gguf"}, code: 1,
			says: []string{"nowhere.gguf", "no such file"}},
		{name: "cut short", args: []string{"model", "inspect", cutShort(t, m.Model)}, code: 1,
			says: []string{"cut.gguf", "cut short"}},
		{name: "no GGUF", args: []string{"model", "inspect", writeFile(t, "a.txt", "hello, this is a text file")},
			code: 1, says: []string{"a.txt", "GGUF"}},
		{name: "folder", args: []string{"model", "inspect", t.TempDir()}, code: 1, says: []string{"is a folder"}},
		{name: "an adapter", args: []string{"model", "inspect", ad}, code: 1, says: []string{"steer adapter inspect"}},
		{name: "no file", args: []string{"model", "inspect"}, code: 2, says: []string{"model inspect --help"}},
		{name: "wrong flag", args: []string{"model", "inspect", "--jason", m.Model}, code: 2,
			says: []string{"--jason"}},
		{name: "wrong command", args: []string{"model", "inspekt", m.Model}, code: 2,
			says: []string{`"inspekt"`, "did you mean inspect?"}},
	} {
		f.run(t)
	}
	code, out, _ := command(t, "", "model")
	require.Zero(t, code)
	require.Contains(t, out, "inspect")
}
