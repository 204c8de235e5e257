package mixture

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Mixture is a configuration with the rewards that it joins.
type Mixture struct {
	cfg         Config
	names       []string
	weights     []float64
	constraints []constraint // in the order of their names
}

// constraint is one that knows its reward.
type constraint struct {
	Constraint
	name   string
	reward int
}

// New joins rewards of these names; weights are theirs, nil for 1 each.
func New(cfg Config, names []string, weights []float64) (*Mixture, error) {
	if len(names) == 0 {
		return nil, errors.New("rewards: want at least one")
	}
	if weights == nil {
		weights = slices.Repeat([]float64{1}, len(names))
	}
	if len(weights) != len(names) {
		return nil, fmt.Errorf("rewards: %d weights for %d rewards", len(weights), len(names))
	}
	m := &Mixture{cfg: cfg, names: names, weights: weights}
	sum, positive := 0.0, true
	for _, w := range weights {
		sum += w
		positive = positive && w >= 0
	}
	switch {
	case sum == 0:
		return nil, fmt.Errorf("rewards: the weights of %s sum to zero: want a sum that is not, so that there is "+
			"something to be learned", strings.Join(names, ", "))
	case !positive && m.combine() == Lexicographic:
		return nil, fmt.Errorf("rewards: combine %s with a weight below zero: want weights of at least zero there: "+
			"only the order of rewards counts", m.combine())
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Constraints)) {
		at := slices.Index(names, name)
		if at < 0 {
			return nil, fmt.Errorf("constraints: %q is no reward of this policy: want one of %s (weight: 0 lets a "+
				"reward be a constraint alone)", name, strings.Join(names, ", "))
		}
		m.constraints = append(m.constraints, constraint{cfg.Constraints[name], name, at})
	}
	return m, nil
}

// Names are those of the rewards, in their order.
func (m *Mixture) Names() []string { return m.names }

// Single: there is one reward, and it is taken as it is.
func (m *Mixture) Single() bool {
	return len(m.names) == 1 && len(m.constraints) == 0 && m.weights[0] == 1 && m.normalize() == NormalizeNone &&
		m.combine() == Sum
}

// Sums tells whether the rewards are summed, so that each can be looked at alone.
func (m *Mixture) Sums() bool { return m.combine() == Sum }

func (m *Mixture) combine() Combine {
	if m.cfg.Combine == "" {
		return Sum
	}
	return m.cfg.Combine
}

func (m *Mixture) normalize() Normalize {
	if m.cfg.NormalizeRewards == "" {
		return NormalizeNone
	}
	return m.cfg.NormalizeRewards
}

// Combine gives each answer of a batch its score: the combined rewards and, under constraints with
// multipliers λ_j ≥ 0 and signs s_j (1 for at_least, -1 for at_most),
//
//	score = (combined + Σ λ_j s_j r_j) / (1 + Σ λ_j)
//
// which is the gradient's direction of the Lagrangian, kept on one scale (as Safe RLHF does, Dai et al. 2023,
// arXiv:2310.12773). rewards is [reward][answer]; NaN says that a reward does not judge an answer, and is
// left out. An answer that none judges gets NaN.
func (m *Mixture) Combine(st *State, rewards [][]float64) ([]float64, error) {
	if err := m.check(rewards); err != nil {
		return nil, err
	}
	if m.Single() {
		return slices.Clone(rewards[0]), nil
	}
	used := rewards
	if m.normalize() == NormalizeBatch {
		used = make([][]float64, len(rewards))
		for k := range rewards {
			used[k] = standardize(rewards[k])
		}
	}
	scores := m.base(used)
	if len(m.constraints) == 0 {
		return scores, nil
	}
	total := 1.0
	for j, c := range m.constraints {
		_, sign := c.bound()
		total += st.Multipliers[j]
		for i := range scores {
			scores[i] += st.Multipliers[j] * sign * used[c.reward][i]
		}
	}
	for i := range scores {
		scores[i] /= total
	}
	return scores, nil
}

