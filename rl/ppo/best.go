package ppo

import (
	"fmt"

	"steer/internal/run"
)

// Best is the policy with the highest mean score - kl_coef KL over a rollout batch.
type Best struct {
	// Iteration is the number of iterations the policy had been trained for.
	Iteration int64   `json:"iteration"`
	Objective float64 `json:"objective"`
	Score     float64 `json:"score"` // mean raw score of the batch
	KL        float64 `json:"kl"`    // nats a response
}

// trackBest keeps the policy that made this batch if it is the best so far. It runs
// before the updates: the batch was sampled from the weights as they still are.
func (t *trainer) trackBest(exp *Experience) error {
	mean := sumOf(exp.RawScores) / float64(len(exp.RawScores))
	now := Best{
		Iteration: t.st.Iteration, Score: mean, KL: exp.MeanKL,
		Objective: mean - exp.KLCoef*exp.MeanKL,
	}
	if best := t.st.Result.Best; best != nil && now.Objective <= best.Objective {
		return nil
	}
	t.st.Result.Best = &now
	if t.deps.Run == nil || t.deps.AdapterOf == nil {
		return nil
	}
	a, err := t.deps.Adapter()
	if err != nil {
		return fmt.Errorf("best %w", err)
	}
	return a.Save(t.deps.Run.Path(run.BestFile))
}
