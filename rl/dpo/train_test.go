package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// kindPairs are pairs whose chosen side says something kind.
func kindPairs(n int) (pairs []data.Pair) {
	kind, rude := []string{"i helped her.", "we shared it.", "he thanked me for it."},
		[]string{"go away!", "i hit him, hard!", "no, never!"}
	for i := range n {
		pairs = append(pairs, data.Pair{Prompt: fmt.Sprintf("what about day %d?", i), Chosen: kind[i%3],
			Rejected: rude[i/3%3], Line: i + 1})
	}
	return pairs
}

// thumbs are the answers of pairs, each by itself.
func thumbs(pairs []data.Pair) (out []data.Pair) {
	for _, p := range pairs {
		good, bad := p, p
		good.Rejected, good.Missing = "", data.SideRejected
		bad.Chosen, bad.Missing = "", data.SideChosen
		out = append(out, good, bad)
	}
	return out
}

func toyConfig() Config {
	cfg := Default()
	cfg.Seed, cfg.Optim.LR = 7, 0.02
	cfg.MiniBatchSize, cfg.MicroBatchSize, cfg.MicroBatchTokens = 4, 2, 0
	cfg.Epochs, cfg.EvalEvery, cfg.CheckpointEvery, cfg.EvalPairs = 2, 5, 3, 4
	return cfg
}

func newToy() *traintest.Toy {
	return traintest.New(traintest.Config{Seed: 3, Dropout: 0.1, NoHead: true})
}

func guanaco(t *testing.T) *data.Template {
	t.Helper()
	tpl, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	return tpl
}

// toyDeps are those of a toy on 30 pairs, 10 more held out.
func toyDeps(t *testing.T, cfg Config) Deps {
	t.Helper()
	pairs := kindPairs(40)
	toy := newToy()
	d := Deps{Encoder: NewEncoder(cfg, guanaco(t), traintest.Letters{}), Reference: Reference{Model: toy.Reference()},
		Train: pairs[:30], HeldOut: pairs[30:]}
	d.Learner, d.Progress, d.AdapterOf = toy, &traintest.Recorder{}, toy.Adapter
	return d
}

// trainToy trains a toy in a run folder; change may break it.
func trainToy(t *testing.T, cfg Config, dir string, change func(*Deps)) (run.DPOSummary, error) {
	t.Helper()
	r, err := run.Open(dir, run.Options{Stage: "dpo", Name: "toy", Config: cfg})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	d := toyDeps(t, cfg)
	d.Run, d.Reference.Path = r, r.Path(run.ReferenceFile)
	if change != nil {
		change(&d)
	}
	res, err := Train(context.Background(), cfg, d)
	if err == nil {
		result := &run.DPO{DPOSummary: res} // as the command does
		r.Describe(result.Common())
		err = r.Finish(result)
	}
	return res, err
}

// Every loss learns what is preferred.
func TestEveryLossLearns(t *testing.T) {
	for _, name := range Loss("").Values() {
		t.Run(name, func(t *testing.T) {
			cfg := toyConfig()
			cfg.Loss, cfg.Epochs = Loss(name), 8
			switch cfg.Loss {
			case EXOPair:
				cfg.LabelSmoothing = 0.1
			case IPO, SigmoidNorm:
				cfg.Beta = 0.5
			case Discopop: // at TRL's 0.05 the loss falls towards a margin below 0 first
				cfg.DiscopopTau = 1
			}
			dir := t.TempDir()
			res, err := trainToy(t, cfg, dir, nil)
			require.NoError(t, err)
			least := 0.9
			if cfg.Loss == CPO { // it compares sums, which are lower for the longer answer
				least = 0.75
			}
			require.Greater(t, res.HeldOut.Accuracy.Mean, least, "%+v", res)
			require.Equal(t, 10, res.HeldOut.Accuracy.N)
			require.Less(t, res.LossLast, res.LossFirst)
			require.Positive(t, res.HeldOut.Margin.Mean)
			if cfg.Loss == Sigmoid {
				require.Equal(t, math.Ln2, res.LossFirst, "the policy begins as its reference")
			}
			want := int64(60) // ceil(8 * 30 / 4)
			if cfg.Loss.Unpaired() {
				want = 120 // of each pair two answers
			}
			require.Equal(t, want, res.Steps)
			require.FileExists(t, filepath.Join(dir, run.AdapterFile))
			_, err = os.Stat(filepath.Join(dir, run.ReferenceFile))
			require.Equal(t, cfg.Loss.ReferenceFree(), errors.Is(err, os.ErrNotExist))
			result, err := run.ReadResult(dir)
			require.NoError(t, err)
			require.NoError(t, result.Check())
			require.Equal(t, name, result.(*run.DPO).DPOSummary.Loss)
		})
	}
}

