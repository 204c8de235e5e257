package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl.zst")
	score, norm := 1.5, 0
	want := []Item{
		{ID: "a", Row: 3, Gold: 1, Pred: 0, PredNorm: &norm, LogProbs: []float64{-1.25, -3},
			Greedy: []bool{true, false}, Cut: 2},
		{ID: "b", Pred: NoPrediction, Refused: true, Answer: "I <am> not sure"},
		{ID: "c", Score: &score},
	}
	require.NoError(t, WriteRecords(path, want))
	got, err := ReadRecords[Item](path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = ReadRecords[Answer](path)
	require.ErrorContains(t, err, "unknown field")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw[:len(raw)-5], 0o600))
	_, err = ReadRecords[Item](path)
	require.ErrorContains(t, err, path)
	require.Error(t, WriteRecords(filepath.Join(path, "no", "folder"), want))
}
