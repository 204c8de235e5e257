package ppo

import "math"

// Terms are the loss terms of one response within a mini-batch.
type Terms struct {
	Policy PolicyTerms
	Value  ValueTerms
	// Entropy is the sum of the entropies of the distributions the tokens were
	// predicted by, under the weights being trained.
	Entropy float64

	Advantages, Returns, OldValues []float64 // [n_response]
}

// LossConfig says how terms become a loss.
type LossConfig struct {
	Mean           LossMean
	Group          int // responses of a group, MeanGroup
	ValueCoef      float64
	RatioThreshold float64
}

// Group is what trl calls a mini-batch: the sequences whose token mean is taken, the
// ratio threshold tested and the statistics computed over. It is the whole mini-batch
// with MeanToken, one sequence with MeanSequence, loss_group of them with MeanGroup.
type Group struct {
	Tokens int
	// Skip: the mean ratio is above the threshold, loss and gradient are zero.
	Skip bool
	// Stats hold trl's names without "ppo/". Variances of one token are absent.
	Stats map[string]float64
}

// Combine divides the sums of a mini-batch's responses by their token counts.
func (c LossConfig) Combine(batch []Terms) []Group {
	size := c.Mean.rows(len(batch), c.Group)
	groups := make([]Group, 0, len(batch))
	for at := 0; at < len(batch); at += size {
		groups = append(groups, c.combineGroup(batch[at:at+size]))
	}
	return groups
}

// meanRatio is the mean over the tokens of some responses.
func meanRatio(batch []Terms) float64 {
	sum, tokens := 0.0, 0
	for _, t := range batch {
		sum += t.Policy.Ratio
		tokens += len(t.Advantages)
	}
	return sum / float64(tokens)
}

func (c LossConfig) combineGroup(batch []Terms) Group {
	g := Group{}
	var p PolicyTerms
	var v ValueTerms
	var entropy float64
	var advantages, returns, oldValues [][]float64
	maxRatio := math.Inf(-1)
	for _, t := range batch {
		g.Tokens += len(t.Advantages)
		p.Loss += t.Policy.Loss
		p.Clipped += t.Policy.Clipped
		p.Ratio += t.Policy.Ratio
		p.ApproxKL += t.Policy.ApproxKL
		p.PolicyKL += t.Policy.PolicyKL
		maxRatio = max(maxRatio, t.Policy.MaxRatio)
		v.Loss += t.Value.Loss
		v.Clipped += t.Value.Clipped
		v.Error += t.Value.Error
		v.Value += t.Value.Value
		entropy += t.Entropy
		advantages = append(advantages, t.Advantages)
		returns = append(returns, t.Returns)
		oldValues = append(oldValues, t.OldValues)
	}
	n := float64(g.Tokens)
	g.Skip = RatioTooLarge(p.Ratio/n, c.RatioThreshold)
	policy, value := p.Loss/n, v.Loss/n
	if g.Skip {
		policy, value = 0, 0
	}
	advMean, _ := Moments(advantages)
	retMean, retVar := Moments(returns)
	valMean, valVar := Moments(oldValues)
	g.Stats = map[string]float64{
		"loss/policy":            policy,
		"loss/value":             value,
		"loss/total":             policy + c.ValueCoef*value,
		"policy/entropy":         entropy / n,
		"policy/approxkl":        p.ApproxKL / n,
		"policy/policykl":        p.PolicyKL / n,
		"policy/clipfrac":        p.Clipped / n,
		"policy/advantages_mean": advMean,
		"policy/ratio":           p.Ratio / n,
		"policy/ratio_max":       maxRatio,
		"returns/mean":           retMean,
		"val/vpred":              v.Value / n,
		"val/error":              v.Error / n,
		"val/clipfrac":           v.Clipped / n,
		"val/mean":               valMean,
	}
	if g.Tokens > 1 {
		g.Stats["returns/var"], g.Stats["val/var"] = retVar, valVar
	}
	return g
}

// Gradient is the gradient of the mini-batch's total loss with respect to this
// response's log-probabilities and values, [n_response]: weight is its entry of
// [LossMean.Weights]. A skipped response gives zeros.
func (t Terms) Gradient(weight, valueCoef float64, skip bool) (logprobs, values []float32) {
	logprobs = make([]float32, len(t.Policy.Grad))
	values = make([]float32, len(t.Value.Grad))
	if skip {
		return logprobs, values
	}
	for i, g := range t.Policy.Grad {
		logprobs[i] = float32(weight * g)
	}
	for i, g := range t.Value.Grad {
		values[i] = float32(weight * valueCoef * g)
	}
	return logprobs, values
}