// Metrics have TRL's names.
func TestMetricNames(t *testing.T) {
	cfg := toyConfig()
	cfg.Loss = KTO
	dir := t.TempDir()
	_, err := trainToy(t, cfg, dir, nil)
	require.NoError(t, err)
	records, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	all := map[string]bool{}
	for _, r := range records {
		for name := range r.Values {
			all[name] = true
		}
	}
	for _, name := range []string{"loss", "kl", "rewards/chosen", "rewards/rejected", "rewards/margins",
		"rewards/accuracies", "logps/chosen", "logps/rejected", "grad_norm", "learning_rate", "epoch"} {
		require.True(t, all[name], name)
	}
	for _, name := range []string{"eval_loss", "eval_kl", "eval_rewards/margins", "eval_rewards/accuracies"} {
		require.True(t, all[name], name)
	}
	require.Zero(t, records[0].Values["kl"], "the policy is its reference yet")
	require.Positive(t, records[len(records)-1].Values["rewards/chosen"])
}

// Single answers with a thumb are what KTO learns from; other losses refuse them.
func TestThumbs(t *testing.T) {
	cfg := toyConfig()
	cfg.Loss, cfg.Epochs = KTO, 8
	single := func(d *Deps) { d.Train, d.HeldOut = thumbs(d.Train), thumbs(d.HeldOut) }
	res, err := trainToy(t, cfg, t.TempDir(), single)
	require.NoError(t, err)
	require.Equal(t, 20, res.HeldOut.Accuracy.N)
	require.Greater(t, res.HeldOut.Accuracy.Mean, 0.8)
	require.Equal(t, int64(120), res.Steps)

	cfg.Loss = Sigmoid
	_, err = trainToy(t, cfg, t.TempDir(), single)
	require.ErrorContains(t, err, "train data: : line 1: a single answer with a label, of which loss sigmoid makes "+
		"nothing: set loss to kto, or pair the answers to one prompt (recipe: cross, zip or one)")
}

func weights(t *testing.T, l lm.Learner) string {
	t.Helper()
	s, err := l.State()
	require.NoError(t, err)
	body, err := json.Marshal(s) // the shortest decimal that reads back as the same float32
	require.NoError(t, err)
	return string(body)
}

