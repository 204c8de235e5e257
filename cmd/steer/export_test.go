package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
)

// onTop writes a policy that was trained on another adapter of a model.
func onTop(t testing.TB, model, below string) string {
	t.Helper()
	lower, err := adapter.Load(below)
	require.NoError(t, err)
	return newAdapter(t, model, func(a *adapter.Adapter) {
		for i := range a.Pairs {
			a.Pairs[i].B[0]++
		}
		a.Head = adapter.NewValueHead(shapeFor(t, model).Embd, 1)
		a.Meta = map[string]string{adapter.MetaRole: "policy", adapter.MetaTrainedOn: lower.ContentSHA256(),
			adapter.MetaTemplate: "hh"}
	})
}

func TestAdapterCombineCommand(t *testing.T) {
	m := demoModel(t)
	sft := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Meta = map[string]string{adapter.MetaRole: "sft", adapter.MetaTrainedOn: "", adapter.MetaBase: "b"}
	})
	policy := onTop(t, m.Model, sft)
	out := filepath.Join(t.TempDir(), "one.gguf")
	code, said, errs := command(t, "", "adapter", "combine", sft, policy, "-o", out)
	require.Zero(t, code, errs)
	require.Contains(t, said, "2 adapters")
	require.Contains(t, said, "of rank 4")
	require.Contains(t, errs, "value head of "+policy+" is kept")
	one, err := adapter.Load(out)
	require.NoError(t, err)
	require.Equal(t, adapter.RolePolicy, one.Role())
	require.Equal(t, "b", one.Meta[adapter.MetaBase])
	require.Len(t, strings.Fields(one.Meta[adapter.MetaCombinedFiles]), 2)
	// It generates what the stack does.
	ask := func(stack ...string) string {
		args := []string{"generate", "-m", m.Model, "--temperature", "0", "--max-new", "12", "-p", "Say something"}
		for _, a := range stack {
			args = append(args, "-a", a)
		}
		return succeed(t, "", args...)
	}
	require.Equal(t, ask(sft, policy), ask(out))
	require.NotEqual(t, ask(sft), ask(out))

	_, _, errs = command(t, "", "adapter", "combine", sft, policy, "--scale", "1,0.3", "--drop-head", "-o", out,
		"--force")
	require.Contains(t, errs, "rounded")
	one, err = adapter.Load(out)
	require.NoError(t, err)
	require.Nil(t, one.Head)
	for _, f := range []failure{
		{name: "over a file", args: []string{"adapter", "combine", sft, policy, "-o", out}, code: 1,
			says: []string{out, "exists already"}},
		{name: "upside down", args: []string{"adapter", "combine", policy, sft, "-o", out, "--force"}, code: 1,
			says: []string{"the order is " + sft, "--any-stack"}},
		{name: "scales", args: []string{"adapter", "combine", sft, policy, "--scale", "1", "-o", "x"}, code: 2,
			says: []string{"each of the 2 adapters"}},
		{name: "a word", args: []string{"adapter", "combine", sft, policy, "--scale", "1,much", "-o", "x"}, code: 2,
			says: []string{`"much"`}},
		{name: "nothing", args: []string{"adapter", "combine", "-o", "x"}, code: 2, says: []string{"at least 1"}},
		{name: "nowhere", args: []string{"adapter", "combine", sft, policy}, code: 2, says: []string{"--out"}},
		{name: "a model", args: []string{"adapter", "combine", sft, m.Model, "-o", "x"}, code: 1,
			says: []string{`got "model"`}},
	} {
		f.run(t)
	}
}

func TestModelMergeCommand(t *testing.T) {
	m := demoModel(t)
	sft := newAdapter(t, m.Model, nil)
	out := filepath.Join(t.TempDir(), "merged.gguf")
	said := succeed(t, "", "model", "merge", m.Model, "-a", sft, "--type", "f16", "-o", out)
	require.Contains(t, said, "KL(unmerged || merged)")
	require.Contains(t, said, "KL(unmerged || base)")
	require.Contains(t, succeed(t, "", "model", "inspect", out), "F16")
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("A text to compare on."), 0o600))
	// Four bits do not hold an adapter that hardly changes anything.
	weak := newAdapter(t, m.Model, func(a *adapter.Adapter) { a.Alpha = 0.001 })
	code, _, errs := command(t, "", "model", "merge", m.Model, "-a", weak, "--type", "q4_0", "-o", out, "--force",
		"--text", text)
	require.Zero(t, code, errs)
	require.Contains(t, errs, "lost much of what the adapters do")
	for _, f := range []failure{
		{name: "no adapter", args: []string{"model", "merge", m.Model, "-o", "x"}, code: 2,
			says: []string{"--adapter"}},
		{name: "over the base", args: []string{"model", "merge", m.Model, "-a", sft, "-o", m.Model, "--force"}, code: 2,
			says: []string{"another file than the base"}},
		{name: "a type", args: []string{"model", "merge", m.Model, "-a", sft, "-o", "x", "--type", "q9"}, code: 2,
			says: []string{"--type"}},
		{name: "another base", args: []string{"model", "merge", tinyModel(t, gguftest.Options{}), "-a", sft, "-o", "x"},
			code: 1, says: []string{"does not fit"}},
		{name: "no text", args: []string{"model", "merge", m.Model, "-a", sft, "-o", "x", "--text", "nowhere"}, code: 1,
			says: []string{"nowhere"}},
	} {
		f.run(t)
	}
}

