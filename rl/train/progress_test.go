package train

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLine(t *testing.T) {
	s := Status{
		Stage: "sft", Step: 12, Total: 500, TokensPerSecond: 612.4, ETA: 3723 * time.Second,
		Values: []Value{{"loss", 2.34567}, {"kl", 1e-5}, {"lr", 0}, {"bad", math.NaN()}},
	}
	require.Equal(t, "sft 12/500  loss 2.346  kl 1e-05  lr 0.000  bad NaN  612 tok/s  ETA 1:02:03", s.Line())
	require.Equal(t, "eval 3", Status{Stage: "eval", Step: 3}.Line())
}

func TestLineNeverExceedsTheColumns(t *testing.T) {
	s := Status{Stage: "ppo utilitarianism", Step: 123456, Total: 999999, TokensPerSecond: 1e6, ETA: 99 * time.Hour}
	for range 20 {
		s.Values = append(s.Values, Value{"objective/kl", 12.345})
		line := s.Line()
		require.LessOrEqual(t, len(line), Columns)
		require.Contains(t, line, "ETA 99:00:00", "the end is kept")
	}
	s.Stage = strings.Repeat("ä", 200)
	require.LessOrEqual(t, len([]rune(s.Line())), Columns)
	s = Status{Stage: "12/24 ethics-utilitarianism loglik utilitarianism", Step: 12340, Total: 12345,
		TokensPerSecond: 1234, ETA: 10*time.Hour + time.Minute}
	require.Equal(t, "12/24 ethics-utilitarianism loglik utilit… 12340/12345  1234 tok/s  ETA 10:01:00", s.Line())
}

func TestClock(t *testing.T) {
	require.Equal(t, "0:07", Clock(7*time.Second))
	require.Equal(t, "2:03", Clock(123*time.Second))
	require.Equal(t, "1:00:00", Clock(time.Hour))
}

func TestTerminalRewritesOneLine(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, true)
	p.Step(Status{Stage: "sft", Step: 1, Total: 2})
	p.Note("eval loss 2.0")
	p.Step(Status{Stage: "sft", Step: 2, Total: 2})
	p.Note("done")
	require.Equal(t, "\rsft 1/2\x1b[K\r\x1b[Keval loss 2.0\n\rsft 2/2\x1b[K\ndone\n", b.String())
}

func TestPlainLinesAreFew(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(0, 0)
	p := &plain{w: &b, every: 10 * time.Second, now: func() time.Time { return now }}
	for i := range int64(100) {
		p.Step(Status{Stage: "sft", Step: i + 1, Total: 100})
		now = now.Add(time.Second)
	}
	p.Note("note")
	p.Step(Status{Stage: "ppo", Step: 1, Total: 9})
	require.Equal(t, "sft 1/100,sft 11/100,sft 21/100,sft 31/100,sft 41/100,sft 51/100,sft 61/100,sft 71/100,"+
		"sft 81/100,sft 91/100,sft 100/100,note,ppo 1/9", strings.ReplaceAll(strings.TrimSpace(b.String()), "\n", ","))
}

func TestMeter(t *testing.T) {
	now := time.Unix(0, 0)
	m := newMeter(func() time.Time { return now })
	now = now.Add(2 * time.Second)
	speed, seconds, eta := m.Step(1000, 5)
	require.Equal(t, 500.0, speed)
	require.Equal(t, 2.0, seconds)
	require.Equal(t, 10*time.Second, eta)
	now = now.Add(time.Minute)
	m.Skip()
	now = now.Add(2 * time.Second)
	_, _, eta = m.Step(1000, 4)
	require.Equal(t, 8*time.Second, eta)
}

func TestStopper(t *testing.T) {
	var none *Stopper
	require.False(t, none.Stopping())
	s := NewStopper()
	require.False(t, s.Stopping())
	s.Request()
	s.Request()
	require.True(t, s.Stopping())
	<-s.Stop()
}

// The time left holds the passes over held-out items that are still to come, at a guess as long
// as none was timed; a pass is no part of a step.
func TestMeterForecastsPasses(t *testing.T) {
	now := time.Unix(0, 0)
	m := newMeter(func() time.Time { return now })
	now = now.Add(6 * time.Second)
	m.Step(100, 0)
	require.Equal(t, 5*6*time.Second+30*time.Second, m.expect(5, 30, 2), "30 items at a third of 3 seconds")
	require.Equal(t, 30*time.Second, m.expect(5, 30, 0), "nothing is known of items")

	var lines []Status
	d := Deps{Stage: "reward x", Meter: m, Progress: recorder(func(s Status) { lines = append(lines, s) })}
	p := d.Pass("held-out pairs", 20)
	m.rest = time.Minute
	now = now.Add(2 * time.Second)
	p.Done(5)
	require.Empty(t, lines, "most are over soon")
	now = now.Add(6 * time.Second)
	p.Done(10)
	require.Equal(t, []Status{{Stage: "reward x held-out pairs", Step: 10, Total: 20, ETA: 68 * time.Second}}, lines)
	now = now.Add(2 * time.Second)
	p.Done(20)
	require.Len(t, lines, 2)
	now = now.Add(6 * time.Second)
	_, seconds, eta := m.Step(100, 3)
	require.Equal(t, 16.0, seconds)
	require.Equal(t, 18*time.Second, eta)
	require.Equal(t, 18*time.Second+8*500*time.Millisecond, m.expect(3, 8, 2), "a timed pass counts")
}

type recorder func(Status)

func (r recorder) Step(s Status) { r(s) }
func (recorder) Note(string)     {}

func TestKindsOfProgress(t *testing.T) {
	show := func(p Progress) {
		p.Step(Status{Stage: "sft", Step: 1, Total: 9})
		p.Step(Status{Stage: "sft", Step: 2, Total: 9})
		p.Note("a notice\n")
		p.Note("warning: this")
		p.Note("sft: warning: that")
		p.Note("it says warning: not")
		Detail(p, "a %s", "detail")
	}
	var q, v, n, c bytes.Buffer
	show(Warnings(&q))
	require.Equal(t, "warning: this\nsft: warning: that\n", q.String())
	show(Verbose(&v))
	notes := "a notice\nwarning: this\nsft: warning: that\nit says warning: not\n"
	require.Equal(t, "sft 1/9\nsft 2/9\n"+notes+"a detail\n", v.String())

	q.Reset()
	v.Reset()
	show(Both(Warnings(&q), Both(Verbose(&v), NewProgress(&n, false))))
	require.Equal(t, "warning: this\nsft: warning: that\n", q.String())
	require.Equal(t, "sft 1/9\nsft 2/9\n"+notes+"a detail\n", v.String())
	require.Equal(t, "sft 1/9\n"+notes, n.String(), "no details where nobody asked for them")

	show(Painted(Verbose(&c), strings.ToUpper))
	require.Equal(t, "sft 1/9\nsft 2/9\n"+strings.ToUpper(notes)+"a detail\n", c.String())
}
