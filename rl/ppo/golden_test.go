package ppo

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// tolerance is the distance from a peer's float32 number that the golden README asks
// for; relative where numbers are large.
const tolerance = 1e-5

func readGolden(t *testing.T, into any, path ...string) {
	t.Helper()
	f, err := os.Open(testfiles.Golden(t, filepath.Join(append([]string{"ppo"}, path...)...)))
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	// The peers print NaN where a variance has one token; it is absent here.
	text = regexp.MustCompile(`\bNaN\b|"nan"`).ReplaceAll(text, []byte("null"))
	require.NoError(t, json.Unmarshal(text, into))
}

func near(t *testing.T, want, got float64, msg ...any) {
	t.Helper()
	if math.Abs(want-got) > tolerance*max(1, math.Abs(want)) || math.IsNaN(got) {
		t.Fatalf("%v: want %v, got %v", fmt.Sprint(msg...), want, got)
	}
}

func nearRows(t *testing.T, want, got [][]float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for s := range want {
		require.Len(t, got[s], len(want[s]), what)
		for i := range want[s] {
			near(t, want[s][i], got[s][i], what, " row ", s, " token ", i)
		}
	}
}

// pick keeps the cells whose mask is 1, row by row.
func pick(x, mask [][]float64) [][]float64 {
	out := make([][]float64, len(mask))
	for s := range mask {
		out[s] = []float64{}
		for i, m := range mask[s] {
			if m != 0 {
				out[s] = append(out[s], x[s][i])
			}
		}
	}
	return out
}

// first keeps the first lens[s] cells of each row.
func first(x [][]float64, lens []int) [][]float64 {
	out := make([][]float64, len(lens))
	for s, n := range lens {
		out[s] = x[s][:n]
	}
	return out
}

func lengthsOf(x [][]float64) []int {
	out := make([]int, len(x))
	for s := range x {
		out[s] = len(x[s])
	}
	return out
}
