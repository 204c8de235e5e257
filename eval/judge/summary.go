package judge

import (
	"slices"
	"unicode/utf8"

	"steer/internal/stats"
	"steer/rl/run"
)

// confidence of all intervals.
const confidence = 0.95

// Summarize says what the judgements of pairs came to, and how far the judge can be trusted.
func Summarize(pairs []Pair, judged []Judgement, rule Rule) run.Judging {
	s := run.Judging{Pairs: len(pairs)}
	var asked []int
	for i, j := range judged {
		switch rule.Verdict(j) {
		case Kept:
			s.Kept++
		case TooLong:
			s.LeftOut.TooLong++
		case Tie:
			s.LeftOut.Ties++
		case Inconsistent:
			s.LeftOut.Inconsistent++
		case Close:
			s.LeftOut.Close++
		}
		if !j.TooLong {
			asked = append(asked, i)
		}
	}
	of := func(wanted func(i int) bool) []int {
		return slices.DeleteFunc(slices.Clone(asked), func(i int) bool { return !wanted(i) })
	}
	s.Position = position(judged, asked)
	s.Letters = meanOver(asked, func(i int) float64 { return judged[i].Letters })
	s.Agreement = agreement(judged, of(func(i int) bool { return pairs[i].Labelled }), rule)
	s.Longer = longer(pairs, judged, asked)
	s.Contests = contests(pairs, judged, asked)
	return s
}

// position measures what the place is worth.
func position(judged []Judgement, asked []int) run.PlaceBias {
	return run.PlaceBias{
		Inconsistent: shareOver(asked, func(i int) bool { return !judged[i].Consistent() }),
		AlwaysFirst:  shareOver(asked, func(i int) bool { return judged[i].First > 0 && judged[i].Second < 0 }),
		AlwaysSecond: shareOver(asked, func(i int) bool { return judged[i].First < 0 && judged[i].Second > 0 }),
		FirstPlace:   meanOver(asked, func(i int) float64 { return judged[i].FirstPlace() }),
		LogOdds:      meanOver(asked, func(i int) float64 { return judged[i].Bias() }),
	}
}

// agreement compares with the labels, which all say that the first answer is the better one; nil without any.
//
// Which of the two is called the first is nothing that the judge is shown, and both stand at A once. So its answers to
// single questions have labels that are A and B equally often, two raters who are independent agree in half of them
// whatever the judge prefers, and Cohen's kappa (Cohen 1960) is (share - 1/2) / (1 - 1/2) = 2 share - 1.
func agreement(judged []Judgement, labelled []int, rule Rule) *run.Agreement {
	if len(labelled) == 0 {
		return nil
	}
	right := func(i int) bool { return judged[i].Margin() > 0 }
	a := &run.Agreement{Share: shareOver(labelled, right)}
	a.Kappa = run.NewInterval(2*a.Share.Mean-1, 2**a.Share.Lo-1, 2**a.Share.Hi-1, a.Share.N)
	a.OneOrder = meanOver(labelled, func(i int) float64 {
		right := 0.0
		for _, odds := range [2]float64{judged[i].First, judged[i].Second} {
			if odds > 0 {
				right += 0.5
			}
		}
		return right
	})
	var kept []int
	wins := 0
	for _, i := range labelled {
		if right(i) {
			wins++
		}
		if rule.Verdict(judged[i]) == Kept {
			kept = append(kept, i)
		}
	}
	if test, err := stats.McNemar(wins, len(labelled)-wins); err == nil { // the two-sided binomial test against 1/2
		a.ChanceP = test.ExactP
	}
	if len(kept) > 0 {
		k := shareOver(kept, right)
		a.Kept = &k
	}
	return a
}

// longer is the share of pairs whose longer answer is preferred; nil where none has one.
func longer(pairs []Pair, judged []Judgement, asked []int) *run.Interval {
	var unequal []int
	first := map[int]bool{} // the first is the longer one
	for _, i := range asked {
		_, a, b := pairs[i].Sides()
		if n, m := utf8.RuneCountInString(a), utf8.RuneCountInString(b); n != m && judged[i].Margin() != 0 {
			unequal, first[i] = append(unequal, i), n > m
		}
	}
	if len(unequal) == 0 {
		return nil
	}
	s := shareOver(unequal, func(i int) bool { return judged[i].Margin() > 0 == first[i] })
	return &s
}

// contests sets policies against one another, in the order in which they meet.
func contests(pairs []Pair, judged []Judgement, asked []int) (out []run.Contest) {
	var order [][2]string
	met := map[[2]string][]int{}
	ties := map[[2]string]int{}
	for _, i := range asked {
		p := pairs[i].Policies
		if p[0] == p[1] {
			continue
		}
		if _, turned := met[[2]string{p[1], p[0]}]; turned {
			p[0], p[1] = p[1], p[0]
		}
		if _, known := met[p]; !known {
			order, met[p] = append(order, p), nil
		}
		if judged[i].Margin() == 0 {
			ties[p]++
			continue
		}
		met[p] = append(met[p], i)
	}
	for _, p := range order {
		wins := shareOver(met[p], func(i int) bool {
			return judged[i].Margin() > 0 == (pairs[i].Policies[0] == p[0])
		})
		out = append(out, run.Contest{First: p[0], Second: p[1], Wins: wins, Ties: ties[p]})
	}
	return out
}

// shareOver is the share of those for which something holds, with its Wilson interval.
func shareOver(of []int, holds func(i int) bool) run.Interval {
	k := 0
	for _, i := range of {
		if holds(i) {
			k++
		}
	}
	lo, hi := stats.Wilson(k, len(of), confidence)
	return run.NewInterval(float64(k)/float64(max(len(of), 1)), lo, hi, len(of))
}

// meanOver is a mean with Student's interval, which two or more have.
func meanOver(of []int, value func(i int) float64) run.Interval {
	x := make([]float64, len(of))
	for k, i := range of {
		x[k] = value(i)
	}
	m := stats.MeanOf(x)
	if m.N < 2 {
		mean := 0.0
		if m.N == 1 {
			mean = m.Mean
		}
		return run.Interval{Mean: mean, N: m.N}
	}
	ends := m.Interval(confidence)
	return run.NewInterval(m.Mean, ends.Lo, ends.Hi, m.N)
}
