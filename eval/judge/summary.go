package judge

import (
	"steer/internal/stats"
	"steer/rl/run"
)

// confidence of all intervals.
const confidence = 0.95

// Summarize counts judgements of pairs whose first answer is the labelled one, if labelled. least is the smallest
// margin that decides, in nats; consistent wants both orders to agree.
func Summarize(judgements []Judgement, labelled bool, least float64, consistent bool) run.Judging {
	s := run.Judging{Pairs: len(judgements)}
	agree, flips, asked := 0, 0, 0
	var bias []float64
	firstPlace := 0
	for _, j := range judgements {
		if j.TooLong {
			s.TooLong++
			continue
		}
		asked++
		bias = append(bias, j.Bias())
		if j.Bias() > 0 {
			firstPlace++
		}
		if !j.Consistent() {
			flips++
		}
		if j.Margin() > 0 {
			agree++
		}
		if Decides(j, least, consistent) {
			s.Kept++
		} else {
			s.Undecided++
		}
	}
	share := func(k int) run.Interval {
		lo, hi := stats.Wilson(k, asked, confidence)
		return run.NewInterval(float64(k)/float64(max(asked, 1)), lo, hi, asked)
	}
	s.Inconsistent, s.FirstPlace = share(flips), share(firstPlace)
	m := stats.MeanOf(bias)
	ends := m.Interval(confidence)
	if s.Bias = (run.Interval{Mean: m.Mean, N: m.N}); m.N > 1 {
		s.Bias = run.NewInterval(m.Mean, ends.Lo, ends.Hi, m.N)
	}
	if labelled && asked > 0 {
		a := share(agree)
		s.Agreement = &a
	}
	return s
}

// Decides tells whether a judgement becomes a preference.
func Decides(j Judgement, least float64, consistent bool) bool {
	margin := j.Margin()
	return !j.TooLong && margin != 0 && max(margin, -margin) >= least && (!consistent || j.Consistent())
}
