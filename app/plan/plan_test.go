package plan

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/app/workspace/workspacetest"
	"steer/demo"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rewards"
	"steer/rl/sft"
	"steer/rl/train"
)

// demoSFT is a small job on the built-in model and data, resolved.
func demoSFT(t testing.TB) (*jobs.SFT, demo.Paths) {
	t.Helper()
	assets, err := demo.Extract(t.TempDir())
	require.NoError(t, err)
	j, err := jobs.NewSFT(train.PresetDefault)
	require.NoError(t, err)
	j.Model, j.Template = assets.Model, "guanaco"
	j.Engine.Threads = 1
	j.Train.Path, j.Train.Limit = assets.Guanaco.Train, 40
	j.Eval.Path, j.Eval.Limit = assets.Guanaco.Test, 5
	j.LoRA.Rank, j.Pack, j.MaxTokens = 4, sft.PackNone, 96
	j.MiniBatchSize, j.MicroBatchSize, j.MicroBatchTokens = 8, 0, 256
	j.MaxSteps, j.Epochs = 7, 1
	require.NoError(t, j.Resolve("", nil))
	return &j, assets
}

// A rehearsal makes the very batches of the stage: its tokens are those that the
// trainer's own arithmetic gives, and it leaves nothing open.
func TestRehearsalCountsWhatTheStageDoes(t *testing.T) {
	j, _ := demoSFT(t)
	w := workspacetest.Open(t, j.Base)
	examples, _, err := j.Examples(w, j.Train, "train")
	require.NoError(t, err)
	want, err := sft.NewPlan(j.Config, examples, w.Tok.EOS())
	require.NoError(t, err)

	alive := ggml.Alive()
	planner := NewPlanner(w)
	p, err := planner.Plan(context.Background(), j, "sft")
	require.NoError(t, err)
	require.Equal(t, alive, ggml.Alive())
	require.Equal(t, want.Tokens, p.Tokens.Train)
	require.Equal(t, want.Steps, p.Tokens.Updates)
	require.Greater(t, p.Tokens.Score, int64(0), "held-out examples, before and after")
	require.LessOrEqual(t, p.LargestBatch, j.MicroBatchTokens)
	require.LessOrEqual(t, p.Longest, j.MaxTokens)
	require.Greater(t, p.OtherPeak, p.Peak)

	again, err := planner.Plan(context.Background(), j, "sft")
	require.NoError(t, err)
	for _, buffer := range []string{BufferWeights, BufferProgram, BufferParams, BufferActivations} {
		require.Equal(t, p.Bytes(buffer), again.Bytes(buffer), buffer)
	}
}

// Settings that are suggested fit, and change nothing else.
// What a reward model's job reads after its last step is in its plan.
func TestRehearsalCountsTheLastPass(t *testing.T) {
	assets, err := demo.Extract(t.TempDir())
	require.NoError(t, err)
	score := map[int]int64{}
	for _, limit := range []int{10, 40} {
		t.Run(fmt.Sprintf("%d pairs", limit), func(t *testing.T) { // a workspace of its own
			j, err := jobs.NewReward(train.PresetDefault)
			require.NoError(t, err)
			j.Model, j.Theory, j.Engine.Threads = assets.Model, rewards.Deontology, 1
			j.Train.Path, j.HeldOut.Path, j.HeldOut.Limit = assets.Deontology.Train, assets.Deontology.Test, limit
			j.MaxSteps, j.EvalEvery = 2, 0
			require.NoError(t, j.Resolve("", nil))
			p, err := NewPlanner(workspacetest.Open(t, j.Base)).Plan(context.Background(), &j, "reward")
			require.NoError(t, err)
			score[limit] = p.Tokens.Score
		})
	}
	require.Positive(t, score[10])
	require.Greater(t, score[40], 2*score[10])
}

