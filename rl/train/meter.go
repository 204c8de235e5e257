package train

import "time"

// readShare is what a held-out item is taken to cost of one that is learned from, as long as no
// pass over such was timed: forward only, against forward and the two products of backward.
const readShare = 1.0 / 3

// Meter measures the speed of a job: tokens per second over a sliding average, and the
// time left.
type Meter struct {
	now     func() time.Time
	last    time.Time
	perStep float64 // seconds without passes, exponential average
	speed   float64 // tokens per second of the last step
	passes  float64 // seconds of passes since the last step
	perItem float64 // seconds of the last pass, 0: none was timed
	rest    time.Duration
}

// NewMeter starts the clock.
func NewMeter() *Meter { return newMeter(time.Now) }

func newMeter(now func() time.Time) *Meter { return &Meter{now: now, last: now()} }

// Step closes a step of tokens tokens and returns its tokens per second, its seconds,
// and the expected time for left more steps, in which nothing is measured.
func (m *Meter) Step(tokens, left int64) (tokensPerSecond, seconds float64, eta time.Duration) {
	now := m.now()
	seconds = max(now.Sub(m.last).Seconds(), 1e-9)
	m.last = now
	step := max(seconds-m.passes, 1e-9)
	m.passes = 0
	if m.perStep == 0 {
		m.perStep = step
	} else {
		m.perStep += 0.1 * (step - m.perStep)
	}
	m.speed = float64(tokens) / seconds
	return m.speed, seconds, m.expect(left, 0, 0)
}

// Skip leaves the time since the last step out of the next one (a checkpoint).
func (m *Meter) Skip() { m.last, m.passes = m.now(), 0 }

// expect is the time for steps more steps and a look at items held-out items; each step learns
// from perStep items, 0: not known.
func (m *Meter) expect(steps, items int64, perStep int) time.Duration {
	step := m.perStep
	if step == 0 {
		step = m.since() - m.passes // the first is just over
	}
	item := m.perItem
	if item == 0 && perStep > 0 {
		item = readShare * step / float64(perStep)
	}
	return time.Duration((step*float64(steps) + item*float64(items)) * float64(time.Second))
}

// since is the seconds of the step that runs, back gives it some that an earlier process spent.
func (m *Meter) since() float64 { return m.now().Sub(m.last).Seconds() }
func (m *Meter) back(seconds float64) {
	m.last = m.last.Add(-time.Duration(seconds * float64(time.Second)))
}
