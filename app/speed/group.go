package speed

import (
	"context"
	"errors"
	"time"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/lm"
)

// group measures what groups of answers save by sharing their prompt: Group responses of New tokens to each of
// Episodes prompts of Prompt tokens, at most Sequences at once, as GRPO and best-of-n sample them. Each step samples
// the same twice, once with every response's prompt read for itself. Which comes first alternates, so that a machine
// that others use, too, is unfair to neither.
func (m *measurement) group(ctx context.Context) error {
	stack, err := m.sampled()
	if err != nil {
		return err
	}
	reqs := m.groups()
	m.loaded()
	r := m.result
	answers := m.Episodes * m.Group
	r.Tokens = answers * m.New
	// A prompt is read once, and the logits after it serve the whole group.
	r.FLOP = m.weights.forward(m.Episodes*m.Prompt+answers*(m.New-1), m.Episodes+answers*(m.New-1))
	for step := range m.Warmup + m.Steps {
		var seconds [2]float64 // shared, apart
		for k := range seconds {
			apart := (k+step)%2 == 1
			i := 0
			if apart {
				i = 1
			}
			if seconds[i], err = m.sample(ctx, stack, reqs, apart); err != nil {
				return err
			}
		}
		if step >= m.Warmup {
			r.Seconds, r.Apart = append(r.Seconds, seconds[0]), append(r.Apart, seconds[1])
		}
	}
	return nil
}

// sample answers all requests in a session of its own, as a stage does, and returns the seconds.
func (m *measurement) sample(ctx context.Context, stack []*ggml.Adapter, reqs []lm.Request, apart bool) (
	seconds float64, err error,
) {
	start := time.Now()
	opt := workspace.SessionOptions(stack, m.Sequences, reqs)
	opt.Unshared = apart
	session, err := m.w.Model.NewSession(opt)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	_, err = session.Generate(ctx, reqs, sampling)
	return time.Since(start).Seconds(), err
}

// savings is how many times as fast each step was with shared prompts.
func (r *Result) savings() Spread {
	times := make([]float64, len(r.Seconds))
	for i, s := range r.Seconds {
		times[i] = r.Apart[i] / s
	}
	return spreadOf(times)
}