func TestSuggestionsFit(t *testing.T) {
	j, _ := demoSFT(t)
	j.MicroBatchTokens, j.Engine.KeepActivations = 8192, true
	w := workspacetest.Open(t, j.Base)
	planner := NewPlanner(w)
	p, err := planner.Plan(context.Background(), j, "sft")
	require.NoError(t, err)
	limit := p.Peak - p.Bytes(BufferActivations)*9/10
	require.NoError(t, planner.judge(context.Background(), j, p, limit, 0))
	require.False(t, p.Fits)
	require.NotNil(t, p.Suggestion)
	require.LessOrEqual(t, p.Suggestion.Peak, limit)
	require.Equal(t, "engine.keep_activations=false", p.Suggestion.Settings[0].String())
	require.ErrorIs(t, p.Refusal(), ErrDoesNotFit)
	require.Equal(t, 8192, j.MicroBatchTokens, "the job itself is as it was")
	require.True(t, j.Engine.KeepActivations)

	// What fits with room to spare may go faster; what cannot fit gets no suggestion.
	j.Engine.KeepActivations = false
	p, err = planner.Plan(context.Background(), j, "sft")
	require.NoError(t, err)
	require.NoError(t, planner.judge(context.Background(), j, p, p.OtherPeak, 0))
	require.Equal(t, []Setting{{"engine.keep_activations", true}}, p.Suggestion.Settings)
	require.NoError(t, planner.judge(context.Background(), j, p, 1000, 0))
	require.Nil(t, p.Suggestion)
	require.NoError(t, planner.judge(context.Background(), j, p, 0, 0))
	require.True(t, p.Fits, "nothing is known to be too much")
}

func TestShrinkKeepsDivisors(t *testing.T) {
	j, err := jobs.NewPPO(train.PresetDefault)
	require.NoError(t, err)
	j.MicroBatchSize, j.ScoreBatchTokens, j.Engine.Sequences = 12, 100, 3
	var sizes []int
	for job := jobs.Job(&j); shrink(job); {
		sizes = append(sizes, j.MicroBatchSize)
		require.Zero(t, 12%j.MicroBatchSize)
	}
	require.Equal(t, []int{6, 3, 1}, slices.Compact(sizes)[:3])
	require.Equal(t, 1, j.ScoreBatchTokens)
	require.Equal(t, 1, j.Engine.Sequences)
}

// A response that is made up has the length asked for and no end token in it.
func TestRehearsedResponses(t *testing.T) {
	r := &rehearsal{stops: func() []int32 { return []int32{9} }}
	g := &rehearsedGenerator{r: r, sequences: 2}
	out, err := g.Generate(context.Background(), []lm.Request{
		{Prompt: []int32{1, 9, 2}, MaxNew: 5}, {Prompt: []int32{9}, MaxNew: 2},
		{Prompt: []int32{3, 4}, MaxNew: 0, StopTokens: []int32{3}},
	}, lm.Sampling{})
	require.NoError(t, err)
	require.Equal(t, []int32{1, 2, 1, 2, 1}, out[0].Tokens)
	require.Len(t, out[1].Tokens, 2)
	require.NotContains(t, out[1].Tokens, int32(9))
	require.Empty(t, out[2].Tokens)
	require.Equal(t, Tokens{Prompt: 6, Generated: 7}, r.tokens)
	require.Equal(t, 2, r.most[0].opt.Sequences)
	require.Equal(t, 8, r.most[0].opt.Context)

	twice := lm.Request{Prompt: []int32{1, 2, 3}, MaxNew: 6}
	out, err = g.Generate(context.Background(), []lm.Request{twice, twice}, lm.Sampling{})
	require.NoError(t, err)
	require.NotEqual(t, out[0].Tokens[0], out[1].Tokens[0], "answers to one prompt share the prompt and no more")
	require.EqualValues(t, 6+3, r.tokens.Prompt, "read once")
}

