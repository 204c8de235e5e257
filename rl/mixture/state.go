package mixture

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// State is what a run remembers of its constraints, in the order of their names.
type State struct {
	Multipliers []float64 `json:"multipliers,omitempty"`
	// Missed counts iterations in a row in which a constraint was not met.
	Missed []int `json:"missed,omitempty"`
}

// NewState is that before the first iteration.
func (m *Mixture) NewState() State {
	st := State{Missed: make([]int, len(m.constraints))}
	for _, c := range m.constraints {
		st.Multipliers = append(st.Multipliers, c.Start)
	}
	return st
}

// Step is what an iteration did to one constraint.
type Step struct {
	Name       string
	Bound      string  // in words
	Mean       float64 // of the reward over the batch
	Multiplier float64 // afterwards
	Missed     int     // iterations in a row in which it was not met, this one included
	// Says is a sentence for people, once a constraint was not met for long.
	Says string
}

// Learn moves the multipliers by the rewards of a batch, by projected gradient ascent on the dual:
//
//	λ ← clip(λ + rate s (bound - mean r), 0, max)
//
// s is 1 for at_least, -1 for at_most.
func (m *Mixture) Learn(st *State, rewards [][]float64) []Step {
	patience := orDefault(m.cfg.ConstraintPatience, defaultPatience)
	var out []Step
	for j, c := range m.constraints {
		bound, sign := c.bound()
		mean := meanOf(rewards[c.reward])
		short := sign * (bound - mean)
		st.Multipliers[j] = min(max(st.Multipliers[j]+c.rate()*short, 0), c.most())
		if st.Missed[j]++; short <= 0 {
			st.Missed[j] = 0
		}
		step := Step{Name: c.name, Bound: c.text(), Mean: mean, Multiplier: st.Multipliers[j], Missed: st.Missed[j]}
		if st.Missed[j] > 0 && st.Missed[j]%patience == 0 {
			step.Says = fmt.Sprintf("constraint %s: %s has not been met for %d iterations in a row: the mean is %.3g, "+
				"the multiplier %.3g of at most %g: perhaps no policy meets it at this kl_coef; weaken the bound, "+
				"raise "+
				"its max or rate, or give it more time", c.name, c.text(), st.Missed[j], mean, st.Multipliers[j],
				c.most())
		}
		out = append(out, step)
	}
	return out
}

// Texts are the constraints in words, in the order of their names: "harmlessness at least 0".
func (c *Config) Texts() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Constraints)) {
		k := c.Constraints[name]
		if k.AtLeast != nil || k.AtMost != nil {
			out = append(out, name+" "+k.text())
		}
	}
	return out
}

// text is the bound in words.
func (k Constraint) text() string {
	if k.AtLeast != nil {
		return fmt.Sprintf("at least %g", *k.AtLeast)
	}
	return fmt.Sprintf("at most %g", *k.AtMost)
}

// meanOf is the mean of what is not missing; 0 of nothing.
func meanOf(x []float64) float64 {
	x = slices.DeleteFunc(slices.Clone(x), math.IsNaN)
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(max(len(x), 1))
}
