package evaltest

import (
	"context"
	"strings"

	"steer/eval"
)

// RewardFunc is a reward model that is a function of one exchange.
type RewardFunc func(eval.Exchange) float32

// Score implements eval.Rewarder.
func (f RewardFunc) Score(_ context.Context, xs []eval.Exchange) ([]float32, error) {
	out := make([]float32, len(xs))
	for i, x := range xs {
		out[i] = f(x)
	}
	return out, nil
}

// Reward is a reward model by this name whose scores are a function of one exchange.
func Reward(name string, score func(eval.Exchange) float32) eval.Reward {
	return eval.Reward{Name: name, Rewarder: RewardFunc(score)}
}

// CountGood gives ten points for every "good" and one for every byte.
var CountGood = RewardFunc(func(x eval.Exchange) float32 {
	return float32(strings.Count(x.ResponseText, "good")*10 + len(x.ResponseText))
})
