package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/inspect"
	"steer/ggml/gguf/gguftest"
)

// What cannot be trained can be used, aloud; training it is refused before any data is read.
func TestMixtureOfExpertsIsUsedNotTrained(t *testing.T) {
	model := tinyModel(t, gguftest.Options{Experts: 4, BPE: true})
	said := "this model can be used, not trained: blk.0.ffn_gate_inp.weight: a mixture of experts"

	var d inspect.Model
	require.NoError(t, json.Unmarshal([]byte(succeed(t, "", "model", "inspect", "--json", model)), &d))
	require.False(t, d.Trainable)
	require.True(t, d.Usable)
	require.Contains(t, succeed(t, "", "model", "inspect", model), "usable         yes: generate, chat, score, eval")

	code, _, errs := command(t, "", "generate", "-m", model, "-p", "hello", "--max-new", "4")
	require.Zero(t, code, errs)
	require.Contains(t, errs, said)
	code, out, errs := command(t, "", "score", "-m", model, "--text", "hello there")
	require.Zero(t, code, errs)
	require.Contains(t, errs, said)
	require.Contains(t, out, `"logprobs":[-`)
	code, _, errs = command(t, "hello\n", "chat", "-m", model, "--template", "chatml", "--max-new", "4")
	require.Zero(t, code, errs)
	require.Contains(t, errs, said)

	code, out, errs = command(t, "", "bench", "-m", model, "--jobs", "score,train")
	require.Equal(t, exitFailure, code)
	require.Empty(t, out)
	require.Contains(t, errs, "--jobs train: model")
	require.Contains(t, errs, "of the jobs, score, rollout and group are measured on it")

	for _, stage := range [][]string{
		{"sft", "-m", model, "--train", "nowhere.jsonl"},
		{"reward", "-m", model, "--train", "nowhere.jsonl"},
	} {
		code, _, errs := command(t, "", stage...)
		require.Equal(t, exitFailure, code)
		require.Contains(t, errs, "a mixture of experts: steer does not train it; supported are dense models of llama")
		require.NotContains(t, errs, "nowhere.jsonl")
	}
}
