package eval

import (
	"slices"
	"strings"
	"time"
)

// unit names one measurement of a suite.
type unit struct{ benchmark, protocol, model string }

// String is how people read it.
func (u unit) String() string {
	return strings.Join(slices.DeleteFunc([]string{u.benchmark, u.protocol, u.model}, func(s string) bool { return s == "" }), " ")
}

// planned is a unit with what it is expected to cost, in units of no meaning of their
// own: about tokens.
type planned struct {
	unit
	weight float64
	done   bool
}

// pace tells how fast a suite goes on and when it will be through. A measurement whose
// like was made before, with another model, is expected to take as long; any other as
// long for its weight as those so far took for theirs.
type pace struct {
	now   func() time.Time
	units []planned
	at    int // index of the current unit, -1 before the first

	// Of the current unit: since when it is computed rather than taken from the journal,
	// and how far it was then.
	since      time.Time
	sinceDone  int
	sinceToken int64
	share      float64 // of it that was computed in this process

	last    time.Time // of the last report
	spent   float64   // seconds on finished units
	weights float64   // of finished units, as far as they were computed here
	seconds map[[2]string]float64
}

func newPace() pace {
	return pace{now: time.Now, at: -1, seconds: map[[2]string]float64{}}
}

// plan begins with a list of all measurements.
func (p *pace) plan(units []planned) {
	p.units, p.at, p.last = units, -1, p.now()
}

// skip marks what an earlier process had finished: the unit, or, for a unit without a
// model, all of its benchmark.
func (p *pace) skip(u unit) {
	for i := range p.units {
		q := p.units[i].unit
		if q == u || u.model == "" && q.benchmark == u.benchmark {
			p.units[i].done = true
		}
	}
	p.last = p.now()
}

// step fills in what a report does not know of itself. replayed: its batch came from
// the journal, which takes no time.
func (p *pace) step(r Progress, replayed bool) Progress {
	if len(p.units) == 0 {
		return r
	}
	u := unit{r.Benchmark, r.Protocol, r.Model}
	if p.at < 0 || p.units[p.at].unit != u {
		p.enter(u)
	}
	now := p.now()
	if replayed {
		p.since, p.sinceDone, p.sinceToken = now, r.Done, r.Tokens
	}
	p.last = now
	if p.at < 0 {
		return r
	}
	r.Part, r.Parts = p.at+1, len(p.units)
	elapsed := now.Sub(p.since).Seconds()
	if elapsed > 0 && r.Tokens > p.sinceToken {
		r.TokensPerSecond = float64(r.Tokens-p.sinceToken) / elapsed
	}
	if r.Total > 0 {
		p.share = float64(r.Done-p.sinceDone) / float64(r.Total)
		if r.Done >= r.Total {
			p.leave(elapsed)
		}
		r.ETA = p.eta(elapsed, r.Done, r.Total)
	}
	return r
}

// enter turns to another unit; one that was not planned is not counted.
func (p *pace) enter(u unit) {
	p.at = slices.IndexFunc(p.units, func(q planned) bool { return q.unit == u })
	// What a unit does before its first report belongs to it.
	p.since, p.sinceDone, p.sinceToken, p.share = p.last, 0, 0, 0
}

// leave ends the current unit.
func (p *pace) leave(elapsed float64) {
	q := &p.units[p.at]
	if q.done {
		return
	}
	q.done = true
	p.spent += elapsed
	p.weights += p.share * q.weight
	if p.share > 0 {
		p.seconds[[2]string{q.benchmark, q.protocol}] = elapsed / p.share
	}
}

// eta is what is left of the current unit and of all others.
func (p *pace) eta(elapsed float64, done, total int) time.Duration {
	q := p.units[p.at]
	spent, weights := p.spent, p.weights
	if !q.done {
		spent, weights = spent+elapsed, weights+p.share*q.weight
	}
	expected := func(q planned) float64 {
		if s, ok := p.seconds[[2]string{q.benchmark, q.protocol}]; ok {
			return s
		}
		if weights > 0 {
			return q.weight * spent / weights
		}
		return 0
	}
	left := 0.0
	for i, other := range p.units {
		if !other.done && i != p.at {
			left += expected(other)
		}
	}
	if !q.done {
		rest := float64(total-done) / float64(total)
		if p.share > 0 {
			left += elapsed / p.share * rest
		} else {
			left += expected(q) * rest
		}
	}
	return time.Duration(left * float64(time.Second))
}

// Done says how many measurements of how many are finished.
func (s *Suite) Done() (done, all int) {
	for _, u := range s.pace.units {
		if u.done {
			done++
		}
	}
	return done, len(s.pace.units)
}

// progress passes a report on with the suite's own part filled in.
func (s *Suite) progress(r Progress) {
	r = s.pace.step(r, s.current != nil && s.current.replayed)
	if s.tell != nil {
		s.tell(r)
	}
}

// plan lists what Run is going to measure.
func (s *Suite) plan(subjects []Subject, rewards []Reward) {
	var units []planned
	for i := range s.tasks {
		t := &s.tasks[i]
		add := func(model string) {
			units = append(units, planned{unit: unit{t.name, t.protocol, model}, weight: t.cost()})
		}
		for _, m := range subjects {
			if t.ofLanguage(m.Name) {
				add(m.Name)
			}
		}
		for _, r := range rewards {
			if t.ofReward() {
				add(r.Name)
			}
		}
	}
	if c := s.cfg.Generated; c.Path != "" {
		judges, err := c.judges(rewards)
		if err != nil {
			judges = nil // it is said where they are asked
		}
		for _, m := range subjects {
			units = append(units, planned{unit: unit{NameGenerations, "generate", m.Name}, weight: float64(max(c.Limit, 1)*c.MaxNewTokens) * generationCost})
		}
		for _, m := range subjects {
			for _, r := range judges {
				units = append(units, planned{unit: unit{NameGenerations, "score " + m.Name, r.Name}, weight: float64(max(c.Limit, 1) * c.MaxNewTokens)})
			}
		}
	}
	if c := s.cfg.CrossReward; c.Prompts.Path != "" && len(rewards) > 0 {
		prompts := float64(max(c.Prompts.Limit, 1))
		for _, m := range subjects {
			// Generated a token at a time, then read twice for the divergence.
			units = append(units, planned{unit: unit{NameCrossReward, "generate", m.Name}, weight: prompts * float64(c.MaxNewTokens) * (generationCost + 2)})
		}
		for _, r := range rewards {
			units = append(units, planned{unit: unit{NameCrossReward, "score", r.Name}, weight: prompts * float64(c.MaxNewTokens*len(subjects))})
		}
	}
	s.pace.plan(units)
}
