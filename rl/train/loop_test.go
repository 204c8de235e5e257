package train_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/run"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// counting is a trainer of two optimizer steps a round that learns nothing.
type counting struct {
	Seen    []int64
	alarmAt int64
	bestAt  int64
}

func (c *counting) Round(_ context.Context, round int64) (train.Outcome, error) {
	c.Seen = append(c.Seen, round)
	out := train.Outcome{Step: 2 * (round + 1), Metrics: map[string]float64{"x": float64(round)}, Tokens: 10}
	out.Best = round == c.bestAt
	if round == c.alarmAt {
		out.Alarm = "the answers repeat themselves"
	}
	return out, nil
}

func (c *counting) Save() (any, error)                { return c, nil }
func (c *counting) Restore(raw json.RawMessage) error { return json.Unmarshal(raw, c) }

func openLoop(t *testing.T, dir string) *run.Folder {
	r, err := run.Open(dir, run.Options{Stage: "ppo", Name: "toy", Config: map[string]int{"a": 1}})
	require.NoError(t, err)
	return r
}

func TestLoopCountsRoundsAndSteps(t *testing.T) {
	dir := t.TempDir()
	folder := openLoop(t, dir)
	rec := &traintest.Recorder{}
	c := &counting{alarmAt: 4, bestAt: 1}
	deps := train.Deps{Stage: "ppo toy", Learner: traintest.New(traintest.Config{}), Run: folder, Progress: rec}
	opt := train.LoopOptions{Rounds: 6, CheckpointEvery: 3}
	err := train.Loop(context.Background(), deps, opt, c)
	require.ErrorIs(t, err, train.ErrAlarm)
	require.EqualError(t, err, "ppo toy: after step 10: stopped by an alarm: the answers repeat themselves")
	require.Equal(t, int64(4), folder.BestStep())
	require.Len(t, rec.Steps, 5)
	require.Equal(t, int64(5), rec.Steps[4].Step, "the line counts rounds")
	recs, _, err := run.ReadMetrics(folder.Path(run.MetricsFile))
	require.NoError(t, err)
	require.Equal(t, int64(10), recs[4].Step, "metrics count optimizer steps")
	require.Contains(t, recs[4].Values, "tokens_per_second")
	require.NoError(t, folder.Close())

	// Going on after the alarm, from its checkpoint.
	folder = openLoop(t, dir)
	defer folder.Close()
	deps.Run = folder
	again := &counting{alarmAt: -1, bestAt: -1}
	require.NoError(t, train.Loop(context.Background(), deps, opt, again))
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5}, again.Seen)
	last, _, err := folder.Latest()
	require.NoError(t, err)
	require.Equal(t, int64(12), last.Step)
}

func TestLoopWithoutAFolder(t *testing.T) {
	c := &counting{alarmAt: -1, bestAt: 0}
	stop := train.NewStopper()
	stop.Request()
	deps := train.Deps{Stage: "x", Learner: traintest.New(traintest.Config{}), Stopper: stop}
	opt := train.LoopOptions{Rounds: 2, CheckpointEvery: 1}
	require.ErrorIs(t, train.Loop(context.Background(), deps, opt, c), train.ErrInterrupted)
	require.Empty(t, c.Seen)
	deps.Stopper = nil
	require.NoError(t, train.Loop(context.Background(), deps, opt, c))
	require.Equal(t, []int64{0, 1}, c.Seen)
}

func TestACheckpointOfAnotherModelIsRefused(t *testing.T) {
	dir := t.TempDir()
	folder := openLoop(t, dir)
	defer folder.Close()
	deps := train.Deps{Stage: "x", Learner: traintest.New(traintest.Config{Rank: 4}), Run: folder}
	opt := train.LoopOptions{Rounds: 1}
	require.NoError(t, train.Loop(context.Background(), deps, opt, &counting{alarmAt: -1, bestAt: -1}))
	deps.Learner = traintest.New(traintest.Config{Rank: 2})
	err := train.Loop(context.Background(), deps, opt, &counting{})
	require.ErrorContains(t, err, "checkpoint of step 2 does not fit this model")
}

func TestEvaluateAndAccumulate(t *testing.T) {
	ctx := context.Background()
	toy := traintest.New(traintest.Config{Vocab: 9, Seed: 2})
	seqs := []lm.Sequence{
		{Tokens: []int32{1, 2, 3}, Targets: []int32{1, 2}, Heads: []int32{2}},
		{Tokens: []int32{4, 5}, Targets: []int32{1}},
		{Tokens: []int32{6, 7, 8, 1}, Targets: []int32{3}, Heads: []int32{0}},
	}
	opt := lm.Options{Entropy: true, Greedy: true}
	whole, err := toy.Forward(ctx, seqs, opt)
	require.NoError(t, err)
	for _, limit := range []int{0, 5, 100} {
		got, err := train.Evaluate(ctx, toy, seqs, limit, opt)
		require.NoError(t, err)
		require.Equal(t, whole, got)
	}

	var want [][]float64
	for _, size := range []int{3, 2, 1} {
		batch := train.MiniBatch[[]int]{
			Items: train.Alone(seqs),
			Split: func(items []train.Item) [][]train.Item { return train.Micro(items, size) },
			Tally: func() *[]int { return new([]int) },
			Gradient: func(firsts *[]int, p train.ForwardPass) (lm.Gradient, error) {
				*firsts = append(*firsts, p.Sequence)
				g := lm.Gradient{}
				for _, row := range p.Output.Logprobs {
					g.Logprobs = append(g.Logprobs, make([]float32, len(row)))
					for i := range row {
						g.Logprobs[len(g.Logprobs)-1][i] = -0.25
					}
				}
				return g, nil
			},
		}
		firsts, err := batch.Accumulate(ctx, toy)
		require.NoError(t, err)
		require.Equal(t, map[int][]int{3: {0}, 2: {0, 2}, 1: {0, 1, 2}}[size], *firsts)
		if want == nil {
			want = toy.Grads()
		}
		require.Equal(t, want, toy.Grads(), "gradients start from zero each time")
	}
}
