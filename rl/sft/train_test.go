package sft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// lines are sentences with some order to learn.
var lines = []string{
	"help the old man to cross", "tell the truth to them", "keep the word you gave", "do not steal the bread",
	"share the food with them", "thank the man who helps", "do not hurt the cat", "ask before you take it",
	"give the book back to him", "say sorry when you hurt",
}

func examples(t *testing.T, from, to int) []data.Example {
	t.Helper()
	var out []data.Example
	for _, text := range lines[from:to] {
		ids, err := traintest.Letters{}.Encode(text, true, false)
		require.NoError(t, err)
		e := data.Example{IDs: append(ids, 1), Mask: make([]bool, len(ids)+1)}
		for i := len(ids) / 3; i < len(e.Mask); i++ { // the first third is the prompt
			e.Mask[i] = true
		}
		out = append(out, e)
	}
	return out
}

func small() Config {
	c := Default()
	c.Seed = 7
	c.LoRA.Dropout = 0.1
	c.Optim.LR, c.Optim.WarmupSteps, c.Optim.WeightDecay = 0.02, 2, 0.01
	c.Pack, c.MaxTokens = PackNone, 64
	c.MiniBatchSize, c.MicroBatchSize, c.MicroBatchTokens = 3, 1, 0
	c.Epochs, c.MaxSteps = 0, 9
	c.EvalEvery, c.CheckpointEvery, c.Keep = 4, 2, KeepLast
	return c
}

func toy() *traintest.Toy {
	return traintest.New(traintest.Config{Seed: 3, Dropout: 0.1, NoHead: true})
}

func deps(t *testing.T, l *traintest.Toy) Deps {
	return Deps{
		Deps:  train.Deps{Learner: l, AdapterOf: l.Adapter},
		Train: examples(t, 0, 8), Eval: examples(t, 8, 10), EOS: 1,
	}
}

func openRun(t *testing.T, dir string, c Config) *run.Folder {
	t.Helper()
	r, err := run.Open(dir, run.Options{Stage: "sft", Name: "sft", Config: c})
	require.NoError(t, err)
	return r
}

func state(t *testing.T, l *traintest.Toy) *lm.State {
	s, err := l.State()
	require.NoError(t, err)
	return s
}

func TestLossFalls(t *testing.T) {
	c := small()
	c.MaxSteps, c.Optim.LR = 100, 0.1
	l := toy()
	res, err := Train(context.Background(), c, deps(t, l))
	require.NoError(t, err)
	require.Equal(t, int64(100), res.Steps)
	require.Less(t, res.Loss, 0.8*res.LossFirst)
	require.Less(t, res.EvalLast.Loss, res.EvalBefore.Loss)
	require.InDelta(t, math.Exp(res.EvalLast.Loss), res.EvalLast.Perplexity, 1e-9)
	require.Greater(t, res.EvalLast.Accuracy, res.EvalBefore.Accuracy)
}

// By hand: logprobs -1, -2 | -3 with N = 4 counted tokens in the mini-batch.
func TestNLL(t *testing.T) {
	var sum float64
	g := nll([][]float32{{-1, -2}, {-3}, nil}, 4, &sum)
	require.Equal(t, 6.0, sum)
	require.Equal(t, [][]float32{{-0.25, -0.25}, {-0.25}, {}}, g.Logprobs)
}

// The loss of a step is the mean over all counted tokens of the mini-batch, which an
// independent pass over them gives too.
func TestLossIsTheTokenMean(t *testing.T) {
	c := small()
	c.NoShuffle, c.MaxSteps, c.LoRA.Dropout = true, 1, 0
	l := toy()
	ref := l.Snapshot()
	d := deps(t, l)
	res, err := Train(context.Background(), c, d)
	require.NoError(t, err)
	sum, n := 0.0, 0
	for _, e := range d.Train[:3] {
		var targets []int32
		for i := 1; i < len(e.Mask); i++ {
			if e.Mask[i] {
				targets = append(targets, int32(i))
			}
		}
		out, err := ref.Forward(context.Background(), []lm.Sequence{{Tokens: e.IDs, Targets: targets}}, lm.Options{})
		require.NoError(t, err)
		for _, lp := range out.Logprobs[0] {
			sum -= float64(lp)
			n++
		}
	}
	require.InDelta(t, sum/float64(n), res.LossFirst, 1e-12)
}

func TestTheSplitIntoMicroBatchesDoesNotMatter(t *testing.T) {
	for _, pack := range []Pack{PackNone, PackIsolated, PackRunOn} {
		var want *lm.State
		var wantRes run.SFTSummary
		for _, micro := range [][2]int{{1, 0}, {2, 0}, {4, 0}, {0, 1}, {0, 70}, {0, 10000}} {
			c := small()
			c.Pack, c.MiniBatchSize, c.MicroBatchSize, c.MicroBatchTokens = pack, 4, micro[0], micro[1]
			l := toy()
			res, err := Train(context.Background(), c, deps(t, l))
			require.NoError(t, err)
			if want == nil {
				want, wantRes = state(t, l), res
			}
			require.Equal(t, want, state(t, l), "%s %v", pack, micro)
			require.Equal(t, wantRes, res, "%s %v", pack, micro)
		}
	}
}