// The split into passes changes no more than the rounding of sums.
func TestMicroBatchDoesNotMatter(t *testing.T) {
	for _, loss := range []Loss{Sigmoid, KTO, ORPO} {
		cfg := toyConfig()
		cfg.Loss, cfg.LoRA.Dropout = loss, 0.1
		var want string
		for _, b := range []train.Batches{{MicroBatchSize: 4}, {MicroBatchSize: 1}, {MicroBatchTokens: 100}} {
			cfg.MicroBatchSize, cfg.MicroBatchTokens = b.MicroBatchSize, b.MicroBatchTokens
			d := toyDeps(t, cfg)
			_, err := Train(context.Background(), cfg, d)
			require.NoError(t, err)
			got := weights(t, d.Learner)
			if want == "" {
				want = got
			}
			require.Equal(t, want, got, "%s %+v", loss, b)
		}
	}
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

// Interrupted after any step, gracefully or not, a run ends with the same bits.
func TestResumeIsBitExact(t *testing.T) {
	for _, loss := range []Loss{Sigmoid, KTO, SimPO} {
		cfg := toyConfig()
		cfg.Loss, cfg.LoRA.Dropout = loss, 0.1
		straightDir := t.TempDir()
		straight, err := trainToy(t, cfg, straightDir, nil)
		require.NoError(t, err)
		want, err := os.ReadFile(filepath.Join(straightDir, run.AdapterFile))
		require.NoError(t, err)
		for _, stop := range []int64{1, 3, 5, 8, straight.Steps - 1, straight.Steps} {
			for _, graceful := range []bool{true, false} {
				dir := t.TempDir()
				_, err := trainToy(t, cfg, dir, func(d *Deps) {
					d.Stopper = train.NewStopper()
					failing := &breaking{Learner: d.Learner, after: 1 << 60}
					d.Learner = failing
					d.Progress.(*traintest.Recorder).OnStep = func(s train.Status) {
						switch {
						case s.Stage != "dpo" || s.Step != stop:
						case graceful:
							d.Stopper.Request()
						default:
							failing.after = 0
						}
					}
				})
				if graceful {
					require.ErrorIs(t, err, train.ErrInterrupted)
				} else {
					require.ErrorIs(t, err, errBroken)
				}
				again, err := trainToy(t, cfg, dir, func(d *Deps) {
					if d.Reference.Model = nil; !loss.ReferenceFree() { // all is known by now
						d.Reference.Model = &breaking{}
					}
				})
				require.NoError(t, err)
				require.Equal(t, straight, again, "%s stopped after step %d", loss, stop)
				got, err := os.ReadFile(filepath.Join(dir, run.AdapterFile))
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.Equal(t, metrics(t, straightDir), metrics(t, dir))
			}
		}
	}
}

// counting counts the sequences that are asked, and asks for a stop after so many.
type counting struct {
	lm.Evaluator
	sequences, stopAfter int
	stopper              *train.Stopper
}

func (c *counting) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if c.sequences += len(batch); c.stopper != nil && c.sequences >= c.stopAfter {
		c.stopper.Request()
	}
	return c.Evaluator.Forward(ctx, batch, opt)
}

// What the reference policy says is asked once, kept, and asked again where it depends on something else.
func TestReferenceIsAskedOnce(t *testing.T) {
	cfg := toyConfig()
	dir := t.TempDir()
	path := filepath.Join(dir, run.ReferenceFile)
	var c *counting
	ask := func(depends ...string) error {
		d := toyDeps(t, cfg)
		d.Train = kindPairs(90)
		c.Evaluator = d.Reference.Model
		d.Stopper, d.Reference = c.stopper, Reference{Model: c, Path: path, Depends: depends}
		_, err := Train(context.Background(), cfg, d)
		return err
	}
	c = &counting{stopper: train.NewStopper(), stopAfter: 100}
	require.ErrorIs(t, ask("base a"), train.ErrInterrupted)
	require.Equal(t, 128, c.sequences, "a part is ended")
	c = &counting{}
	require.NoError(t, ask("base a"))
	require.Equal(t, 180-128, c.sequences, "what was known is not asked again, held-out pairs are among the others")
	c = &counting{}
	require.NoError(t, ask("base a"))
	require.Zero(t, c.sequences)
	require.NoError(t, ask("base b"))
	require.Equal(t, 180, c.sequences)
	require.NoError(t, os.WriteFile(path, []byte("not a file of records"), 0o666))
	c = &counting{}
	require.NoError(t, ask("base a"), "a damaged file costs time alone")
	require.Equal(t, 180, c.sequences)
}

// A policy that is not its reference at the start is an error, before anything is learned.
func TestRatioGuard(t *testing.T) {
	cfg := toyConfig()
	_, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) {
		d.Reference.Model = traintest.New(traintest.Config{Seed: 4, NoHead: true})
	})
	require.ErrorContains(t, err, "step 1: before anything was learned, an answer of ")
	cfg.RatioTolerance = 0
	_, err = trainToy(t, cfg, t.TempDir(), func(d *Deps) {
		d.Reference.Model = traintest.New(traintest.Config{Seed: 4, NoHead: true})
	})
	require.NoError(t, err)
}

