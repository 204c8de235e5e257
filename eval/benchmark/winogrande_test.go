package benchmark

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval/evaltest"
	"steer/eval/query"
	"steer/internal/testfiles"
	"steer/rl/data"
)

func TestWinoGrande(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dev.jsonl")
	row := `{"qID": "Q1", "sentence": "Sarah was a better surgeon than Maria so _ always got the easier cases. ", ` +
		`"option1": "Sarah", "option2": "Maria", "answer": "2"}`
	require.NoError(t, os.WriteFile(path, []byte(row+"\n"), 0o600))
	rows, err := data.ReadWinoGrandeItems(path)
	require.NoError(t, err)
	it := winograndeItems(rows, 7, " ")[0]
	require.Equal(t, query.Item{ID: "winogrande-7", Row: 7, Gold: 1, Choices: []query.Choice{
		{Context: "Sarah was a better surgeon than Maria so Sarah", Continuation: " always got the easier cases."},
		{Context: "Sarah was a better surgeon than Maria so Maria", Continuation: " always got the easier cases."},
	}}, it)
	b, _, err := winogrande(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 1}), evaltest.Settings(),
		rows, 0)
	require.NoError(t, err)
	require.Contains(t, b.Flags, "partial=1")
	require.EqualValues(t, 1, b.Metrics["majority_acc"])
	require.NotContains(t, b.Metrics, "mcc")
	format, err := data.Detect(path)
	require.NoError(t, err)
	require.Equal(t, data.FormatWinoGrande, format)
	for body, want := range map[string]string{
		`{"sentence": "a _ b", "option1": "x", "option2": "y", "answer": ""}`:  "test.jsonl has no answers",
		`{"sentence": "a b", "option1": "x", "option2": "y", "answer": "1"}`:   "text with a _",
		`{"sentence": "a _ b", "option1": "x", "option2": "y", "answer": "3"}`: `want 1 or 2, got "3"`,
		`{"sentence": "a _ b", "option1": "x", "answer": "1"}`:                 "option1, option2",
		`{"sentence": "a _ ", "option1": "x", "option2": "y", "answer": "1"}`:  "text after the _",
	} {
		require.NoError(t, os.WriteFile(path, []byte(body+"\n"), 0o600))
		_, err = data.ReadWinoGrandeItems(path)
		require.ErrorContains(t, err, want)
	}
}

// The derived file reads as the same items.
func TestWinoGrandeOfLLMFoundry(t *testing.T) {
	rows, err := data.ReadWinoGrandeItems(testfiles.Data(t, "winograd/llm-foundry/winogrande.jsonl"))
	require.NoError(t, err)
	require.Len(t, rows, winograndeSize)
	it := winograndeItems(rows, 0, " ")[0]
	require.Equal(t, "Sarah was a much better surgeon than Maria so Sarah", it.Choices[0].Context)
	require.Equal(t, " always got the easier cases.", it.Choices[0].Continuation)
	require.Equal(t, 1, it.Gold)
}
