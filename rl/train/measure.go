package train

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Measurer is a Trainer that looks at held-out items after some of its rounds.
type Measurer interface {
	// Measure does what is due when done rounds are done, and adds what it found to the
	// outcome of the last. Asked to stop before it is through it returns ErrInterrupted and
	// changes nothing: the loop keeps the round in a checkpoint, and a resumed run begins
	// with the same call.
	Measure(ctx context.Context, done int64, out *Outcome) error
}

// Forecaster is a Trainer that knows how much it will measure.
type Forecaster interface {
	// Unmeasured is how many held-out items will be looked at once done rounds, and what is
	// measured after the last of them, are done: between later rounds, and behind the last.
	Unmeasured(done int64) int64
}

// pending is the outcome of a round whose measurement was not through. Numbers are kept as text:
// JSON has no NaN.
type pending struct {
	Metrics map[string]string `json:"metrics"`
	Show    [][2]string       `json:"show"`
	Tokens  int64             `json:"tokens"`
	Best    bool              `json:"best"`
	Alarm   string            `json:"alarm"`
	Seconds float64           `json:"seconds"` // spent on it so far
}

func pend(out Outcome, seconds float64) *pending {
	text := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	p := &pending{Metrics: map[string]string{}, Tokens: out.Tokens, Best: out.Best, Alarm: out.Alarm, Seconds: seconds}
	for k, v := range out.Metrics {
		p.Metrics[k] = text(v)
	}
	for _, v := range out.Show {
		p.Show = append(p.Show, [2]string{v.Name, text(v.Value)})
	}
	return p
}

func (p *pending) outcome(step int64) (Outcome, error) {
	out := Outcome{Step: step, Metrics: map[string]float64{}, Tokens: p.Tokens, Best: p.Best, Alarm: p.Alarm}
	for k, v := range p.Metrics {
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return out, fmt.Errorf("trainer state: metric %q: %w", k, err)
		}
		out.Metrics[k] = x
	}
	for _, v := range p.Show {
		x, err := strconv.ParseFloat(v[1], 64)
		if err != nil {
			return out, fmt.Errorf("trainer state: value %q: %w", v[0], err)
		}
		out.Show = append(out.Show, Value{Name: v[0], Value: x})
	}
	return out, nil
}

// quietFor is how long a pass says nothing: most are over by then.
const quietFor = 5 * time.Second

// Pass is one look at held-out items, which shows how it goes on if it takes its time, and is
// timed for what others will take.
type Pass struct {
	deps    Deps
	stage   string
	total   int
	started time.Time
	shown   bool
	ends    []int // sequences of the items up to each; nil: they are not counted
	whole   int   // items of which all sequences were read
}

// Pass begins a look at total items; what says at which, and for what.
func (d Deps) Pass(what string, total int) *Pass {
	p := &Pass{deps: d, stage: d.Stage + " " + what, total: total}
	if p.deps.Meter == nil {
		p.deps.Meter = NewMeter()
	}
	p.started = p.deps.Meter.now()
	return p
}

// PassOver begins a look at items of so many sequences each, which are read one after another.
func (d Deps) PassOver(what string, sequences []int) *Pass {
	p := d.Pass(what, len(sequences))
	end := 0
	for _, n := range sequences {
		end += n
		p.ends = append(p.ends, end)
	}
	return p
}

// Read says that so many sequences were read since the pass began, and returns how many items are
// done with them.
func (p *Pass) Read(sequences int) (items int) {
	for p.whole < len(p.ends) && p.ends[p.whole] <= sequences {
		p.whole++
	}
	p.Done(p.whole)
	return p.whole
}

// Done says that so many items are done.
func (p *Pass) Done(items int) {
	m := p.deps.Meter
	spent := m.now().Sub(p.started)
	if items >= p.total && p.total > 0 {
		m.passes += spent.Seconds()
		m.perItem = spent.Seconds() / float64(p.total)
	}
	if p.deps.Progress == nil || items == 0 || !p.shown && (spent < quietFor || items >= p.total) {
		return
	}
	p.shown = true
	left := time.Duration(float64(spent) * float64(p.total-items) / float64(items))
	p.deps.Progress.Step(Status{Stage: p.stage, Step: int64(items), Total: int64(p.total), ETA: left + m.rest})
}
