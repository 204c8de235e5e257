package jobs

import (
	"fmt"
	"strings"

	"steer/rl/run"
)

// describe says what the judgements came to.
func describe(s *run.Judging) []string {
	out := []string{fmt.Sprintf("%d of %d pairs became preferences%s", s.Kept, s.Pairs, leftOut(s.LeftOut))}
	if a := s.Agreement; a != nil {
		line := fmt.Sprintf("agrees with the labels in %s of %d (kappa %s, p %.2g against chance)", shareText(a.Share),
			a.Share.N, shareText(a.Kappa), a.ChanceP)
		if a.Kept != nil && a.Kept.N < a.Share.N {
			line += fmt.Sprintf("; in %s of those that became preferences", shareText(*a.Kept))
		}
		out = append(out, line)
	}
	p := s.Position
	out = append(out, fmt.Sprintf("place: the two orders disagree in %s; the first place is preferred both times in "+
		"%.3f, the second in %.3f; the first has a mean probability of %s (%+.2f nats)", shareText(p.Inconsistent),
		p.AlwaysFirst.Mean, p.AlwaysSecond.Mean, shareText(p.FirstPlace), p.LogOdds.Mean))
	line := fmt.Sprintf("A and B have %.3f of the probability of what comes next", s.Letters.Mean)
	if s.Longer != nil {
		line += fmt.Sprintf("; the longer answer is preferred in %s", shareText(*s.Longer))
	}
	out = append(out, line)
	for _, c := range s.Contests {
		out = append(out, fmt.Sprintf("%s is preferred to %s in %s of %d pairs, %d ties left out", c.First, c.Second,
			shareText(c.Wins), c.Wins.N, c.Ties))
	}
	return out
}

func leftOut(l run.LeftOut) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{l.TooLong, "too long to ask"}, {l.Ties, "ties"}, {l.Inconsistent, "with orders that disagree"},
		{l.Close, "with too small a margin"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if parts == nil {
		return ""
	}
	return "; left out: " + strings.Join(parts, ", ")
}

// The least share of the probability that A and B have with a judge that understood the question, and the most pairs
// whose orders may disagree before that is worth a warning.
const (
	fewLetters      = 0.5
	manyDisagreeing = 0.5
)

// doubts are reasons not to trust a judge.
func doubts(s *run.Judging) []string {
	out := []string{}
	if s.Letters.N == 0 {
		return append(out, "no pair was short enough to ask: raise max_tokens")
	}
	if s.Kept == 0 {
		out = append(out, fmt.Sprintf("no pair became a preference: %s is empty", run.JudgedFile))
	}
	if a := s.Agreement; a != nil && *a.Share.Lo <= 0.5 {
		out = append(out, fmt.Sprintf("its agreement with the labels, %s, is not clearly above chance, 0.5: what it "+
			"prefers may be noise to whoever learns from it", shareText(a.Share)))
	}
	if s.Position.Inconsistent.Mean > manyDisagreeing {
		out = append(out, fmt.Sprintf("the order decides more than the answers in %.3f of the pairs: only the average "+
			"of both orders is worth something (consistent leaves these pairs out)", s.Position.Inconsistent.Mean))
	}
	if s.Letters.Mean < fewLetters {
		out = append(out, fmt.Sprintf("A and B have only %.3f of the probability of what comes next: the model hardly "+
			"understands that it is to choose", s.Letters.Mean))
	}
	return out
}

func shareText(v run.Interval) string {
	if !v.Known() {
		return fmt.Sprintf("%.3f", v.Mean)
	}
	return fmt.Sprintf("%.3f [%.3f, %.3f]", v.Mean, *v.Lo, *v.Hi)
}
