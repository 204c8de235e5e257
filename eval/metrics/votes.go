package metrics

import (
	"math"

	"steer/internal/seed"
	"steer/rl/run"
)

// AddCrossEntropy stores the cross-entropy of the choices' probabilities, normalised among
// themselves, to the distribution of votes: nats an item with votes, with a bootstrap
// interval. xent_prior is that of always predicting the mean distribution of votes.
func (s *Summary) AddCrossEntropy(records []run.Item, votes [][]int) error {
	var each []float64
	var model entropy
	prior := make([]float64, len(votes[0]))
	var voted [][]int
	for i, r := range records {
		if len(r.LogProbs) != len(votes[i]) {
			return nil // a protocol without probabilities
		}
		before := model
		model.add(votes[i], logSoftmax(r.LogProbs))
		if model.items == before.items {
			continue
		}
		each = append(each, model.sum-before.sum)
		voted = append(voted, votes[i])
		n := 0
		for _, v := range votes[i] {
			n += v
		}
		for k, v := range votes[i] {
			prior[k] += float64(v) / float64(n)
		}
	}
	s.FlagCount("without_votes", len(records)-len(each))
	if len(each) == 0 {
		return nil
	}
	for k := range prior {
		prior[k] = math.Log(prior[k] / float64(len(each)))
	}
	var constant entropy
	for _, v := range voted {
		constant.add(v, prior)
	}
	s.Set("xent", model.mean())
	s.Set("xent_prior", constant.mean())
	_, v, err := s.bootstrapMean(each)
	if err != nil {
		return err
	}
	s.SetInterval("xent", v.Lo, v.Hi)
	return nil
}

// entropy sums the cross-entropy of predicted distributions to votes.
type entropy struct {
	sum   float64
	items int // with votes
}

// add takes votes[class] and log-probabilities of the classes.
func (e *entropy) add(votes []int, logp []float64) {
	n := 0
	for _, v := range votes {
		n += v
	}
	if n == 0 {
		return
	}
	e.items++
	for k, v := range votes {
		if v > 0 {
			e.sum -= float64(v) / float64(n) * logp[k]
		}
	}
}

// mean is in nats an item that has votes; NaN without any.
func (e *entropy) mean() float64 { return e.sum / float64(e.items) }

// logSoftmax normalises log-probabilities among themselves.
func logSoftmax(x []float64) []float64 {
	most, sum := x[argmax(x)], 0.0
	for _, v := range x {
		sum += math.Exp(v - most)
	}
	out := make([]float64, len(x))
	for k, v := range x {
		out[k] = v - most - math.Log(sum)
	}
	return out
}

// ceilingSamples is the number of oracle draws: their mean MCC is then known to
// about 1e-3.
const ceilingSamples = 100

// AddCeiling stores what an oracle that knows every item's true distribution of votes would
// reach against noisy majority labels. Too few or too uniform votes fit no prior: then the
// ceiling is not known, which is flagged, and the measurement stands.
func (s *Summary) AddCeiling(votes [][]int, gold []int) (c Ceiling, known bool) {
	c, err := bestCeiling(votes, gold, ceilingSamples, seed.Derive(s.Settings.Seed, "eval.best"))
	if err != nil {
		s.Flag("no_ceiling")
		return c, false
	}
	s.Set("ceiling_acc", c.Accuracy)
	s.Set("ceiling_mcc", c.MCC)
	s.Set("ceiling_xent", c.CrossEntropy)
	return c, true
}
