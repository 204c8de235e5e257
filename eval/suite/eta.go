package suite

import (
	"slices"
	"time"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/rl/run"
)

// eta tells how fast a suite goes on and when it will be through. A measurement whose
// like was made before, with another model, is expected to take as long; any other as
// long for its cost as those so far took for theirs.
type eta struct {
	now  func() time.Time
	work []scheduled
	at   int // index of the current measurement, -1 before the first

	// Of the current measurement: since when it is computed rather than taken from the journal,
	// and how far it was then.
	since      time.Time
	sinceDone  int
	sinceToken int64
	share      float64 // of it that was computed in this process

	last    time.Time // of the last report
	spent   float64   // seconds on finished measurements
	costs   float64   // of finished measurements, as far as they were computed here
	seconds map[[2]string]float64
}

// scheduled is a measurement that a suite has to make.
type scheduled struct {
	benchmark.Work
	done bool
}

func newETA() eta {
	return eta{now: time.Now, at: -1, seconds: map[[2]string]float64{}}
}

// schedule begins with a list of all measurements.
func (e *eta) schedule(all []benchmark.Work) {
	e.work, e.at, e.last = make([]scheduled, len(all)), -1, e.now()
	for i, w := range all {
		e.work[i].Work = w
	}
}

// skip marks what an earlier process had finished: the measurement, or, where id has no
// model, all of its benchmark.
func (e *eta) skip(id run.ID) {
	for i := range e.work {
		w := &e.work[i]
		if w.ID == id || id.Model == "" && w.Benchmark == id.Benchmark {
			w.done = true
		}
	}
	e.last = e.now()
}

// finished is how many measurements are done.
func (e *eta) finished() int {
	n := 0
	for _, w := range e.work {
		if w.done {
			n++
		}
	}
	return n
}

// step fills in what a report does not know of itself. replayed: its batch came from
// the journal, which takes no time.
func (e *eta) step(r eval.Progress, replayed bool) eval.Progress {
	if len(e.work) == 0 {
		return r
	}
	id := run.ID{Benchmark: r.Benchmark, Protocol: r.Protocol, Model: r.Model}
	if e.at < 0 || e.work[e.at].ID != id {
		e.enter(id)
	}
	now := e.now()
	if replayed {
		e.since, e.sinceDone, e.sinceToken = now, r.Done, r.Tokens
	}
	e.last = now
	if e.at < 0 {
		return r
	}
	r.Part, r.Parts = e.at+1, len(e.work)
	elapsed := now.Sub(e.since).Seconds()
	if elapsed > 0 && r.Tokens > e.sinceToken {
		r.TokensPerSecond = float64(r.Tokens-e.sinceToken) / elapsed
	}
	if r.Total > 0 {
		e.share = float64(r.Done-e.sinceDone) / float64(r.Total)
		if r.Done >= r.Total {
			e.leave(elapsed)
		}
		r.ETA = e.left(elapsed, r.Done, r.Total)
	}
	return r
}

// enter turns to another measurement; one that was not scheduled is not counted.
func (e *eta) enter(id run.ID) {
	e.at = slices.IndexFunc(e.work, func(w scheduled) bool { return w.ID == id })
	// What a measurement does before its first report belongs to it.
	e.since, e.sinceDone, e.sinceToken, e.share = e.last, 0, 0, 0
}

// leave ends the current measurement.
func (e *eta) leave(elapsed float64) {
	w := &e.work[e.at]
	if w.done {
		return
	}
	w.done = true
	e.spent += elapsed
	e.costs += e.share * w.Cost
	if e.share > 0 {
		e.seconds[[2]string{w.Benchmark, w.Protocol}] = elapsed / e.share
	}
}

// left is the time for what is left of the current measurement and for all others.
func (e *eta) left(elapsed float64, done, total int) time.Duration {
	now := e.work[e.at]
	spent, costs := e.spent, e.costs
	if !now.done {
		spent, costs = spent+elapsed, costs+e.share*now.Cost
	}
	expected := func(w scheduled) float64 {
		if s, ok := e.seconds[[2]string{w.Benchmark, w.Protocol}]; ok {
			return s
		}
		if costs > 0 {
			return w.Cost * spent / costs
		}
		return 0
	}
	seconds := 0.0
	for i, other := range e.work {
		if !other.done && i != e.at {
			seconds += expected(other)
		}
	}
	if !now.done {
		rest := float64(total-done) / float64(total)
		if e.share > 0 {
			seconds += elapsed / e.share * rest
		} else {
			seconds += expected(now) * rest
		}
	}
	return time.Duration(seconds * float64(time.Second))
}
