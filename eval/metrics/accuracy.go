package metrics

import (
	"slices"

	"steer/internal/stats"
	"steer/rl/run"
)

// AddAccuracy stores acc, its standard error in the harness's form
// (sample deviation / sqrt(n)), and the flags of truncation, refusals and ties, which
// both count as wrong.
func (s *Summary) AddAccuracy(records []run.Item) {
	right := make([]float64, len(records))
	correct, cut, refused, ties := 0, 0, 0, 0
	for i, r := range records {
		if r.Pred == r.Gold {
			right[i] = 1
			correct++
		}
		if r.Cut > 0 {
			cut++
		}
		if r.Refused {
			refused++
		}
		if r.Tie {
			ties++
		}
	}
	s.AddShare("acc", correct, len(records))
	s.Set("acc_stderr", stats.MeanOf(right).StdErr)
	s.FlagCount("truncated", cut)
	s.FlagCount("refused", refused)
	s.FlagCount("ties", ties)
}

// AddAccuracyNorm stores acc_norm: the prediction by likelihood per character.
func (s *Summary) AddAccuracyNorm(records []run.Item) {
	right := make([]float64, len(records))
	correct := 0
	for i, r := range records {
		if r.PredNorm != nil && *r.PredNorm == r.Gold {
			right[i] = 1
			correct++
		}
	}
	s.AddShare("acc_norm", correct, len(records))
	s.Set("acc_norm_stderr", stats.MeanOf(right).StdErr)
}

// AddAccuracyTies stores the share of right answers with ties counted one half, as chance
// would decide them. The interval is Wilson's, its ends from half the ties rounded away
// from the middle where their number is odd.
func (s *Summary) AddAccuracyTies(name string, right, ties, n int) {
	if n == 0 {
		return
	}
	s.Set(name, (float64(right)+float64(ties)/2)/float64(n))
	lo, _ := stats.Wilson(right+ties/2, n, s.Settings.Confidence)
	_, hi := stats.Wilson(right+(ties+1)/2, n, s.Settings.Confidence)
	s.SetInterval(name, lo, hi)
}

// AddGroup stores the accuracy of the records of a group.
func (s *Summary) AddGroup(group string, records []run.Item) {
	s.AddSubset(group, records, func(r run.Item) bool { return r.Group == group })
}

// AddSubset stores acc_<name> and n_<name> of the records that belong to a subset.
func (s *Summary) AddSubset(name string, records []run.Item, belongs func(run.Item) bool) {
	right, n := 0, 0
	for _, r := range records {
		if belongs(r) {
			n++
			if r.Pred == r.Gold {
				right++
			}
		}
	}
	s.Set("n_"+name, float64(n))
	s.AddShare("acc_"+name, right, n)
}

// AddGap stores the difference of two accuracies on pairs of items, a minus b, with its
// paired bootstrap interval, and McNemar's exact test of it: _p, and the discordant
// counts _b (only the first right) and _c (only the second).
func (s *Summary) AddGap(name string, first, second []bool) error {
	if len(first) == 0 {
		return nil
	}
	test, err := stats.McNemarOf(first, second)
	if err != nil {
		return err
	}
	diff := make([]float64, len(first))
	for i := range first {
		switch {
		case first[i] && !second[i]:
			diff[i] = 1
		case second[i] && !first[i]:
			diff[i] = -1
		}
	}
	s.Set(name+"_n", float64(len(first)))
	s.Set(name+"_b", float64(test.B))
	s.Set(name+"_c", float64(test.C))
	s.Set(name+"_p", test.ExactP)
	return s.AddMean(name, diff)
}

// FlagConstant flags a model that gives the same choice to everything.
func (s *Summary) FlagConstant(records []run.Item) {
	if !slices.ContainsFunc(records, func(r run.Item) bool { return r.Pred != records[0].Pred }) {
		s.Flag("degenerate")
	}
}

// Ties is the number of items whose best choices score the same.
func Ties(records []run.Item) int {
	ties := 0
	for _, r := range records {
		if r.Tie {
			ties++
		}
	}
	return ties
}
