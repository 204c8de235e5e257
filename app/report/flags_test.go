package report

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What was left out is not among the items of the row; what was cut is.
func TestFlagCounts(t *testing.T) {
	r := &Report{Benchmarks: []BenchmarkTable{{Benchmark: "kl", Protocol: "text",
		Rows: []BenchmarkRow{{Model: "m", N: 7, Flags: []string{"dropped=23", "truncated=2"}}}}}}
	r.flagBenchmarks()
	require.Contains(t, r.Flags[0].Text, "items left out: m 23 of 30")
	require.Contains(t, r.Flags[1].Text, "m 2 of 7")
	for _, word := range []string{"ties", "unpaired", "first_token_unscored"} {
		require.Contains(t, benchmarkFlags, word)
	}
}

func TestFlagsOfSeveralStagesAreToldOnce(t *testing.T) {
	got := toldOnce([]Flag{
		{Caution, "every run: ppo-a", "x: 3 dropped."}, {Note, "every run: ppo-a", "x: 3 dropped."},
		{Caution, "every run: ppo-b", "x: 3 dropped."},
		{Caution, "seed 1: ppo-b", "x: 3 dropped."}, {Caution, "eval", "y"}, {Caution, "sft", "y"},
		{Failure, "ppo-a", "was not found."}, {Failure, "ppo-b", "was not found."},
	})
	require.Equal(t, []Flag{
		{Caution, "every run: ppo-a, ppo-b", "x: 3 dropped."}, {Note, "every run: ppo-a", "x: 3 dropped."},
		{Caution, "seed 1: ppo-b", "x: 3 dropped."}, {Caution, "eval, sft", "y"},
		{Failure, "ppo-a", "was not found."}, {Failure, "ppo-b", "was not found."},
	}, got)
}
