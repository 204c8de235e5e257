package ppo

import (
	"math"

	"steer/internal/stats"
)

// stats computes the metrics of a step under the names of trl 0.7.1. "ppo/..." values
// are means over the groups of all epochs, as trl averages over its mini-batches.
func (o *optimizer) stats() map[string]float64 {
	out := map[string]float64{}
	seen := map[string]int{}
	for _, g := range o.groups {
		for name, v := range g.Stats {
			if name == "policy/ratio_max" {
				if seen[name] == 0 || v > out["ppo/"+name] {
					out["ppo/"+name] = v
				}
				seen[name] = 1
				continue
			}
			out["ppo/"+name] += v
			seen[name]++
		}
	}
	for name, n := range seen {
		out["ppo/"+name] /= float64(n)
	}
	if v, ok := out["ppo/returns/var"]; ok && v > 0 {
		out["ppo/val/var_explained"] = 1 - out["ppo/val/error"]/v
	}

	exp := o.exp
	var kls, entropies, scores, prompts, responses []float64
	var nonScore, logprobs, ref [][]float64
	for i := range exp.Trajectories {
		t := &exp.Trajectories[i]
		kls = append(kls, t.KLSum())
		entropies = append(entropies, -sumOf(t.Logprobs))
		scores = append(scores, t.Score)
		prompts = append(prompts, float64(len(t.Prompt)))
		responses = append(responses, float64(len(t.Response)))
		nonScore = append(nonScore, t.NonScore)
		logprobs, ref = append(logprobs, t.Logprobs), append(ref, t.Ref)
	}
	kl, score, raw := stats.MeanOf(kls), stats.MeanOf(scores), stats.MeanOf(exp.RawScores)
	prompt, response := stats.MeanOf(prompts), stats.MeanOf(responses)
	out["objective/kl"] = kl.Mean
	out["objective/kl_std"] = kl.StdDev
	out["objective/kl_coef"] = exp.KLCoef
	out["objective/entropy"] = stats.MeanOf(entropies).Mean
	out["objective/logprobs"], _ = Moments(logprobs)
	out["objective/ref_logprobs"], _ = Moments(ref)
	out["ppo/mean_non_score_reward"], _ = Moments(nonScore)
	out["ppo/mean_scores"], out["ppo/std_scores"] = score.Mean, score.StdDev
	out["env/reward_mean"], out["env/reward_std"] = raw.Mean, raw.StdDev
	out["tokens/queries_len_mean"], out["tokens/queries_len_std"] = prompt.Mean, prompt.StdDev
	out["tokens/responses_len_mean"], out["tokens/responses_len_std"] = response.Mean, response.StdDev

	out["ppo/learning_rate"] = o.rates(0, 0).LR
	out["ppo/policy/ratio_first_minibatch"] = o.report.FirstRatio
	out["ppo/epochs"] = float64(o.report.Epochs)
	out["ppo/skipped"] = float64(o.report.Skipped)
	out["ppo/updates"] = float64(o.st.Updates)
	if n := len(o.report.GradNorms); n > 0 {
		out["ppo/grad_norm"] = stats.MeanOf(o.report.GradNorms).Mean
	}
	for name, v := range out {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			delete(out, name) // undefined, and JSON has no word for it
		}
	}
	return out
}

func sumOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum
}
