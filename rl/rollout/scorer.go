package rollout

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Scorer gives episodes their rewards: a reward model, a program, or several of them.
type Scorer interface {
	// Names are those of the rewards it gives, one or more.
	Names() []string
	// Score gives each episode each reward, [len(Names())][len(episodes)]. NaN says that a reward does
	// not judge an episode.
	Score(ctx context.Context, episodes []Episode) ([][]float64, error)
}

// ErrScores: the scores of a batch cannot be those of a working reward model.
var ErrScores = errors.New("scores out of range")

// score asks for the rewards of episodes and checks what is said; most is max_score.
func score(ctx context.Context, s Scorer, episodes []Episode, most float64) ([][]float64, error) {
	rewards, err := s.Score(ctx, episodes)
	if err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	names := s.Names()
	if len(rewards) != len(names) {
		return nil, fmt.Errorf("scoring: %d rewards gave %d rows of scores", len(names), len(rewards))
	}
	for k, scores := range rewards {
		if len(scores) != len(episodes) {
			return nil, fmt.Errorf("scoring: %d episodes gave %d scores", len(episodes), len(scores))
		}
		what := "the score"
		if len(names) > 1 {
			what += " of reward " + names[k]
		}
		for i, x := range scores {
			if math.IsInf(x, 0) || math.IsNaN(x) && len(names) == 1 {
				return nil, fmt.Errorf("scoring: %s of episode %d is %v: want a finite number; look at the reward "+
					"model", what, i, x)
			}
		}
		if err := checkScores(scores, most); err != nil {
			return nil, fmt.Errorf("scoring: %w", err)
		}
	}
	return rewards, nil
}

// checkScores refuses scores that no working reward model gives; most 0 refuses none.
func checkScores(scores []float64, most float64) error {
	if most == 0 {
		return nil
	}
	worst, beyond := 0.0, 0
	for _, s := range scores {
		if math.Abs(s) > most {
			beyond++
		}
		if math.Abs(s) > math.Abs(worst) {
			worst = s
		}
	}
	if beyond == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d are beyond max_score %g, the greatest is %.4g: the reward model is damaged, "+
		"not normalised, or not the one that was meant; if its scores are right, raise max_score (0 switches this off)",
		ErrScores, beyond, len(scores), most, worst)
}
