package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// A repository becomes a file that can be trained, in its own type or another; a quantized type goes through a
// file that is said aloud and not left there.
func TestModelConvertAndQuantize(t *testing.T) {
	repo, dir := testfiles.Repository(t, "qwen2"), t.TempDir()
	base, small := filepath.Join(dir, "base.gguf"), filepath.Join(dir, "small.gguf")
	direct := filepath.Join(dir, "direct.gguf")
	out := succeed(t, "", "model", "convert", repo, "-o", base)
	require.Contains(t, out, base+": qwen2, 36,128 parameters, ")
	require.Contains(t, out, "(BF16)")
	require.Contains(t, succeed(t, "", "model", "inspect", base), "trainable      yes")

	out = succeed(t, "", "model", "quantize", base, "-o", small, "--type", "Q4_K_M")
	require.Contains(t, out, small+": q4_k_m, from ")
	succeed(t, "", "model", "convert", repo, "-o", direct, "--type", "q4_k_m")
	a, err := os.ReadFile(small)
	require.NoError(t, err)
	b, err := os.ReadFile(direct)
	require.NoError(t, err)
	require.Equal(t, a, b, "converting to a type is converting and then quantizing")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 3)
}

func TestModelConvertRefuses(t *testing.T) {
	repo, dir := testfiles.Repository(t, "qwen3"), t.TempDir()
	out := filepath.Join(dir, "out.gguf")
	there := filepath.Join(dir, "there.gguf")
	require.NoError(t, os.WriteFile(there, nil, 0o666))
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "want a GGUF file to write", []string{"convert", repo}},
		{2, "ends in .gguf", []string{"convert", repo, "-o", filepath.Join(dir, "out.bin")}},
		{2, `"q9_k" is no type of files`, []string{"convert", repo, "-o", out, "--type", "q9_k"}},
		{2, "want REGEX=TYPE", []string{"convert", repo, "-o", out, "--type", "q8_0", "--tensor-type", "ffn_down"}},
		{2, "--output-type", []string{"convert", repo, "-o", out, "--type", "q8_0", "--output-type", "q9"}},
		{2, "--type: want one of", []string{"quantize", there, "-o", out}},
		{1, "exists already", []string{"convert", repo, "-o", there}},
		{1, "needs to know which columns matter", []string{"convert", repo, "-o", out, "--type", "iq1_s"}},
		{1, "rows of 48 numbers", []string{"convert", repo, "-o", out, "--type", "q8_0"}},
		{1, "no config.json", []string{"convert", dir, "-o", out}},
		{1, "is a file: want the folder", []string{"convert", there, "-o", out}},
		{1, "is a folder: want a GGUF file", []string{"quantize", repo, "-o", out, "--type", "q8_0"}},
		{1, "hf:a/b", []string{"convert", "hf:a/b", "-o", out, "--offline"}},
	} {
		code, _, errs := command(t, "", append([]string{"model"}, c.args...)...)
		require.Equal(t, c.code, code, c.args)
		require.Contains(t, errs, c.want)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}