func TestDivergedRunStops(t *testing.T) {
	for _, loss := range []Loss{Sigmoid, KTO, CPO} {
		cfg := toyConfig()
		cfg.Loss = loss
		_, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) { d.Learner.(*traintest.Toy).NaNAtStep = 2 })
		require.ErrorIs(t, err, train.ErrDiverged)
		require.ErrorContains(t, err, "step 2: loss is NaN")
	}
}

// Only the last answer counts, up to its end token.
func TestEncoder(t *testing.T) {
	cfg := toyConfig()
	e := NewEncoder(cfg, guanaco(t), traintest.Letters{})
	said := func(ids []int32) string { return traintest.Letters{}.Decode(ids, true) }
	r, err := e.Conversation([]data.Message{{Role: "user", Content: "a?"}, {Role: "assistant", Content: "b."},
		{Role: "user", Content: "c?"}, {Role: "assistant", Content: "no"}})
	require.NoError(t, err)
	require.Equal(t, "<s>### human: a?### assistant: b.### human: c?### assistant: no</s>", said(r.Tokens))
	require.Equal(t, "<s>### human: a?### assistant: b.### human: c?### assistant:", said(r.prompt()))
	require.Len(t, r.Targets, 4)
	_, err = e.Conversation([]data.Message{{Role: "user", Content: "a?"}})
	require.ErrorContains(t, err, "no answer")

	turn := func(q, a string) []data.Message {
		return []data.Message{{Role: "user", Content: q}, {Role: "assistant", Content: a}}
	}
	long := strings.Repeat("x", 60)
	pairs := []data.Pair{
		{Prompt: "q", Chosen: "good", Rejected: "bad"},
		{Prompt: "q", Chosen: "Same", Rejected: "same"}, // one token a letter, lower case
		{ChosenTurns: turn("q", "good"), RejectedTurns: turn("r", "bad")},
		{Prompt: long, Chosen: "good", Rejected: "bad"},
		{Prompt: "q", Chosen: "good" + long, Rejected: "bad" + long},
		{ChosenIDs: []int32{0, 5, 6, 7}, RejectedIDs: []int32{0, 5, 8}},
	}
	e.maxLength = 50
	items, counts, err := e.Items(pairs)
	require.NoError(t, err)
	require.Equal(t, run.PairCounts{In: 6, Kept: 4, Identical: 1, CutEqual: 1, Truncated: 1, Prompts: 1,
		Tokens: counts.Tokens, Longest: counts.Longest}, counts)
	require.Equal(t, "<s>"+strings.Repeat("x", 29)+"### assistant: good</s>", said(items[2].Chosen.Tokens))
	require.Equal(t, " good</s>", said(items[2].Chosen.Tokens[items[2].Chosen.Targets[0]:]))
	require.Equal(t, []int32{2, 3}, items[3].Chosen.Targets)
	require.Equal(t, []int32{2}, items[3].Rejected.Targets)

	e.overlong = data.OverlongTruncate
	_, counts, err = e.Items(pairs)
	require.NoError(t, err)
	require.Equal(t, 1, counts.NoAnswer, "the prompt alone fills the limit")
	e.overlong = data.OverlongError
	_, _, err = e.Items(pairs)
	require.ErrorIs(t, err, data.ErrOverlong)
	e.overlong = data.OverlongDrop
	_, counts, err = e.Items(pairs)
	require.NoError(t, err)
	require.Equal(t, 2, counts.Dropped)
}

// KTO's answers to the prompts of others: the first prompt with the last answer.
func TestRotated(t *testing.T) {
	rows := []*Row{
		{Tokens: []int32{1, 2, 10, 11}, Targets: []int32{2, 3}},
		{Tokens: []int32{3, 20}, Targets: []int32{1}},
		{Tokens: []int32{4, 5, 6, 30, 31, 32}, Targets: []int32{3, 4, 5}},
	}
	got := rotated(rows, 5)
	require.Equal(t, []int32{1, 2, 30, 31, 32}, got[0].Tokens)
	require.Equal(t, []int32{2, 3, 4}, got[0].Targets)
	require.Equal(t, []int32{3, 10, 11}, got[1].Tokens)
	require.Equal(t, []int32{1, 2}, got[1].Targets)
	require.Equal(t, []int32{4, 5, 6, 20}, got[2].Tokens)
	require.Equal(t, []int32{2, 30, 31, 32}, rotated(rows, 4)[0].Tokens, "too long: cut from the left")
}