// Weights are those of the rewards in the sum that [Mixture.Combine] makes, with the multipliers in them. They
// are what combining sum comes to.
func (m *Mixture) Weights(st *State) []float64 {
	w := slices.Clone(m.weights)
	total := 1.0
	for j, c := range m.constraints {
		_, sign := c.bound()
		w[c.reward] += sign * st.Multipliers[j]
		total += st.Multipliers[j]
	}
	for k := range w {
		w[k] /= total
	}
	return w
}

// Utility is what the answers are worth by themselves, so that it can be compared between batches: the least
// weighted reward with combine min, else the weighted sum. No constraint is in it.
func (m *Mixture) Utility(rewards [][]float64) []float64 {
	if m.combine() == Min {
		return m.least(rewards)
	}
	return m.sum(rewards)
}

// check wants a row for each reward, and all of what only works with all.
func (m *Mixture) check(rewards [][]float64) error {
	if len(rewards) != len(m.names) {
		return fmt.Errorf("%d rewards gave %d rows of scores", len(m.names), len(rewards))
	}
	if m.combine() != Lexicographic && len(m.constraints) == 0 {
		return nil
	}
	for k, row := range rewards {
		if i := slices.IndexFunc(row, math.IsNaN); i >= 0 {
			return fmt.Errorf("reward %s does not judge answer %d: combine lexicographic and constraints need every "+
				"reward for every answer", m.names[k], i)
		}
	}
	return nil
}

// base is the combination without constraints.
func (m *Mixture) base(rewards [][]float64) []float64 {
	switch m.combine() {
	case Min:
		return m.least(rewards)
	case Rank:
		return m.meanRank(rewards)
	case Lexicographic:
		return m.lexicographic(rewards)
	}
	return m.sum(rewards)
}

func (m *Mixture) sum(rewards [][]float64) []float64 {
	return m.fold(rewards, 0, func(total, x float64) float64 { return total + x })
}

func (m *Mixture) least(rewards [][]float64) []float64 {
	return m.fold(rewards, math.Inf(1), func(least, x float64) float64 { return min(least, x) })
}

// fold joins the weighted rewards of each answer, without those that are missing or weigh nothing; NaN where none
// is left.
func (m *Mixture) fold(rewards [][]float64, start float64, join func(a, x float64) float64) []float64 {
	out := make([]float64, len(rewards[0]))
	for i := range out {
		joined, any := start, false
		for k, w := range m.weights {
			if r := rewards[k][i]; w != 0 && !math.IsNaN(r) {
				joined, any = join(joined, w*r), true
			}
		}
		if out[i] = joined; !any {
			out[i] = math.NaN()
		}
	}
	return out
}

// meanRank is Σ w_k rank_k / Σ |w_k|.
func (m *Mixture) meanRank(rewards [][]float64) []float64 {
	n := len(rewards[0])
	out, total := make([]float64, n), make([]float64, n)
	for k, w := range m.weights {
		for i, r := range ranks(n, func(i int) bool { return !math.IsNaN(rewards[k][i]) },
			func(a, b int) int { return compare(rewards[k][a], rewards[k][b]) }) {
			if !math.IsNaN(r) {
				out[i] += w * r
				total[i] += math.Abs(w)
			}
		}
	}
	for i := range out {
		out[i] /= total[i] // NaN where no reward judges
	}
	return out
}

func (m *Mixture) lexicographic(rewards [][]float64) []float64 {
	step := orDefault(m.cfg.LexicographicStep, defaultStep)
	return ranks(len(rewards[0]), func(int) bool { return true }, func(a, b int) int {
		for k, w := range m.weights {
			if w == 0 {
				continue
			}
			if c := compare(math.Floor(rewards[k][a]/step), math.Floor(rewards[k][b]/step)); c != 0 {
				return c
			}
		}
		return 0
	})
}
