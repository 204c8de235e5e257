package rewards

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// kindPairs writes pairs whose chosen side says something kind.
func kindPairs(t *testing.T, n int) string {
	t.Helper()
	kind, rude := []string{"i helped her.", "we shared it.", "he thanked me."},
		[]string{"go away!", "i hit him!", "no, never!"}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"prompt":"what about day %d?","chosen":%q,"rejected":%q}`+"\n", i, kind[i%3], rude[i/3%3])
	}
	return write(t, "pairs.jsonl", b.String())
}

func toyConfig(path string) Config {
	cfg := Default()
	cfg.Theory, cfg.Train.Path, cfg.Seed = Custom, path, 7
	cfg.HeldOutShare, cfg.Template = 0.25, data.TemplateGuanaco
	cfg.Optim.LR, cfg.LoRA.Dropout = 0.02, 0.1
	cfg.MiniBatchSize, cfg.MicroBatchSize, cfg.MicroBatchTokens = 4, 2, 0
	cfg.Epochs, cfg.EvalEvery, cfg.CheckpointEvery, cfg.EvalPairs = 2, 5, 3, 4
	return cfg
}

func newToy() *traintest.Toy { return traintest.New(traintest.Config{Seed: 3, Dropout: 0.1}) }

// trainToy trains a toy in a run folder; change may break it.
func trainToy(t *testing.T, cfg Config, dir string, change func(*Deps)) (run.Reward, error) {
	t.Helper()
	require.NoError(t, cfg.Validate())
	set, err := Load(cfg)
	require.NoError(t, err)
	r, err := run.Open(dir, run.Options{Stage: "reward", Name: "toy", Config: cfg})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	toy := newToy()
	deps := Deps{Tokenizer: traintest.Letters{}}
	deps.Learner, deps.Run, deps.Progress, deps.AdapterOf = toy, r, &traintest.Recorder{}, toy.Adapter
	if change != nil {
		change(&deps)
	}
	res, err := Train(context.Background(), cfg, set, deps)
	if err == nil {
		err = r.Finish(&res) // as the command does
	}
	return res, err
}

func TestTrainLearnsAndNormalises(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 60))
	cfg.Epochs = 8
	dir := t.TempDir()
	var toy *traintest.Toy
	res, err := trainToy(t, cfg, dir, func(d *Deps) { toy = d.Learner.(*traintest.Toy) })
	require.NoError(t, err)
	require.Equal(t, 15, res.Accuracy.N)
	require.Greater(t, res.Accuracy.Mean, 0.9)
	require.Greater(t, *res.Accuracy.Lo, 0.5)
	require.InDelta(t, math.Ln2, res.LossFirst, 1e-9, "the toy's head starts at 0")
	require.Less(t, res.Loss, res.LossFirst-0.05)
	require.Equal(t, int64(90), res.Steps) // ceil(8 * 45 / 4)
	require.Empty(t, res.Warnings)
	require.Equal(t, string(Custom), res.Theory)

	// The stored head gives the reference answers mean 0 and deviation 1.
	a, err := adapter.Load(filepath.Join(dir, run.AdapterFile))
	require.NoError(t, err)
	require.Equal(t, "custom", a.Meta[MetaTheory])
	require.Equal(t, "guanaco", a.Meta[MetaTemplate])
	require.Equal(t, float32(res.Normalisation.Mean), a.Head.Mean)
	back, err := EncoderOf(a.Meta, traintest.Letters{})
	require.NoError(t, err)
	require.Equal(t, FormChat, back.Form())
	want, err := back.Conversation([]data.Message{{Role: "user", Content: "why?"}, {Role: "assistant", Content: "no"}})
	require.NoError(t, err)
	require.Equal(t, "<s>### human: why?### assistant: no</s>", traintest.Letters{}.Decode(want, true))
	for _, key := range []string{MetaRole, MetaForm, MetaEOS, MetaMaxLength} {
		broken := a.Clone()
		broken.Meta[key] = "?"
		_, err = EncoderOf(broken.Meta, traintest.Letters{})
		require.ErrorContains(t, err, key)
	}
	set, err := Load(cfg)
	require.NoError(t, err)
	enc, err := NewEncoder(cfg, traintest.Letters{})
	require.NoError(t, err)
	held, _, err := enc.Pairs(set.HeldOut.Pairs)
	require.NoError(t, err)
	var refs [][]int32
	for _, p := range held {
		refs = append(refs, p.Chosen, p.Rejected)
	}
	s, err := NewScorer(toy, a.Head, 500)
	require.NoError(t, err)
	scores, err := s.Score(context.Background(), refs)
	require.NoError(t, err)
	d := DistributionOf(scores, 0, 0)
	require.InDelta(t, 0, d.Mean, 1e-6)
	require.InDelta(t, 1, d.Std, 1e-6)
	raw, err := s.Raw(context.Background(), refs)
	require.NoError(t, err)
	require.InDelta(t, float64(a.Head.Normalise(raw[0])), float64(scores[0]), 1e-6)

	var stored run.Reward
	body, err := os.ReadFile(filepath.Join(dir, run.ResultFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(body, &stored))
	require.Equal(t, "reward", stored.Stage)
	require.Equal(t, res.Accuracy, stored.Accuracy)
	require.Equal(t, res.TrainPairs.SHA256, stored.TrainPairs.SHA256)

	records, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	require.Len(t, records, 90)
}

// finalState trains and gives the last weights and moments, as text.
func finalState(t *testing.T, cfg Config, dir string, change func(*Deps)) string {
	t.Helper()
	var learner lm.Learner
	_, err := trainToy(t, cfg, dir, func(d *Deps) {
		if change != nil {
			change(d)
		}
		learner = d.Learner
	})
	require.NoError(t, err)
	s, err := learner.State()
	require.NoError(t, err)
	// JSON prints the shortest decimal that reads back as the same float32.
	body, err := json.Marshal(s)
	require.NoError(t, err)
	return string(body)
}

// Interrupted after any step, gracefully or not, a run ends with the same bits.
func TestResumeIsBitExact(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 40))
	straightDir := t.TempDir()
	straight := finalState(t, cfg, straightDir, nil)
	want, err := os.ReadFile(filepath.Join(straightDir, run.AdapterFile))
	require.NoError(t, err)
	wantMetrics := metrics(t, straightDir)
	wantResult, err := os.ReadFile(filepath.Join(straightDir, run.ResultFile))
	require.NoError(t, err)
	for _, stop := range []int64{1, 3, 5, 8, 14, 15} {
		for _, graceful := range []bool{true, false} {
			dir := t.TempDir()
			_, err := trainToy(t, cfg, dir, func(d *Deps) {
				d.Stopper = train.NewStopper()
				stopper := d.Stopper
				failing := &breaking{Learner: d.Learner, after: 1 << 60}
				d.Learner = failing
				d.Progress.(*traintest.Recorder).OnStep = func(s train.Status) {
					if s.Step == stop {
						if graceful {
							stopper.Request()
						} else {
							failing.after = 0
						}
					}
				}
			})
			if graceful {
				require.ErrorIs(t, err, train.ErrInterrupted)
			} else {
				require.ErrorIs(t, err, errBroken)
			}
			require.Equal(t, straight, finalState(t, cfg, dir, nil), "stopped after step %d", stop)
			got, err := os.ReadFile(filepath.Join(dir, run.AdapterFile))
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, wantMetrics, metrics(t, dir))
			result, err := os.ReadFile(filepath.Join(dir, run.ResultFile))
			require.NoError(t, err)
			require.Equal(t, string(wantResult), string(result))
		}
	}
}

// stopping asks for a stop when the n-th forward pass without a gradient is asked for.
type stopping struct {
	lm.Learner
	stopper *train.Stopper
	n       int
	reads   int
}

func (s *stopping) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if !opt.Gradient {
		if s.reads++; s.reads == s.n {
			s.stopper.Request()
		}
	}
	return s.Learner.Forward(ctx, batch, opt)
}

// Interrupted in the middle of a look at held-out pairs, a run ends with the same bits, and its
// metrics hold what that look found, once.
func TestInterruptedWhileMeasuringResumesWithTheMeasurement(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 800)) // several parts a look
	cfg.MaxSteps, cfg.Epochs, cfg.EvalEvery, cfg.EvalPairs, cfg.CheckpointEvery = 12, 0, 3, 0, 5
	straightDir := t.TempDir()
	counted := &stopping{stopper: train.NewStopper()}
	straight := finalState(t, cfg, straightDir, func(d *Deps) { counted.Learner, d.Learner = d.Learner, counted })
	want := metrics(t, straightDir)
	require.Len(t, want, 12)
	for i, line := range want {
		require.Equal(t, (i+1)%3 == 0 && i < 11, strings.Contains(line, "eval_loss"), line)
	}
	require.Greater(t, counted.reads, 8, "each look is made in parts")
	interrupted := 0
	for n := 1; n <= counted.reads; n += max(1, counted.reads/9) {
		dir := t.TempDir()
		_, err := trainToy(t, cfg, dir, func(d *Deps) {
			d.Stopper = train.NewStopper()
			d.Learner = &stopping{Learner: d.Learner, stopper: d.Stopper, n: n}
		})
		if err != nil {
			require.ErrorIs(t, err, train.ErrInterrupted)
			interrupted++
		}
		require.Equal(t, straight, finalState(t, cfg, dir, nil), "stopped at reading %d", n)
		require.Equal(t, want, metrics(t, dir), "stopped at reading %d", n)
	}
	require.Greater(t, interrupted, 4)
}

// What is read of held-out pairs is announced and forecast, the last look at all of them included.
func TestTheLastPassIsAnnouncedAndInTheForecast(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 40))
	cfg.MaxSteps, cfg.Epochs, cfg.EvalEvery, cfg.EvalPairs = 10, 0, 4, 5
	set, err := Load(cfg)
	require.NoError(t, err)
	tr, err := newTrainer(cfg, set, Deps{Deps: train.Deps{Learner: newToy()}, Tokenizer: traintest.Letters{}})
	require.NoError(t, err)
	all := int64(len(tr.heldOut))
	require.Greater(t, all, int64(5))
	for done, looks := range map[int64]int64{0: 2, 3: 2, 4: 1, 7: 1, 8: 0, 9: 0, 10: 0} {
		require.Equal(t, all+5*looks, tr.Unmeasured(done), "after step %d", done)
	}
	dir := t.TempDir()
	rec := &traintest.Recorder{}
	_, err = trainToy(t, cfg, dir, func(d *Deps) { d.Progress = rec })
	require.NoError(t, err)
	require.Contains(t, strings.Join(rec.Notes, "\n"), fmt.Sprintf("scoring all %d held-out pairs", all))
	require.Positive(t, rec.Steps[len(rec.Steps)-1].ETA, "after the last step the pass is still to come")
}

// metrics of a run without those that measure time.
func metrics(t *testing.T, dir string) []string {
	t.Helper()
	records, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	var out []string
	for _, r := range records {
		delete(r.Values, "tokens_per_second")
		delete(r.Values, "seconds")
		out = append(out, fmt.Sprint(r.Step, r.Values))
	}
	return out
}

var errBroken = fmt.Errorf("the machine went away")

// breaking fails after so many more forward passes.
type breaking struct {
	lm.Learner
	after int64
}

func (b *breaking) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if b.after--; b.after < 0 {
		return nil, errBroken
	}
	return b.Learner.Forward(ctx, batch, opt)
}

// However the mini-batch is cut, the same sums are taken in the same order.
func TestMicroBatchDoesNotMatter(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 40))
	want := finalState(t, cfg, t.TempDir(), nil)
	for _, micro := range []int{1, 4} {
		cfg.MicroBatchSize, cfg.MicroBatchTokens = micro, 0
		require.Equal(t, want, finalState(t, cfg, t.TempDir(), nil))
	}
	cfg.MicroBatchSize, cfg.MicroBatchTokens = 0, 150
	require.Equal(t, want, finalState(t, cfg, t.TempDir(), nil))
}

// recording remembers the sequences of training passes.
type recording struct {
	lm.Learner
	seen [][]int32
}

func (r *recording) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if opt.Gradient {
		for _, s := range batch {
			r.seen = append(r.seen, s.Tokens)
		}
	}
	return r.Learner.Forward(ctx, batch, opt)
}

// spying keeps the scores and the gradient of the first update.
type spying struct {
	recording
	heads, grads []float32
	updates      int
}

func (s *spying) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	out, err := s.recording.Forward(ctx, batch, opt)
	if opt.Gradient && s.updates == 0 && err == nil {
		for _, h := range out.Heads {
			s.heads = append(s.heads, h...)
		}
	}
	return out, err
}

func (s *spying) Backward(g lm.Gradient) error {
	if s.updates == 0 {
		for _, h := range g.Heads {
			s.grads = append(s.grads, h...)
		}
	}
	return s.Learner.Backward(g)
}

func (s *spying) Update(u lm.Update) (float64, error) {
	s.updates++
	return s.Learner.Update(u)
}

// The gradient given to the engine is that of the mean loss over the mini-batch,
// whatever the micro-batches.
func TestGradientIsThatOfTheMean(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 40))
	cfg.Margin, cfg.Centre, cfg.MaxSteps = 0.3, 0.05, 1
	s := &spying{}
	res, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) {
		d.Learner.(*traintest.Toy).SetHead(HeadScaled.Weights(8, 1), 0)
		s.Learner = d.Learner
		d.Learner = s
	})
	require.NoError(t, err)
	require.Len(t, s.heads, 8)
	mean := func(x []float64) float64 {
		sum := 0.0
		for i := 0; i < len(x); i += 2 {
			loss, _, _ := PairLoss(x[i], x[i+1], 0.3, 0.05)
			sum += loss
		}
		return sum / 4
	}
	x := make([]float64, 8)
	for i, h := range s.heads {
		x[i] = float64(h)
	}
	require.InDelta(t, mean(x), res.LossFirst, 1e-12)
	const h = 1e-5
	for i := range x {
		at := x[i]
		x[i] = at + h
		up := mean(x)
		x[i] = at - h
		down := mean(x)
		x[i] = at
		require.InDelta(t, (up-down)/(2*h), float64(s.grads[i]), 1e-7)
	}
}

func TestPreTokenisedInOrder(t *testing.T) {
	var b strings.Builder
	for i := 2; i < 10; i++ {
		fmt.Fprintf(&b, `{"chosen_ids":[3,%d],"rejected_ids":[4,%d,5]}`+"\n", i, i)
	}
	cfg := toyConfig(write(t, "ids.jsonl", b.String()))
	cfg.HeldOut.Path = cfg.Train.Path
	cfg.NoShuffle, cfg.MaxSteps = true, 3
	rec := &recording{}
	res, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) { rec.Learner = d.Learner; d.Learner = rec })
	require.NoError(t, err)
	require.Equal(t, [][]int32{{3, 2}, {4, 2, 5}, {3, 3}, {4, 3, 5}}, rec.seen[:4])
	require.Equal(t, rec.seen[:8], rec.seen[16:24], "the third step is the second epoch's first")
	require.Equal(t, 8, res.Overlap.WholePair)
	require.Nil(t, res.Clean)

	cfg.Train.Path = write(t, "bad.jsonl", `{"chosen_ids":[3,9999],"rejected_ids":[4]}`)
	cfg.HeldOut.Path = cfg.Train.Path
	_, err = trainToy(t, cfg, t.TempDir(), nil)
	require.ErrorIs(t, err, lm.ErrBadToken)
}

// deaf gives every sequence the same score.
type deaf struct {
	lm.Learner
	score float32
}

func (d deaf) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	out, err := d.Learner.Forward(ctx, batch, opt)
	if err == nil {
		for i := range out.Heads {
			out.Heads[i][0] = d.score
		}
	}
	return out, err
}

func TestIdenticalScoresAreAnError(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 40))
	_, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) { d.Learner = deaf{d.Learner, 0.25} })
	require.ErrorIs(t, err, ErrIdentical)
	require.ErrorContains(t, err, "step 3")
	require.ErrorContains(t, err, "do not depend on the text")

	_, err = trainToy(t, cfg, t.TempDir(), func(d *Deps) { d.Learner = deaf{d.Learner, float32(math.NaN())} })
	require.ErrorIs(t, err, train.ErrDiverged)
}

// Pairs that contradict each other cannot be learned: that is said.
func TestStuckLossIsWarnedOf(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, `{"chosen":"a%d","rejected":"b%d"}`+"\n"+`{"chosen":"b%d","rejected":"a%d"}`+"\n", i, i, i, i)
	}
	cfg := toyConfig(write(t, "pairs.jsonl", b.String()))
	cfg.HeldOut.Path = cfg.Train.Path
	cfg.NoShuffle, cfg.MaxSteps, cfg.StuckAfter, cfg.EvalEvery, cfg.CheckpointEvery = true, 60, 55, 0, 0
	res, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) {
		d.Learner.(*traintest.Toy).SetHead(HeadScaled.Weights(8, 1), 0)
	})
	require.NoError(t, err)
	require.Len(t, res.Warnings, 2)
	require.Contains(t, res.Warnings[0], "step 55: the loss has stayed at chance")
	require.Contains(t, res.Warnings[1], "not clearly above chance")
}

func TestReferences(t *testing.T) {
	cfg := toyConfig(kindPairs(t, 24))
	refs := [][]int32{{5, 6, 7}, {8, 9}, {10, 11, 12, 13}}
	var toy *traintest.Toy
	res, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) { d.References = refs; toy = d.Learner.(*traintest.Toy) })
	require.NoError(t, err)
	require.Equal(t, 3, res.Normalisation.References)
	s := Scorer{Model: toy, Mean: float32(res.Normalisation.Mean), Std: float32(res.Normalisation.Std)}
	scores, err := s.Score(context.Background(), refs)
	require.NoError(t, err)
	d := DistributionOf(scores, 0, 0)
	require.InDelta(t, 0, d.Mean, 1e-6)
	require.InDelta(t, 1, d.Std, 1e-6)

	_, err = s.Score(context.Background(), [][]int32{{}})
	require.ErrorContains(t, err, "no token to read a score at")
	_, err = NewScorer(toy, nil, 0)
	require.ErrorContains(t, err, "not a reward model")
	_, err = (&Scorer{Model: deaf{toy, float32(math.Inf(1))}}).Score(context.Background(), refs)
	require.ErrorContains(t, err, "diverged")
}

func TestEncoder(t *testing.T) {
	cfg := toyConfig("x")
	enc, err := NewEncoder(cfg, traintest.Letters{})
	require.NoError(t, err)
	pair := data.Pair{Prompt: "why?", Chosen: "because.", Rejected: "no"}
	chosen, rejected, err := enc.sides(pair)
	require.NoError(t, err)
	require.Equal(t, "<s>### human: why?### assistant: because.</s>", traintest.Letters{}.Decode(chosen, true))
	require.Equal(t, "<s>### human: why?### assistant: no</s>", traintest.Letters{}.Decode(rejected, true))

	cfg.Form, cfg.EOS = FormPlain, false
	plain, err := NewEncoder(cfg, traintest.Letters{})
	require.NoError(t, err)
	chosen, _, err = plain.sides(pair)
	require.NoError(t, err)
	require.Equal(t, "<s>why?because.", traintest.Letters{}.Decode(chosen, true))

	cfg.MaxLength = 10
	for policy, want := range map[data.Overlong]run.PairCounts{
		data.OverlongDrop:         {In: 3, Kept: 1, Dropped: 2, Tokens: 15, Longest: 13},
		data.OverlongTruncateLeft: {In: 3, Kept: 2, Truncated: 1, CutEqual: 1, Tokens: 32, Longest: 13},
	} {
		cfg.Overlong = policy
		enc, err := NewEncoder(cfg, traintest.Letters{})
		require.NoError(t, err)
		pairs, counts, err := enc.Pairs([]data.Pair{pair, {Chosen: "aaaaaaa", Rejected: "bbbbbb"},
			{Prompt: "p", Chosen: "xyyyyyyyyyy", Rejected: "zyyyyyyyyyy"}})
		require.NoError(t, err)
		require.Equal(t, want, counts)
		require.Contains(t, counts.String(), "of 3 pairs kept")
		if policy == data.OverlongTruncateLeft {
			require.Equal(t, "<s>?because.", traintest.Letters{}.Decode(pairs[0].Chosen, true))
			require.Equal(t, "<s>why?no", traintest.Letters{}.Decode(pairs[0].Rejected, true))
		}
	}
	cfg.Overlong = data.OverlongError
	enc, err = NewEncoder(cfg, traintest.Letters{})
	require.NoError(t, err)
	_, _, err = enc.Pairs([]data.Pair{{Chosen: "aaaaaaaaaaaaaaaa", Rejected: "b", Source: "f", Line: 3}})
	require.ErrorIs(t, err, data.ErrOverlong)
	require.ErrorContains(t, err, "f: line 3")
}

func TestPresetsSurviveYAML(t *testing.T) {
	for _, p := range train.Preset("").Values() {
		c, err := New(train.Preset(p))
		require.NoError(t, err)
		c.Theory = Virtue
		text, err := conf.Marshal(c)
		require.NoError(t, err)
		var back Config
		require.NoError(t, conf.Parse("reward.yaml", text, &back))
		require.Equal(t, c, back)
	}
}

// The published values: stack_llama's reward_modeling.py as the thesis ran it.
func TestThesisPreset(t *testing.T) {
	c := Thesis()
	require.Equal(t, train.LoRA{Rank: 8, Alpha: 32, Dropout: 0.1, Targets: []string{"attn_q", "attn_v"}}, c.LoRA)
	require.Equal(t, 2e-5, c.Optim.LR)
	require.Equal(t, train.Linear, c.Optim.Schedule)
	require.Zero(t, c.Optim.WarmupSteps)
	require.Equal(t, 0.001, c.Optim.WeightDecay)
	require.Equal(t, FormPlain, c.Form)
	require.Equal(t, data.OverlongDrop, c.Overlong)
	require.Equal(t, 512, c.MaxLength)
	require.Equal(t, 8, c.MiniBatchSize)
	require.Equal(t, int64(1), c.Epochs)
	require.False(t, c.Normalise || c.EOS)
}