func TestExportOllamaCommand(t *testing.T) {
	m := demoModel(t)
	sft := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Meta = map[string]string{adapter.MetaRole: "sft", adapter.MetaTrainedOn: "", adapter.MetaTemplate: "guanaco"}
	})
	policy := onTop(t, m.Model, sft)
	dir := filepath.Join(t.TempDir(), "folder")
	code, out, errs := command(t, "", "export", "ollama", "-m", m.Model, "-a", sft, "-a", policy, "-o", dir,
		"--system", `Be "good".`, "--stop", "\nEND")
	require.Zero(t, code, errs)
	require.Contains(t, out, "adapter.gguf, model.gguf, Modelfile")
	require.Contains(t, errs, "two questions in a row")
	text, err := os.ReadFile(filepath.Join(dir, "Modelfile"))
	require.NoError(t, err)
	for _, want := range []string{"FROM ./model.gguf\n", "ADAPTER ./adapter.gguf\n", "PARAMETER repeat_penalty 1\n",
		`SYSTEM """Be "good"."""`, "PARAMETER temperature 0.7\n", "\n\nHuman: "} {
		require.Contains(t, string(text), want)
	}
	require.Equal(t, 1, strings.Count(string(text), "\nADAPTER "))
	one, err := adapter.Load(filepath.Join(dir, "adapter.gguf"))
	require.NoError(t, err)
	require.Nil(t, one.Head)

	merged := filepath.Join(t.TempDir(), "merged")
	require.Contains(t, succeed(t, "", "export", "ollama", "-m", m.Model, "-a", sft, "-o", merged, "--merge", "q8_0"),
		"model.gguf, Modelfile")
	own := filepath.Join(t.TempDir(), "own.gotmpl")
	require.NoError(t, os.WriteFile(own, []byte("{{ .Prompt }}"), 0o600))
	code, _, errs = command(t, "", "export", "ollama", "-m", m.Model, "-a", sft, "-o", merged, "--force", "--from",
		"llama3.2:1b", "--template-file", own)
	require.Zero(t, code, errs)
	require.Contains(t, errs, "nothing checks that")
	require.Contains(t, errs, "one question: ")
	reward := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Meta = map[string]string{adapter.MetaRole: "reward", adapter.MetaTrainedOn: ""}
		a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
	})
	bad := filepath.Join(t.TempDir(), "bad.gotmpl")
	require.NoError(t, os.WriteFile(bad, []byte("{{ .Prompt "), 0o600))
	for _, f := range []failure{
		{name: "over a folder", args: []string{"export", "ollama", "-m", m.Model, "-o", dir}, code: 1,
			says: []string{"exists already"}},
		{name: "a reward model", args: []string{"export", "ollama", "-m", m.Model, "-a", reward, "-o", "x"}, code: 1,
			says: []string{"only generates"}},
		{name: "no model", args: []string{"export", "ollama", "-o", "x"}, code: 2, says: []string{"--model"}},
		{name: "nothing to merge", args: []string{"export", "ollama", "-m", m.Model, "-o", "x", "--merge", "same"},
			code: 2, says: []string{"--adapter"}},
		{name: "merged onto a name", args: []string{"export", "ollama", "-m", m.Model, "-a", sft, "-o",
			filepath.Join(t.TempDir(), "x"), "--merge", "same", "--from", "a:b"}, code: 1,
			says: []string{"--from a:b"}},
		{name: "a broken template", args: []string{"export", "ollama", "-m", m.Model, "-o",
			filepath.Join(t.TempDir(), "x"), "--template-file", bad}, code: 1, says: []string{"template"}},
		{name: "signs that are not printed", args: []string{"export", "ollama", "-m", m.Model, "-o",
			filepath.Join(t.TempDir(), "x"), "--template", "guanaco", "--system", "a\u200bb"}, code: 1,
			says: []string{"system", "not printed"}},
	} {
		f.run(t)
	}
}

// A reward model leaves with the head that llama.cpp does not read in the metadata.
func TestAdapterExportFormats(t *testing.T) {
	m := demoModel(t)
	reward := newAdapter(t, m.Model, func(a *adapter.Adapter) {
		a.Meta = map[string]string{adapter.MetaRole: "reward", adapter.MetaTrainedOn: ""}
		a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
		a.Head.Mean, a.Head.Std = 0.5, 2
	})
	dir := t.TempDir()
	code, _, errs := command(t, "", "adapter", "export", reward, "-m", m.Model, "--format", "rank", "-o",
		dir+"/rank.gguf")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "(raw - 0.5) / 2")
	require.Contains(t, errs, "reads no classification head")
	succeed(t, "", "adapter", "export", reward, "-m", m.Model, "--format", "gguf", "-o", dir+"/lora.gguf")
	a, err := os.ReadFile(reward)
	require.NoError(t, err)
	b, err := os.ReadFile(dir + "/lora.gguf")
	require.NoError(t, err)
	require.Equal(t, a, b)
	policy := onTop(t, m.Model, reward)
	code, _, errs = command(t, "", "adapter", "export", policy, "-m", m.Model, "-o", dir+"/peft")
	require.Zero(t, code, errs)
	require.Contains(t, errs, "was trained on other adapters")
	failure{name: "no reward model", args: []string{"adapter", "export", newAdapter(t, m.Model, nil), "-m", m.Model,
		"--format", "rank", "-o", dir + "/x"}, code: 1, says: []string{"want a reward model", "no head"}}.run(t)
}
