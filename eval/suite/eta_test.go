package suite

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/rl/run"
)

func id(benchmark, protocol, model string) run.ID {
	return run.ID{Benchmark: benchmark, Protocol: protocol, Model: model}
}

func TestETA(t *testing.T) {
	clock := time.Unix(0, 0)
	e := newETA()
	e.now = func() time.Time { return clock }
	e.schedule([]benchmark.Work{
		{ID: id("short", "loglik", "base"), Cost: 100},
		{ID: id("long", "loglik", "base"), Cost: 300},
		{ID: id("short", "loglik", "sft"), Cost: 100},
		{ID: id("long", "loglik", "sft"), Cost: 300},
	})
	at := func(u run.ID, done, total int, tokens int64, seconds float64, replayed bool) eval.Progress {
		clock = clock.Add(time.Duration(seconds * float64(time.Second)))
		return e.step(eval.Progress{Benchmark: u.Benchmark, Protocol: u.Protocol, Model: u.Model, Done: done,
			Total: total, Tokens: tokens}, replayed)
	}
	// Half of the first measurement in 5 s: 5 s to go, and 700 of cost at 10 a second.
	r := at(id("short", "loglik", "base"), 5, 10, 500, 5, false)
	require.Equal(t, 1, r.Part)
	require.Equal(t, 4, r.Parts)
	require.InDelta(t, 100, r.TokensPerSecond, 1e-9)
	require.Equal(t, 75*time.Second, r.ETA)
	r = at(id("short", "loglik", "base"), 10, 10, 1000, 5, false)
	require.Equal(t, 70*time.Second, r.ETA)
	// The long one is faster than its cost says; its like with the other model will be, too.
	r = at(id("long", "loglik", "base"), 10, 20, 1000, 4, false)
	require.Equal(t, 2, r.Part)
	r = at(id("long", "loglik", "base"), 20, 20, 2000, 4, false)
	require.Equal(t, 18*time.Second, r.ETA) // as long as with the base: 10 s and 8 s
	// Most of this one comes from a journal, in no time: what is left is computed.
	r = at(id("short", "loglik", "sft"), 8, 10, 800, .1, true)
	require.Zero(t, r.TokensPerSecond)
	require.Equal(t, 10*time.Second, r.ETA, "2 s and 8 s") // 10 s for all of it
	r = at(id("short", "loglik", "sft"), 10, 10, 1000, 1, false)
	require.InDelta(t, 200, r.TokensPerSecond, 1e-9)
	require.Equal(t, 8*time.Second, r.ETA)
	require.InDelta(t, 5, e.seconds[[2]string{"short", "loglik"}], 1e-9, "1 s for a fifth")
	// Finished before: nothing is left.
	e.skip(id("long", "loglik", "sft"))
	for _, u := range e.work {
		require.True(t, u.done)
	}
	// What was not planned is passed on as it is.
	r = at(id("other", "", ""), 1, 2, 1, 1, false)
	require.Zero(t, r.Part)
	require.Zero(t, r.ETA)
}

func TestSuiteShowsItsProgress(t *testing.T) {
	s := newStudy(t)
	_, _, err := s.run("a", 0)
	require.NoError(t, err)
	last := s.seen[len(s.seen)-1]
	// 2 x 4 benchmarks but for the divergence of the reference from itself, 2 x 2 of reward
	// models, 2 x (generate, score), 2 policies and 2 reward models of the matrix.
	require.Equal(t, 19, last.Parts)
	require.Equal(t, last.Parts, last.Part)
	parts := map[int]bool{}
	for i, p := range s.seen {
		parts[p.Part] = true
		require.LessOrEqual(t, p.Done, p.Total)
		if i > 0 && s.seen[i-1].Part == p.Part {
			require.GreaterOrEqual(t, p.Done, s.seen[i-1].Done)
		}
	}
	require.Len(t, parts, last.Parts, "every measurement that is counted is made")
	_, _, err = s.run("a", 0)
	require.NoError(t, err)
	require.Empty(t, s.seen)
}
