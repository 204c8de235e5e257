package compare

import (
	"fmt"
	"slices"

	"steer/internal/seed"
	"steer/internal/stats"
	"steer/rl/run"
)

// nameCrossReward is the name under which the evaluation derived the matrix's resamples.
const nameCrossReward = "cross_reward"

// ScoreRun is the answers of one run of an experiment.
type ScoreRun struct {
	Answers []run.Answer
	// Mean and Std of a reward model map its raw scores to (raw - Mean) / Std; a reward
	// that is not in the map keeps raw scores.
	Mean, Std map[string]float64
}

// Scores is the cross-reward matrix with tests: every policy against the reference,
// paired by prompt, under every reward model.
type Scores struct {
	Runs      int    `json:"runs"`
	Prompts   int    `json:"prompts"`
	LeftOut   int    `json:"left_out,omitempty"` // prompts that not all policies of all runs answered
	Reference string `json:"reference"`
	Options
	ResampleSeed uint64    `json:"resample_seed"`
	Policies     []string  `json:"policies"`
	Rewards      []string  `json:"rewards"`
	Cells        [][]Score `json:"cells"` // [policy][reward]
}

// Score is one cell. P tests that the mean difference to the reference is 0; Holm is
// adjusted for all cells of the matrix. Both are nil in the reference's row.
type Score struct {
	Estimate
	Difference *Estimate `json:"difference,omitempty"`
	P          *float64  `json:"p,omitempty"`
	Test       string    `json:"test,omitempty"`
	Holm       *float64  `json:"holm,omitempty"`
	// PerRun is the difference in every run.
	PerRun []float64 `json:"per_run,omitempty"`
}

// TestMeans is the test of a difference of mean scores in one run.
const TestMeans = "paired permutation"

// Compare tests the answers of policies (in this order) under rewards against the
// reference policy.
func (s ScoreSet) Compare(opt Options) (*Scores, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	reference := slices.Index(s.Policies, s.Reference)
	if reference < 0 {
		return nil, fmt.Errorf("compare: cross_reward: the reference %q is not among the policies", s.Reference)
	}
	columns, prompts, leftOut, err := s.columns()
	if err != nil {
		return nil, err
	}
	out := &Scores{Runs: len(s.Runs), Prompts: prompts, LeftOut: leftOut, Reference: s.Reference, Options: opt,
		ResampleSeed: seed.Bootstrap(opt.Seed, nameCrossReward, prompts), Policies: s.Policies, Rewards: s.Rewards,
		Cells: make([][]Score, len(s.Policies))}
	src, err := stats.NewSeeded(prompts, out.ResampleSeed)
	if err != nil {
		return nil, err
	}
	draws, err := stats.NewRunDraws(len(s.Runs), seed.Derive(opt.Seed, "compare.runs."+nameCrossReward))
	if err != nil {
		return nil, err
	}
	for j, reward := range s.Rewards {
		var boots []stats.Bootstrap
		if len(s.Runs) == 1 {
			boots, err = stats.BootstrapMeans(columns[j][0], src, opt.Resamples)
		} else {
			boots, err = stats.TwoLevelMeans(columns[j], src, draws, opt.Resamples)
		}
		if err != nil {
			return nil, err
		}
		for i, policy := range s.Policies {
			c := Score{Estimate: estimate(boots[i], meansOf(columns[j], i), opt.Confidence)}
			if i != reference {
				err := c.against(boots[i], boots[reference], columns[j], i, reference, opt, seedOf(opt, policy, reward))
				if err != nil {
					return nil, err
				}
			}
			out.Cells[i] = append(out.Cells[i], c)
		}
	}
	out.holm()
	return out, nil
}

