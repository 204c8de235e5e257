package grpo

import (
	"math"

	"steer/internal/stats"
)

// stats computes the metrics of an iteration under the names of trl 1.16's GRPOTrainer where it has one.
func (o *optimizer) stats() map[string]float64 {
	e, c := o.exp, o.cfg
	out := map[string]float64{}
	reward := stats.MeanOf(judged(e.Scores))
	out["reward"], out["reward_std"] = reward.Mean, reward.StdDev
	flat := 0.0
	for _, f := range e.flat {
		if f {
			flat++
		}
	}
	out["frac_reward_zero_std"] = flat / float64(len(e.flat))
	kl := stats.MeanOf(e.kl)
	out["objective/kl"], out["objective/kl_std"] = kl.Mean, kl.StdDev
	out["beta"] = c.Beta

	var all Terms
	tokens := 0.0
	all.MaxRatio = math.Inf(-1)
	for _, t := range o.done {
		all.Low += t.Low
		all.High += t.High
		all.Ratio += t.Ratio
		all.Ratios += t.Ratios
		all.KL += t.KL
		all.MaxRatio = max(all.MaxRatio, t.MaxRatio)
		tokens += float64(len(t.Grad))
	}
	if all.Ratios > 0 {
		out["clip_ratio/low_mean"], out["clip_ratio/high_mean"] = all.Low/all.Ratios, all.High/all.Ratios
		out["clip_ratio/region_mean"] = (all.Low + all.High) / all.Ratios
		out["ratio/mean"], out["ratio/max"] = all.Ratio/all.Ratios, all.MaxRatio
	}
	if c.Beta > 0 && c.KLIn == KLInLoss {
		out["kl"] = all.KL / tokens
	}
	out["ratio/first_minibatch"] = o.firstRatio
	out["entropy"] = o.entropy / float64(o.tokens)
	out["loss"] = mean(o.losses)
	out["grad_norm"] = mean(o.gradNorms)
	out["learning_rate"] = o.rates(0, 0).LR
	out["updates"] = float64(o.st.Updates)
	o.lengths(out)
	for name, v := range out {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(out, name) // undefined, and JSON has no word for it
		}
	}
	return out
}

// lengths adds those of the answers.
func (o *optimizer) lengths(out map[string]float64) {
	var all, ended []float64
	least, most := math.Inf(1), 0.0
	for _, e := range o.exp.Episodes {
		n := float64(len(e.Response))
		all = append(all, n)
		least, most = min(least, n), max(most, n)
		if e.Ended {
			ended = append(ended, n)
		}
	}
	out["completions/mean_length"], out["completions/min_length"], out["completions/max_length"] = mean(all), least,
		most
	out["completions/mean_terminated_length"] = mean(ended)
	out["completions/clipped_ratio"] = 1 - float64(len(ended))/float64(len(all))
}