// The last step of a run may be left with one answer: it is put behind another's prompt all the same.
func TestOneAnswerIsLeftOver(t *testing.T) {
	cfg := toyConfig()
	cfg.Loss, cfg.Epochs, cfg.MiniBatchSize, cfg.MicroBatchSize = KTO, 1, 59, 1
	d := toyDeps(t, cfg)
	d.Default("dpo")
	tr, err := newTrainer(cfg, d)
	require.NoError(t, err)
	require.NoError(t, tr.refer(context.Background()))
	require.Len(t, tr.strangers, 2)
	require.Len(t, tr.strangers[1], 1)
	own := rowsOf(tr.batch(1))[0]
	require.Equal(t, own.prompt(), tr.strangers[1][0].prompt())
	require.NotEqual(t, own.Tokens, tr.strangers[1][0].Tokens)
}

func TestNothingLeft(t *testing.T) {
	cfg := toyConfig()
	_, err := trainToy(t, cfg, t.TempDir(), func(d *Deps) {
		d.Train = []data.Pair{{Prompt: "q", Chosen: "Same", Rejected: "same"}}
	})
	require.ErrorContains(t, err,
		"no train preference is left of 1: 1 have the same tokens on both sides: there is nothing to prefer")
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"loss: want one of":                    func(c *Config) { c.Loss = "dpoo" },
		"beta: want more than 0":               func(c *Config) { c.Beta = 0 },
		"label_smoothing: want at least 0":     func(c *Config) { c.LabelSmoothing = 0.5 },
		"exo_pair wants more than 0":           func(c *Config) { c.Loss = EXOPair },
		"label_smoothing: loss hinge does not": func(c *Config) { c.Loss, c.LabelSmoothing = Hinge, 0.1 },
		"f_divergence_type: loss kto does not": func(c *Config) { c.Loss, c.Divergence = KTO, JS },
		"ld_alpha: loss ipo does not read it":  func(c *Config) { c.Loss, c.LDAlpha = IPO, 0.5 },
		"desirable_weight: loss sigmoid does":  func(c *Config) { c.DesirableWeight = 2 },
		"kto wants at least 2": func(c *Config) {
			c.Loss, c.MiniBatchSize, c.MicroBatchSize = KTO, 1, 1
		},
		"rpo_alpha: loss kto has no chosen": func(c *Config) {
			x := 1.0
			c.Loss, c.RPOAlpha = KTO, &x
		},
		"simpo_gamma: loss cpo does not read it, only [simpo] do": func(c *Config) { c.Loss, c.SimPOGamma = CPO, 1 },
		"discopop_tau: loss sigmoid":                              func(c *Config) { c.DiscopopTau = 1 },
		"f_alpha_divergence_coef: f_divergence_type reverse_kl":   func(c *Config) { c.AlphaCoef = 2 },
		"epochs or max_steps":                                     func(c *Config) { c.Epochs = 0 },
	} {
		cfg := toyConfig()
		change(&cfg)
		require.ErrorContains(t, cfg.Validate(), name)
	}
}

func TestPresetsSurviveYAML(t *testing.T) {
	for _, p := range []Preset{"", PresetTRL} {
		cfg, err := New(p)
		require.NoError(t, err)
		require.NoError(t, cfg.Validate())
		raw, err := conf.Marshal(cfg)
		require.NoError(t, err)
		var back Config
		require.NoError(t, conf.Parse("preset.yaml", raw, &back))
		require.Equal(t, cfg, back)
	}
	_, err := New("thesis")
	require.ErrorContains(t, err, `dpo: preset "thesis": want one of [default trl-dpo]`)
}
