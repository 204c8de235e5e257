package query

import (
	"context"
	"fmt"
	"math"

	"steer/eval"
)

// Rewards asks a reward model for the raw scores of exchanges and checks the answer.
func Rewards(ctx context.Context, r eval.Reward, exchanges []eval.Exchange) ([]float64, error) {
	raw, err := r.Score(ctx, exchanges)
	if err != nil {
		return nil, fmt.Errorf("reward %q: %w", r.Name, err)
	}
	if len(raw) != len(exchanges) {
		return nil, fmt.Errorf("reward %q: %d scores for %d exchanges", r.Name, len(raw), len(exchanges))
	}
	scores := make([]float64, len(raw))
	for i, s := range raw {
		scores[i] = float64(s)
		if math.IsNaN(scores[i]) || math.IsInf(scores[i], 0) {
			return nil, fmt.Errorf("reward %q: exchange %d: score %g: %w", r.Name, i, s, eval.ErrNotFinite)
		}
	}
	return scores, nil
}

// rewardsAtOnce is the number of exchanges between two reports of progress.
const rewardsAtOnce = 128

// RewardsAndCuts asks for the raw scores part by part, reporting progress, and says how many
// tokens of each exchange were cut off.
func RewardsAndCuts(
	ctx context.Context, r eval.Reward, set eval.Settings, at eval.Progress, exchanges []eval.Exchange,
) (scores []float64, cut []int, err error) {
	if r.Rewarder == nil {
		return nil, nil, fmt.Errorf("reward %q: no reward model", r.Name)
	}
	at.Model, at.Total = r.Name, len(exchanges)
	scores, cut = make([]float64, 0, len(exchanges)), make([]int, len(exchanges))
	for start := 0; start < len(exchanges); start += rewardsAtOnce {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		part := exchanges[start:min(start+rewardsAtOnce, len(exchanges))]
		asked := r
		if c, ok := r.Rewarder.(eval.CuttingRewarder); ok {
			asked.Rewarder = noteCuts{c, cut[start:]}
		}
		got, err := Rewards(ctx, asked, part)
		if err != nil {
			return nil, nil, err
		}
		scores = append(scores, got...)
		at.Done = len(scores)
		set.Report(at)
	}
	return scores, cut, nil
}

// noteCuts keeps what a CuttingRewarder cut.
type noteCuts struct {
	eval.CuttingRewarder
	cut []int
}

// Score implements [Rewarder].
func (n noteCuts) Score(ctx context.Context, exchanges []eval.Exchange) ([]float32, error) {
	scores, cut, err := n.ScoreCut(ctx, exchanges)
	copy(n.cut, cut)
	return scores, err
}
