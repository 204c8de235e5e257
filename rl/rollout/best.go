package rollout

import (
	"fmt"

	"steer/rl/run"
)

// trackBest keeps the policy that made this batch if it is the best so far. It runs
// before the updates: the batch was sampled from the weights as they still are.
func (t *trainer) trackBest(c *collected, p *Prepared) error {
	score, kl := mean(c.utility), p.MeanKL()
	now := run.BestPolicy{Iteration: t.st.Iteration, Score: score, KL: kl, Objective: score - p.KLCoef*kl}
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