func TestIsolatedPackingEqualsNone(t *testing.T) {
	// One block holds all: each step sees every example once, packed or not.
	c := small()
	c.LoRA.Dropout, c.NoShuffle, c.MaxSteps = 0, true, 3
	c.MiniBatchSize, c.MicroBatchSize = 8, 8
	plain := toy()
	_, err := Train(context.Background(), c, deps(t, plain))
	require.NoError(t, err)
	c.Pack, c.MaxTokens, c.MiniBatchSize, c.MicroBatchSize = PackIsolated, 4096, 1, 1
	packed := toy()
	res, err := Train(context.Background(), c, deps(t, packed))
	require.NoError(t, err)
	require.Equal(t, 1, res.Counts.Blocks)
	require.Equal(t, state(t, plain), state(t, packed))
}

func TestEveryEpochTakesEachExampleOnce(t *testing.T) {
	c := small()
	c.MaxSteps, c.Epochs, c.MiniBatchSize = 0, 3, 3
	batch := func(order *train.Order, step int64) []int { return order.Span(c.Positions(step, 8, c.Passes(8))) }
	o := c.order(8)
	require.Equal(t, int64(8), c.Steps(8))
	var all []int
	for step := range c.Steps(8) {
		all = append(all, batch(o, step)...)
	}
	require.Len(t, all, 24)
	for e := range 3 {
		require.ElementsMatch(t, []int{0, 1, 2, 3, 4, 5, 6, 7}, all[8*e:8*e+8])
	}
	require.NotEqual(t, all[:8], all[8:16])
	require.Equal(t, batch(c.order(8), 5), batch(o, 5), "a step alone gives its items")

	c.NoShuffle = true
	require.Equal(t, []int{6, 7, 0}, batch(c.order(8), 2))
}

// finish trains in dir until it is done, resuming after whatever stops it.
func finish(t *testing.T, dir string, c Config, l *traintest.Toy) (run.SFTSummary, []string) {
	t.Helper()
	folder := openRun(t, dir, c)
	defer folder.Close()
	d := deps(t, l)
	rec := &traintest.Recorder{}
	d.Run, d.Progress = folder, rec
	res, err := Train(context.Background(), c, d)
	require.NoError(t, err)
	return res, rec.Notes
}

// losses of metrics.jsonl without the clock's values.
func logged(t *testing.T, dir string) []run.MetricsRecord {
	t.Helper()
	recs, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	for i := range recs {
		recs[i].Time = time.Time{}
		delete(recs[i].Values, "seconds")
		delete(recs[i].Values, "tokens_per_second")
	}
	return recs
}

func TestInterruptedAndResumedEqualsUnbroken(t *testing.T) {
	c := small()
	c.Keep = KeepBest
	straight := t.TempDir()
	want := toy()
	wantRes, _ := finish(t, straight, c, want)
	wantFile, err := os.ReadFile(filepath.Join(straight, run.AdapterFile))
	require.NoError(t, err)
	require.Len(t, logged(t, straight), 10, "evaluation before, then every step")

	for _, stop := range []int64{1, 4, 5, 8} {
		t.Run(fmt.Sprintf("after step %d", stop), func(t *testing.T) {
			dir := t.TempDir()
			folder := openRun(t, dir, c)
			d := deps(t, toy())
			d.Run, d.Stopper = folder, train.NewStopper()
			d.Progress = &traintest.Recorder{OnStep: func(s train.Status) {
				if s.Step == stop {
					d.Stopper.Request()
				}
			}}
			_, err := Train(context.Background(), c, d)
			require.ErrorIs(t, err, train.ErrInterrupted)
			require.ErrorContains(t, err, fmt.Sprintf("after step %d", stop))
			require.NoError(t, folder.Close())

			l := toy()
			res, _ := finish(t, dir, c, l)
			require.Equal(t, wantRes, res)
			require.Equal(t, state(t, want), state(t, l))
			got, err := os.ReadFile(filepath.Join(dir, run.AdapterFile))
			require.NoError(t, err)
			require.Equal(t, wantFile, got)
			require.Equal(t, logged(t, straight), logged(t, dir))
		})
	}
}

// stopping asks for a stop when the n-th pass without a gradient is asked for.
type stopping struct {
	*traintest.Toy
	stopper  *train.Stopper
	n, reads int
}