// against adds the difference of policy i to the reference; columns[run][policy][prompt].
func (c *Score) against(a, b stats.Bootstrap, columns [][][]float64, i, reference int, opt Options, seed uint64) error {
	d, err := a.Minus(b)
	if err != nil {
		return err
	}
	// A prompt is swapped in all runs at once: the test is of its mean over them.
	p, err := stats.PermuteMeans(overRuns(columns, i), overRuns(columns, reference), opt.Resamples, seed)
	if err != nil {
		return err
	}
	c.P, c.Test = &p.P, TestMeans
	if len(columns) > 1 {
		c.PerRun = differences(meansOf(columns, i), meansOf(columns, reference))
		c.P, c.Test = ptr(max(p.P, d.OfRuns(c.PerRun).P())), TestTwoLevel
	}
	c.Difference = ptr(estimate(d, c.PerRun, opt.Confidence))
	return nil
}

// overRuns are the means over the runs of a policy's score on every prompt.
func overRuns(columns [][][]float64, policy int) []float64 {
	out := make([]float64, len(columns[0][policy]))
	for _, part := range columns {
		for i, v := range part[policy] {
			out[i] += v / float64(len(columns))
		}
	}
	return out
}

// meansOf are the means of a policy's scores in every run; nil where there is one only.
func meansOf(columns [][][]float64, policy int) []float64 {
	if len(columns) == 1 {
		return nil
	}
	out := make([]float64, len(columns))
	for r, part := range columns {
		out[r] = stats.MeanOf(part[policy]).Mean
	}
	return out
}

// holm adjusts the p-values of all cells together.
func (s *Scores) holm() {
	var raw []float64
	var at []*Score
	for i := range s.Cells {
		for j := range s.Cells[i] {
			if c := &s.Cells[i][j]; c.P != nil {
				raw, at = append(raw, *c.P), append(at, c)
			}
		}
	}
	for k, v := range stats.Holm(raw) {
		at[k].Holm = ptr(v)
	}
}

// ScoreSet is what [ScoreSet.Compare] needs.
type ScoreSet struct {
	Policies  []string
	Rewards   []string
	Reference string
	Runs      []ScoreRun
}

// columns are the scores of the prompts that every policy answered in every run, in the
// order of the first: [reward][run][policy][prompt].
func (s ScoreSet) columns() (columns [][][][]float64, prompts, leftOut int, err error) {
	if len(s.Runs) == 0 || len(s.Rewards) == 0 {
		return nil, 0, 0, fmt.Errorf("compare: cross_reward: no run or no reward model")
	}
	type key struct{ id, policy string }
	byKey := make([]map[key]run.Answer, len(s.Runs))
	count, order := map[string]int{}, []string{}
	for r, part := range s.Runs {
		byKey[r] = map[key]run.Answer{}
		for _, a := range part.Answers {
			k := key{a.ID, a.Policy}
			if _, dup := byKey[r][k]; dup {
				return nil, 0, 0, fmt.Errorf("compare: cross_reward: run %d: policy %q answered prompt %q twice",
					r, a.Policy, a.ID)
			}
			byKey[r][k] = a
			if !slices.Contains(s.Policies, a.Policy) {
				continue
			}
			if count[a.ID] == 0 {
				order = append(order, a.ID)
			}
			count[a.ID]++
		}
	}
	all := len(s.Runs) * len(s.Policies)
	shared := slices.DeleteFunc(slices.Clone(order), func(id string) bool { return count[id] != all })
	if len(shared) == 0 {
		return nil, 0, 0, fmt.Errorf("compare: cross_reward: %w", errNoAnswers)
	}
	for _, reward := range s.Rewards {
		var runs [][][]float64
		for r, part := range s.Runs {
			mean, std := part.Mean[reward], 1.0
			if v, ok := part.Std[reward]; ok {
				std = v
			}
			rows := make([][]float64, len(s.Policies))
			for i, policy := range s.Policies {
				for _, id := range shared {
					v, ok := byKey[r][key{id, policy}].Raw[reward]
					if !ok {
						return nil, 0, 0, fmt.Errorf("compare: cross_reward: run %d: the answer of %q to prompt "+
							"%q has no score under %q", r, policy, id, reward)
					}
					rows[i] = append(rows[i], (v-mean)/std)
				}
			}
			runs = append(runs, rows)
		}
		columns = append(columns, runs)
	}
	return columns, len(shared), len(order) - len(shared), nil
}
