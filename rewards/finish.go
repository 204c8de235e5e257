package rewards

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"steer/rl/data"
	"steer/rl/run"
)

// finish evaluates on all held-out pairs, normalises, and writes adapter and result.
func (t *trainer) finish(ctx context.Context) error {
	// 9. Held-out pair accuracy and the distribution of scores.
	t.deps.Note("scoring all %d held-out pairs", len(t.heldOut))
	chosen, rejected, err := t.scores(ctx, t.heldOut)
	if err != nil {
		return err
	}
	accuracy := t.measure(chosen, rejected)
	t.deps.Note("held out: %s", accuracy)
	if accuracy.Lo <= 0.5 {
		t.warn(fmt.Sprintf("held-out pair accuracy %.3f is not clearly above chance (95 %% interval %.3f to %.3f)",
			accuracy.Accuracy, accuracy.Lo, accuracy.Hi))
	}

	// 10. Mean 0 and standard deviation 1 on the reference answers.
	if t.cfg.Normalise {
		if err := t.normalise(ctx, chosen, rejected); err != nil {
			return err
		}
	}

	// 11. The adapter with its head. The caller writes the result.
	t.fill()
	if t.deps.AdapterOf != nil {
		if err := t.makeAdapter(); err != nil {
			return err
		}
	}
	if t.deps.Run == nil || t.made == nil {
		return nil
	}
	_, err = t.deps.Run.SaveAdapter(t.made)
	return err
}

// measure fills in what the held-out scores say.
func (t *trainer) measure(chosen, rejected []float32) run.PairAccuracy {
	accuracy := AccuracyOf(chosen, rejected)
	t.res.Accuracy = accuracy.Summary()
	presentChosen, presentRejected := t.present(chosen, rejected)
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range append(slices.Clone(presentChosen), presentRejected...) {
		lo, hi = min(lo, float64(s)), max(hi, float64(s))
	}
	t.res.Chosen, t.res.Rejected = DistributionOf(presentChosen, lo, hi), DistributionOf(presentRejected, lo, hi)
	t.res.Histograms = []run.Histogram{t.res.Chosen.Drawn("chosen"), t.res.Rejected.Drawn("rejected")}
	if len(presentChosen) < len(chosen) {
		t.res.Classification = ClassificationOf(presentChosen, presentRejected)
	}
	var cleanChosen, cleanRejected []float32
	for i, p := range t.heldOut {
		if t.set.Overlap.clean == nil || t.set.Overlap.clean(t.set.HeldOut.Pairs[p.Index]) {
			cleanChosen, cleanRejected = append(cleanChosen, chosen[i]), append(cleanRejected, rejected[i])
		}
	}
	if n := len(cleanChosen); n > 0 && n < len(chosen) {
		clean := AccuracyOf(cleanChosen, cleanRejected)
		t.res.Clean = &clean
	}
	return accuracy
}

// present leaves out the scores of missing sides of held-out pairs.
func (t *trainer) present(chosen, rejected []float32) (c, r []float32) {
	for i, p := range t.heldOut {
		if p.Chosen != nil {
			c = append(c, chosen[i])
		}
		if p.Rejected != nil {
			r = append(r, rejected[i])
		}
	}
	return c, r
}

func (t *trainer) normalise(ctx context.Context, chosen, rejected []float32) error {
	chosen, rejected = t.present(chosen, rejected)
	scores, source := append(append([]float32{}, chosen...), rejected...), "held-out chosen and rejected"
	if len(t.deps.References) > 0 {
		var err error
		pass := t.deps.Pass("reference answers", len(t.deps.References))
		if scores, err = t.raw(ctx, t.deps.References, pass.Done); err != nil {
			return fmt.Errorf("reference answers: %w", err)
		}
		source = "reference answers"
	}
	d := DistributionOf(scores, 0, 0)
	mean, std := float32(d.Mean), float32(d.Std)
	if std == 0 || math.IsInf(float64(std), 0) {
		t.warn(fmt.Sprintf("the %d %s all score %v: the score is not normalised", d.N, source, d.Mean))
		return nil
	}
	t.mean, t.std = mean, std
	t.res.Normalisation = &run.RewardNormalisation{
		Normalisation: run.NewNormalisation(mean, std), References: d.N, Source: source,
	}
	t.deps.Note("normalised by mean %.4f and standard deviation %.4f of %d %s", mean, std, d.N, source)
	return nil
}

func (t *trainer) makeAdapter() error {
	a, err := t.deps.Adapter()
	if err != nil {
		return err
	}
	if a.Head == nil {
		return errors.New(
			"adapter: it has no scalar head, so it cannot be a reward model: load the learner with a head",
		)
	}
	a.Head.Mean, a.Head.Std = t.mean, t.std
	if a.Meta == nil {
		a.Meta = map[string]string{}
	}
	maps.Copy(a.Meta, t.cfg.Meta())
	a.Meta[MetaPairs] = t.set.Train.Info.SHA256
	t.made = a
	return nil
}

// Meta is what the metadata of an adapter trained by the configuration say about texts:
// how they have to be encoded for it ([EncoderOf]).
func (c Config) Meta() map[string]string {
	m := map[string]string{
		MetaRole: "reward", MetaTheory: string(c.Theory), MetaForm: string(c.Form),
		MetaEOS: strconv.FormatBool(c.EOS), MetaMaxLength: strconv.Itoa(c.MaxLength),
	}
	if c.Form == FormChat {
		name := cmp.Or(c.Template, data.TemplateChatML)
		m[MetaTemplate], m[MetaSystem] = string(name), ""
		if t, err := data.NewTemplate(name, c.System); err == nil { // the configuration was checked
			m[MetaSystem] = t.System()
		} else if c.System != nil {
			m[MetaSystem] = *c.System
		}
		maps.Copy(m, c.Own)
	}
	return m
}

// fill copies what is known at any time into the result.
func (t *trainer) fill() {
	r := &t.res
	r.Stage = run.StageReward
	r.Theory, r.Preset, r.Form = string(t.cfg.Theory), string(t.cfg.Preset), string(t.cfg.Form)
	r.Recipe = t.set.Train.Info.Recipe
	if t.cfg.Form == FormChat {
		r.Template = string(t.cfg.Template)
	}
	r.TrainPairs, r.HeldOutPairs, r.Overlap = t.set.Train.Info, t.set.HeldOut.Info, t.set.Overlap.PairOverlap
	r.Steps, r.Tokens, r.LossFirst = t.state.Steps, t.state.Tokens, t.state.LossFirst
	r.Loss = 0
	for _, l := range t.state.Watch.Losses {
		r.Loss += l / float64(len(t.state.Watch.Losses))
	}
	r.Warnings = append([]string{}, t.state.Warnings...)
}