func (s *stopping) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if !opt.Gradient {
		if s.reads++; s.reads == s.n {
			s.stopper.Request()
		}
	}
	return s.Toy.Forward(ctx, batch, opt)
}

// Interrupted in the middle of a look at held-out examples, before, between or after the steps, a
// run ends with the same bits, and its metrics hold what that look found, once.
func TestInterruptedWhileMeasuringResumesWithTheMeasurement(t *testing.T) {
	c := small()
	c.Keep, c.MicroBatchSize, c.MicroBatchTokens = KeepBest, 0, 16 // several parts a look
	straight, want := t.TempDir(), toy()
	wantRes, _ := finish(t, straight, c, want)
	interrupted, before := 0, 0
	for n := 1; ; n++ {
		dir := t.TempDir()
		folder := openRun(t, dir, c)
		d := deps(t, toy())
		d.Run, d.Stopper, d.Progress = folder, train.NewStopper(), &traintest.Recorder{}
		s := &stopping{Toy: toy(), stopper: d.Stopper, n: n}
		d.Learner = s
		_, err := Train(context.Background(), c, d)
		require.NoError(t, folder.Close())
		if err != nil {
			require.ErrorIs(t, err, train.ErrInterrupted)
			interrupted++
			if strings.Contains(err.Error(), "after step 0") {
				before++
			}
		}
		l := toy()
		res, _ := finish(t, dir, c, l)
		require.Equal(t, wantRes, res, "stopped at reading %d", n)
		require.Equal(t, state(t, want), state(t, l))
		require.Equal(t, logged(t, straight), logged(t, dir), "stopped at reading %d", n)
		if s.reads < n {
			break // it asked less often
		}
	}
	require.Greater(t, interrupted, 3)
	require.Positive(t, before)
}

// failing dies in a Forward pass, as a killed process does: no checkpoint, no clean-up.
type failing struct {
	*traintest.Toy
	at int64
}

var errDied = errors.New("died")

func (f failing) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if f.Toy.Forwards == f.at {
		return nil, errDied
	}
	return f.Toy.Forward(ctx, batch, opt)
}

func TestDyingAnywhereAndResumingEqualsUnbroken(t *testing.T) {
	c := small()
	want := toy()
	straight := t.TempDir()
	wantRes, _ := finish(t, straight, c, want)
	for at := int64(0); at < want.Forwards; at += 8 {
		dir := t.TempDir()
		folder := openRun(t, dir, c)
		d := deps(t, toy())
		d.Run, d.Learner = folder, failing{toy(), at}
		_, err := Train(context.Background(), c, d)
		require.ErrorIs(t, err, errDied)
		require.ErrorContains(t, err, "checkpoint", "says where it can go on")
		require.NoError(t, folder.Close())
		l := toy()
		res, _ := finish(t, dir, c, l)
		require.Equal(t, wantRes, res, "died in pass %d", at)
		require.Equal(t, logged(t, straight), logged(t, dir), "died in pass %d", at)
		require.Equal(t, state(t, want), state(t, l))
	}
}

// killed is the folder a child of TestKilledAnywhere trains in.
const killed = "STEER_TEST_KILLED_RUN"

func TestKilledAnywhere(t *testing.T) {
	c := small()
	c.MaxSteps, c.CheckpointEvery, c.EvalEvery = 400, 1, 100
	if dir := os.Getenv(killed); dir != "" {
		finish(t, dir, c, toy()) // usually the parent ends this
		return
	}
	want := toy()
	d := deps(t, want)
	wantRes, err := Train(context.Background(), c, d)
	require.NoError(t, err)

	dir := t.TempDir()
	for _, step := range []int64{3, 11, 12} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAnywhere$")
		cmd.Env = append(os.Environ(), killed+"="+dir)
		require.NoError(t, cmd.Start())
		// Kill without warning once a few more steps are on disk.
		deadline := time.Now().Add(20 * time.Second)
		for time.Now().Before(deadline) {
			names, err := filepath.Glob(filepath.Join(dir, run.CheckpointsDir, "step-*"))
			require.NoError(t, err)
			if len(names) > 0 && filepath.Base(names[len(names)-1]) >= fmt.Sprintf("step-%06d", step) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait(), "it was to be killed before its end")
	}
	c2 := c
	c2.CheckpointEvery = 0 // the rest without the waiting for the disk
	folder, err := run.Open(dir,
		run.Options{Stage: "sft", Name: "sft", Config: c2, MayChange: []string{"checkpoint_every"}})
	require.NoError(t, err)
	defer folder.Close()
	require.Equal(t, 3, folder.Resumed())
	l := toy()
	d = deps(t, l)
	rec := &traintest.Recorder{}
	d.Run, d.Progress = folder, rec
	res, err := Train(context.Background(), c2, d)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(rec.Notes), "going on after step ")
	require.Equal(t, wantRes, res)
	require.Equal(t, state(t, want), state(t, l))
	steps := logged(t, dir)
	require.Len(t, steps, 401)
	for i, rec := range steps {
		require.Equal(t, int64(i), rec.Step)
	}
}

