package train

import (
	"fmt"
	"math"

	"steer/ggml/lm"
)

// ScheduleKind names how the learning rate goes after warm-up.
type ScheduleKind string

// The schedules, as transformers' get_*_schedule define them.
const (
	Constant ScheduleKind = "constant"
	Linear   ScheduleKind = "linear"
	Cosine   ScheduleKind = "cosine"
)

// Values lists the kinds a configuration may name.
func (ScheduleKind) Values() []string {
	return []string{string(Constant), string(Linear), string(Cosine)}
}

// LRSchedule is the learning rate's course over the optimizer steps of a run.
type LRSchedule struct {
	// Schedule is the shape after warm-up; empty means constant.
	Schedule ScheduleKind `yaml:"schedule"`
	// WarmupSteps is the number of optimizer steps of linear rise from 0; AutoWarmup
	// leaves it to the length of the run, see Warmup.
	WarmupSteps int64 `yaml:"warmup_steps"`
	// MinRatio is the share of the learning rate that linear and cosine end at.
	MinRatio float64 `yaml:"min_ratio"`
}

// AutoWarmup as WarmupSteps is a tenth of the run, 20 steps at most: Adam's moments need
// tens of steps, and a short run has none to give away.
const AutoWarmup = -1

// Warmup is the number of steps of the rise in a run of total updates.
func (s LRSchedule) Warmup(total int64) int64 {
	if s.WarmupSteps == AutoWarmup {
		return min(20, total/10)
	}
	return s.WarmupSteps
}

// Ratio is the factor on the learning rate for the update that follows step earlier
// ones, in a run of total updates. As in transformers, warm-up starts at 0 (the very
// first update then moves nothing but Adam's moments):
//
//	step < warmup:  step / warmup
//	linear:         1 - p                     p = (step-warmup) / (total-warmup)
//	cosine:         (1 + cos(pi p)) / 2       (transformers: get_cosine_schedule_with_warmup)
//
// and the decayed part is lifted to end at MinRatio: min + (1-min) * ratio.
func (s LRSchedule) Ratio(step, total int64) float64 {
	warmup := s.Warmup(total)
	if step < warmup {
		return float64(step) / float64(max(1, warmup))
	}
	p := float64(step-warmup) / float64(max(1, total-warmup))
	p = min(1, p)
	r := 1.0
	switch s.Schedule {
	case Linear:
		r = 1 - p
	case Cosine:
		r = (1 + math.Cos(math.Pi*p)) / 2
	default:
		return 1
	}
	return s.MinRatio + (1-s.MinRatio)*r
}

// Optim configures AdamW and its schedule.
type Optim struct {
	// LR is the learning rate at the height of the schedule.
	LR float64 `yaml:"lr"`
	// Beta1 and Beta2 are the decay rates of Adam's moments.
	Beta1 float64 `yaml:"beta1"`
	Beta2 float64 `yaml:"beta2"`
	// Eps is added to the root of the second moment after bias correction.
	Eps float64 `yaml:"eps"`
	// WeightDecay is decoupled: each step takes lr*weight_decay of every parameter.
	WeightDecay float64 `yaml:"weight_decay"`
	// MaxGradNorm clips the global gradient norm; 0 does not clip.
	MaxGradNorm float64 `yaml:"max_grad_norm"`
	LRSchedule  `yaml:",inline"`
}

// At gives the hyper-parameters of the update that follows step earlier ones in a run
// of total updates.
func (o Optim) At(step, total int64) lm.Update {
	return lm.Update{
		LR:    o.LR * o.Ratio(step, total),
		Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps,
		WeightDecay: o.WeightDecay, MaxGradNorm: o.MaxGradNorm,
	}
}

// Validate says which field is out of its range; key is the place of Optim in the
// configuration ("sft.optim").
func (o Optim) Validate(key string) error {
	for _, c := range []struct {
		name  string
		value float64
		ok    bool
		want  string
	}{
		{"lr", o.LR, o.LR > 0, "more than 0"},
		{"beta1", o.Beta1, o.Beta1 >= 0 && o.Beta1 < 1, "at least 0 and less than 1"},
		{"beta2", o.Beta2, o.Beta2 >= 0 && o.Beta2 < 1, "at least 0 and less than 1"},
		{"eps", o.Eps, o.Eps > 0, "more than 0"},
		{"weight_decay", o.WeightDecay, o.WeightDecay >= 0, "at least 0"},
		{"max_grad_norm", o.MaxGradNorm, o.MaxGradNorm >= 0, "at least 0 (0: no clipping)"},
		{"warmup_steps", float64(o.WarmupSteps), o.WarmupSteps >= AutoWarmup, "at least 0, or -1 (a tenth of the " +
			"run, at most 20)"},
		{"min_ratio", o.MinRatio, o.MinRatio >= 0 && o.MinRatio <= 1, "from 0 to 1"},
	} {
		if !c.ok || math.IsInf(c.value, 0) {
			return fmt.Errorf("%s.%s: want %s, got %v", key, c.name, c.want, c.value)
		}
	}
	return nil
}

// fewUpdates is the number of updates below which a run is said to learn little: at usual
// rates a LoRA has hardly left its start.
const fewUpdates = 10

// Doubts says why a run of total updates can hardly learn anything; mend is what makes it
// longer.
func (o Optim) Doubts(total int64, mend string) []string {
	var out []string
	updates := fmt.Sprintf("%d updates", total)
	if total == 1 {
		updates = "one update"
	}
	switch warmup := o.Warmup(total); {
	case warmup > 0 && total <= warmup:
		// The last update is the one with the highest rate.
		out = append(out, fmt.Sprintf("warning: the run ends inside its warm-up: %s, warmup_steps is %d, so the "+
			"learning rate reaches %.2g of %.2g: lower optim.warmup_steps, or %s",
			updates, warmup, o.LR*o.Ratio(total-1, total), o.LR, mend))
	case total < fewUpdates:
		out = append(out, fmt.Sprintf("warning: the run has %s: with fewer than %d hardly anything is learned: %s",
			updates, fewUpdates, mend))
	}
	return out
}
