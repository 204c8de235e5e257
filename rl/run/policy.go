package run

// PolicySummary is what a trainer that samples says of its run; checkpoints keep it as far as it has come.
type PolicySummary struct {
	Iterations int64 `json:"iterations"` // done
	Updates    int64 `json:"updates"`    // optimizer updates taken
	// ScoreFirst and ScoreLast are the mean raw scores of the first and last batch.
	ScoreFirst *float64 `json:"score_first,omitempty"`
	ScoreLast  *float64 `json:"score_last,omitempty"`
	KLLast     *float64 `json:"kl_last,omitempty"` // nats a response
	KLCoefLast *float64 `json:"kl_coef_last,omitempty"`
	// Best is nil before the first iteration has ended.
	Best *BestPolicy `json:"best,omitempty"`
	// HeldoutFirst is measured before training, HeldoutLast after it; nil without
	// held-out prompts.
	HeldoutFirst *HeldOut `json:"heldout_first,omitempty"`
	HeldoutLast  *HeldOut `json:"heldout_last,omitempty"`
	// Constraints are as the last iteration left them.
	Constraints []Constraint `json:"constraints,omitempty"`
	// StoppedBecause is the sentence of the guard that ended the run, or "".
	StoppedBecause string `json:"stopped_because,omitempty"`
	// Alerts are sentences for people, which the record takes over.
	Alerts []string `json:"-"`
}

// check finds what contradicts itself.
func (p *PolicySummary) check() error {
	var errs []error
	for _, h := range []struct {
		field string
		*HeldOut
	}{{"heldout_first", p.HeldoutFirst}, {"heldout_last", p.HeldoutLast}} {
		if h.HeldOut == nil {
			continue
		}
		errs = append(errs, h.Score.check(h.field+".score"), h.Difference.check(h.field+".difference"),
			h.KL.check(h.field+".kl"))
		for _, r := range h.Rewards {
			errs = append(errs, r.Score.check(h.field+".rewards."+r.Name),
				r.Difference.check(h.field+".rewards."+r.Name))
		}
	}
	return first(errs)
}

// NewPolicySummary is that of a run that has not begun: all numbers are 0.
func NewPolicySummary() PolicySummary {
	return PolicySummary{
		ScoreFirst: new(float64), ScoreLast: new(float64), KLLast: new(float64), KLCoefLast: new(float64),
	}
}

// BestPolicy is the policy with the highest mean score - kl_coef KL over a rollout batch.
type BestPolicy struct {
	// Iteration is the number of iterations the policy had been trained for.
	Iteration int64   `json:"iteration"`
	Objective float64 `json:"objective"`
	Score     float64 `json:"score"` // mean raw score of the batch
	KL        float64 `json:"kl"`    // nats a response
}

// HeldOut is the policy measured on prompts it is not trained on. The same prompt gets the same
// random stream every time, so that differences are paired.
type HeldOut struct {
	Iteration int64 `json:"iteration"`
	// Score is raw: without scaling, clipping or penalty.
	Score Interval `json:"score"`
	// Difference is score minus the baseline's score on the same prompt.
	Difference Interval `json:"difference"`
	// Rewards are those that the score combines, where there are several.
	Rewards []HeldOutReward `json:"rewards,omitempty"`
	// KL of a response to the reference, k1, nats.
	KL Interval `json:"kl"`
	// Ended is the share of responses that an end token or stop string ended.
	Ended float64 `json:"ended"`
	// Length is the mean length in tokens.
	Length float64 `json:"length"`
}

// HeldOutReward is one of several rewards on held-out prompts; see [HeldOut].
type HeldOutReward struct {
	Name       string   `json:"name"`
	Score      Interval `json:"score"`
	Difference Interval `json:"difference"`
}

// RewardUse is one of several rewards that steered a policy.
type RewardUse struct {
	Name   string  `json:"name" yaml:"name"`
	Weight float64 `json:"weight" yaml:"weight"`
}

// Constraint is a bound on the mean of a reward, as an iteration left it.
type Constraint struct {
	Reward     string  `json:"reward"`
	Bound      string  `json:"bound"` // "at least 0"
	Mean       float64 `json:"mean"`  // over the last batch
	Multiplier float64 `json:"multiplier"`
	Missed     int     `json:"missed"` // last iterations in a row in which it was not met
}