func TestADamagedCheckpointCostsOnlyItsSteps(t *testing.T) {
	c := small()
	dir := t.TempDir()
	want := toy()
	wantRes, _ := finish(t, dir, c, want)
	newest := filepath.Join(dir, run.CheckpointsDir, "step-000009", "optimizer.safetensors")
	info, err := os.Stat(newest)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(newest, info.Size()-5))
	l := toy()
	res, notes := finish(t, dir, c, l)
	require.Equal(t, wantRes, res)
	require.Equal(t, state(t, want), state(t, l))
	require.Contains(t, fmt.Sprint(notes), "step-000009 is damaged")
	require.Contains(t, fmt.Sprint(notes), "going on after step 8")
}

func TestChangedDataAreNoticed(t *testing.T) {
	c := small()
	dir := t.TempDir()
	finish(t, dir, c, toy())
	folder := openRun(t, dir, c)
	defer folder.Close()
	d := deps(t, toy())
	d.Run = folder
	d.Train[3].IDs[2]++ // same counts, other text
	_, err := Train(context.Background(), c, d)
	require.ErrorContains(t, err, "the data are not those the run began with")
}

func TestNaNStopsBeforeItIsLearned(t *testing.T) {
	c := small()
	dir := t.TempDir()
	folder := openRun(t, dir, c)
	defer folder.Close()
	l := toy()
	l.NaNAtStep = 6
	d := deps(t, l)
	d.Run = folder
	_, err := Train(context.Background(), c, d)
	require.ErrorIs(t, err, train.ErrDiverged)
	require.ErrorContains(t, err, "step 6: loss is NaN")
	require.ErrorContains(t, err, "the last checkpoint is step 4")
	require.Equal(t, int64(5), l.Updates)
}

func TestTheBestWeightsAreKept(t *testing.T) {
	c := small()
	c.Keep, c.EvalEvery, c.MaxSteps = KeepBest, 1, 40
	c.Optim.LR = 0.3 // overfits the few examples at once
	dir := t.TempDir()
	l := toy()
	res, notes := finish(t, dir, c, l)
	best := run.MetricsRecord{Values: map[string]float64{"eval_loss": math.Inf(1)}}
	for _, rec := range logged(t, dir)[1:] {
		if rec.Values["eval_loss"] < best.Values["eval_loss"] {
			best = rec
		}
	}
	require.Equal(t, best.Step, res.BestStep)
	require.Equal(t, best.Values["eval_loss"], res.EvalBest.Loss)
	require.Less(t, res.BestStep, res.Steps)
	require.Equal(t, res.BestStep, res.KeptStep)
	require.Equal(t, res.BestStep, state(t, l).Step)
	require.Contains(t, fmt.Sprint(notes), fmt.Sprintf("keeping the weights of step %d", res.BestStep))
	again, _ := finish(t, dir, c, toy())
	require.Equal(t, res, again, "a finished run gives its result again")
}

func TestBadInput(t *testing.T) {
	ctx := context.Background()
	_, err := Train(ctx, small(), Deps{})
	require.ErrorContains(t, err, "no learner")
	d := deps(t, toy())
	d.Train = nil
	_, err = Train(ctx, small(), d)
	require.ErrorContains(t, err, "no example to train on: 0 of 0 examples kept")
	d = deps(t, toy())
	for i := range d.Eval {
		clear(d.Eval[i].Mask)
	}
	_, err = Train(ctx, small(), d)
	require.ErrorContains(t, err, "no held-out example is left")
	d = deps(t, toy())
	d.Train[0].IDs[1] = 1 << 20
	_, err = Train(ctx, small(), d)
	require.ErrorIs(t, err, lm.ErrBadToken)
	c := small()
	c.Pack, c.MaxTokens = PackRunOn, 100000
	_, err = Train(ctx, c, deps(t, toy()))
	require.ErrorContains(t, err, "the data fill no block of max_tokens 100000")
	c.MiniBatchSize = 0
	_, err = Train(ctx, c, deps(t, toy()))
	require.ErrorContains(t, err, "mini_batch_size: want at least 1")
}

func TestPlan(t *testing.T) {
	c := small()
	c.MaxSteps, c.Epochs = 0, 2
	d := deps(t, toy())
	p, err := NewPlan(c, d.Train, d.EOS)
	require.NoError(t, err)
	require.Equal(t, int64(6), p.Steps)
	res, err := Train(context.Background(), c, d)
	require.NoError(t, err)
	require.Equal(t, p.Steps, res.Steps)
	require.Equal(t, p.Tokens, res.Tokens)
	require.Equal(t, run.Counts(p.Counts), *res.Counts)
}
