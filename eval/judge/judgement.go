package judge

import (
	"math"

	"steer/internal/stats"
)

// Judgement is what a model makes of two answers.
type Judgement struct {
	// First and Second are the log-odds of the first answer, in nats, where it stands at A, and where it stands at B.
	First, Second float64
	// Letters is the probability of A and B together, the mean of both orders: what is left is of other tokens, by
	// which nothing was said.
	Letters float64
	// TooLong: it was not asked.
	TooLong bool
}

// judgement of the log-probabilities of A and B with the first answer at A, and of A and B with it at B.
func judgement(logp [4]float64) Judgement {
	sum := 0.0
	for _, l := range logp {
		sum += math.Exp(l)
	}
	return Judgement{First: logp[0] - logp[1], Second: logp[3] - logp[2], Letters: sum / 2}
}

// Margin is the log-odds of the first answer, averaged over both orders, in nats.
func (j Judgement) Margin() float64 { return (j.First + j.Second) / 2 }

// Bias is by how much the answer at A is preferred, whichever it is, in nats.
func (j Judgement) Bias() float64 { return (j.First - j.Second) / 2 }

// P is the probability of the first answer among the two letters, where it stands at A, and where it stands at B.
func (j Judgement) P() [2]float64 { return [2]float64{stats.Sigmoid(j.First), stats.Sigmoid(j.Second)} }

// FirstPlace is the probability of the letter A among the two, the mean of both orders.
func (j Judgement) FirstPlace() float64 {
	return (stats.Sigmoid(j.First) + stats.Sigmoid(-j.Second)) / 2
}

// Consistent tells whether both orders prefer the same answer.
func (j Judgement) Consistent() bool {
	return j.First > 0 && j.Second > 0 || j.First < 0 && j.Second < 0
}

// Verdict is what becomes of a judgement.
type Verdict string

// The verdicts.
const (
	Kept         Verdict = "kept"         // one answer is preferred: a preference
	TooLong      Verdict = "too_long"     // not asked
	Tie          Verdict = "tie"          // a margin of exactly 0
	Inconsistent Verdict = "inconsistent" // the orders disagree, and that is asked for
	Close        Verdict = "close"        // the margin is less than the least
)

// Rule says which judgements become preferences.
type Rule struct {
	// MinMargin is the least margin, in nats.
	MinMargin float64
	// Consistent wants both orders to prefer the same answer.
	Consistent bool
}

// Verdict applies the rule.
func (r Rule) Verdict(j Judgement) Verdict {
	switch margin := j.Margin(); {
	case j.TooLong:
		return TooLong
	case margin == 0:
		return Tie
	case r.Consistent && !j.Consistent():
		return Inconsistent
	case math.Abs(margin) < r.MinMargin:
		return Close
	}
	return Kept
}
