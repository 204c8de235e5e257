package ppo

import (
	"context"
	"fmt"
	"math"
)

// score asks the reward model and checks what it says.
func score(ctx context.Context, s Scorer, episodes []Episode, most float64) ([]float64, error) {
	scores, err := s.Score(ctx, episodes)
	if err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	if len(scores) != len(episodes) {
		return nil, fmt.Errorf("scoring: %d episodes gave %d scores", len(episodes), len(scores))
	}
	for i, x := range scores {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, fmt.Errorf("scoring: the score of episode %d is %v: want a finite number; look at the reward "+
				"model", i, x)
		}
	}
	wide := widen(scores)
	if err := checkScores(wide, most); err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	return wide, nil
}