// A prompt of several requests is read once; what is read at once is that of as many requests as there are sequences.
func TestPromptsReadAtOnce(t *testing.T) {
	var reqs []lm.Request
	for i, n := range []int{5, 5, 5, 30, 30, 7, 2, 2} { // a number for each prompt
		reqs = append(reqs, lm.Request{Prompt: slices.Repeat([]int32{int32(n)}, n), MaxNew: 1 + i})
	}
	for _, c := range []struct {
		sequences   int
		aligned     bool
		all, atOnce int
	}{
		{1, false, 44, 30}, {2, false, 44, 30}, {3, false, 44, 37}, {4, false, 44, 39}, {8, false, 44, 44},
		{1, true, 44, 30}, {4, true, 44, 90}, {8, true, 44, 120},
	} {
		all, atOnce := reading(reqs, c.sequences, c.aligned)
		require.Equal(t, c.all, all)
		require.Equal(t, c.atOnce, atOnce, "%+v", c)
	}
	all, atOnce := reading(nil, 3, false)
	require.Zero(t, all+atOnce)
}

// What an evaluation's sequences share counts once, as it is laid out.
func TestRecordedTokensAreThoseLaidOut(t *testing.T) {
	batch := []lm.Sequence{{Tokens: []int32{1, 2, 3, 4}, Targets: []int32{3}},
		{Tokens: []int32{1, 2, 5, 6}, Targets: []int32{3}}}
	require.Equal(t, 4, record(batch, lm.Options{}).tokens)
	require.Equal(t, 8, record(batch, lm.Options{Gradient: true}).tokens)
}

// Only passes that are smaller than a known one in everything are forgotten.
func TestLargestPassesAreKept(t *testing.T) {
	s := &rehearsedStep{r: &rehearsal{}}
	sequence := func(tokens, targets int) []lm.Sequence {
		q := lm.Sequence{Tokens: make([]int32, tokens)}
		for i := range targets {
			q.Targets = append(q.Targets, int32(i+1))
		}
		return []lm.Sequence{q}
	}
	for _, n := range [][2]int{{10, 5}, {20, 4}, {9, 4}, {20, 5}, {30, 1}} {
		s.keep(record(sequence(n[0], n[1]), lm.Options{Gradient: true}))
	}
	s.keep(record(sequence(5, 4), lm.Options{})) // the token of the last target is not computed
	var kept [][2]int
	for _, p := range s.passes {
		kept = append(kept, [2]int{p.tokens, p.nTargets})
	}
	require.Equal(t, [][2]int{{20, 5}, {30, 1}, {4, 4}}, kept)
}

func TestRatesToSeconds(t *testing.T) {
	r := Rates{Train: 100, Score: 200, Generated: 10}
	seconds, ok := r.Seconds(Tokens{Train: 1000, Score: 1000, Generated: 50})
	require.True(t, ok)
	require.InDelta(t, 20, seconds, 1e-9)
	_, ok = r.Seconds(Tokens{Prompt: 1})
	require.False(t, ok, "without a rate there is no time")
	_, ok = Rates{}.Seconds(Tokens{})
	require.True(t, ok)
}

// Adapters that earlier stages have not written are taken as configured; those that are
// there are read.
func TestExpectedAdapters(t *testing.T) {
	j, _ := demoSFT(t)
	w := workspacetest.Open(t, j.Base)
	dir := t.TempDir()
	there, missing := filepath.Join(dir, "there.gguf"), filepath.Join(dir, "missing.gguf")
	a, err := adapter.New(w.Model.Shape(), []string{"attn_q"}, 2, 4, false, 1)
	require.NoError(t, err)
	require.NoError(t, a.Save(there))
	expect(w, map[string]jobs.Maker{there: j, missing: j})
	read, err := w.ReadAdapter(there)
	require.NoError(t, err)
	require.Equal(t, 2, read.Pairs[0].Rank)
	read, err = w.ReadAdapter(missing)
	require.NoError(t, err)
	require.Equal(t, 4, read.Pairs[0].Rank)
}
