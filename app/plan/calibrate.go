package plan

import (
	"context"
	"errors"
	"time"

	"steer/ggml"
	"steer/ggml/lm"
)

// Rates are measured speeds in tokens a second; 0: not measured.
type Rates struct {
	Train     float64 `json:"train"`
	Score     float64 `json:"score"`
	Prompt    float64 `json:"prompt"`
	Generated float64 `json:"generated"`
}

// Seconds is the time of so many tokens at these rates; ok is false if one is missing.
func (r Rates) Seconds(t Tokens) (seconds float64, ok bool) {
	ok = true
	for _, part := range []struct {
		tokens int64
		rate   float64
	}{{t.Train, r.Train}, {t.Score, r.Score}, {t.Prompt, r.Prompt}, {t.Generated, r.Generated}} {
		switch {
		case part.tokens == 0:
		case part.rate == 0:
			ok = false
		default:
			seconds += float64(part.tokens) / part.rate
		}
	}
	return seconds, ok
}

const (
	calibrationLimit  = 10 * time.Second // of all measurements of a forecast
	calibrationTime   = time.Second      // of each kind, after a pass to warm up
	calibrationTokens = 512              // of a pass at most
	calibrationFirst  = 8                // of the first pass, which tells whether more can be waited for
)

// calibrate measures the rates that are missing and that the rehearsed stage needs, on
// its own batches and stacks. A pass cannot be broken off, so each begins only if it is
// expected to end before the deadline; a rate that there is no time for stays 0.
func (r *rehearsal) calibrate(ctx context.Context, p *Stage, rates *Rates, deadline time.Time) error {
	c := &calibration{m: r.model, live: map[*ggml.Adapter]*ggml.Adapter{}, deadline: deadline}
	err := c.measure(ctx, r, p, rates)
	return errors.Join(err, c.close())
}

type calibration struct {
	m        *ggml.Model
	live     map[*ggml.Adapter]*ggml.Adapter
	closes   []func() error
	deadline time.Time
}

// left is the time until the deadline.
func (c *calibration) left() time.Duration { return time.Until(c.deadline) }

func (c *calibration) close() error {
	var errs []error
	for i := len(c.closes) - 1; i >= 0; i-- {
		errs = append(errs, c.closes[i]())
	}
	return errors.Join(errs...)
}

// adapters are copies with memory of planned ones.
func (c *calibration) adapters(planned []*ggml.Adapter) ([]*ggml.Adapter, error) {
	var out []*ggml.Adapter
	for _, a := range planned {
		if c.live[a] == nil {
			_, gradients, _ := a.Bytes()
			l, err := c.m.NewAdapter(a.Describe(), gradients > 0)
			if err != nil {
				return nil, err
			}
			c.live[a] = l
			c.closes = append(c.closes, l.Close)
		}
		out = append(out, c.live[a])
	}
	return out, nil
}

func (c *calibration) measure(ctx context.Context, r *rehearsal, p *Stage, rates *Rates) error {
	for _, want := range []struct {
		gradient bool
		tokens   int64
		rate     *float64
	}{{true, r.tokens.Train, &rates.Train}, {false, r.tokens.Score, &rates.Score}} {
		if want.tokens == 0 || *want.rate > 0 || c.left() <= 0 {
			continue
		}
		s, q, ok := r.largest(want.gradient)
		if !ok {
			continue
		}
		stack, err := c.adapters(s.adapters)
		if err != nil {
			return err
		}
		opt := s.opt
		opt.Adapters = stack
		step, err := c.m.NewStep(opt)
		if err != nil {
			return err
		}
		c.closes = append(c.closes, step.Close)
		if *want.rate, err = c.passRate(ctx, step, q); err != nil {
			return err
		}
	}
	if r.tokens.Generated > 0 && rates.Generated == 0 && p.rollout.opt.Sequences > 0 && c.left() > 0 {
		return c.rollout(ctx, r, p, rates)
	}
	return nil
}

// largest is the largest rehearsed pass with or without gradient.
func (r *rehearsal) largest(gradient bool) (step *rehearsedStep, pass recorded, ok bool) {
	for _, s := range r.steps {
		for _, q := range s.passes {
			if q.gradient == gradient && q.reference == 0 && q.tokens > pass.tokens {
				step, pass, ok = s, q, true
			}
		}
	}
	return step, pass, ok
}

// cut takes whole sequences from a batch while they fit into n tokens, at least one.
func cut(batch []lm.Sequence, n int) []lm.Sequence {
	tokens := 0
	for i, q := range batch {
		if tokens += len(q.Tokens); i > 0 && tokens > n {
			return batch[:i]
		}
	}
	return batch
}

// passRate measures passes like the given one, tokens a second: a short one first, then
// the longest that there is time for.
func (c *calibration) passRate(ctx context.Context, s *ggml.Step, q recorded) (float64, error) {
	pass := func(batch []lm.Sequence) (tokens int, once func() error) {
		return record(batch, q.opt).tokens, func() error {
			out, err := s.Forward(ctx, batch, q.opt)
			if err != nil || !q.opt.Gradient {
				return err
			}
			g := lm.Gradient{Logprobs: out.Logprobs, Heads: out.Heads} // any numbers
			return errors.Join(s.Backward(g), s.ZeroGrad())
		}
	}
	start := time.Now()
	tokens, once := pass([]lm.Sequence{shorten(q.batch[0], calibrationFirst)})
	if err := once(); err != nil {
		return 0, err
	}
	perToken := time.Since(start) / time.Duration(tokens) // more than in a longer pass
	longest := min(calibrationTokens, int(min(calibrationTime, c.left()/4)/max(1, perToken)))
	if longest < 2*tokens {
		return 1 / perToken.Seconds(), nil
	}
	if len(q.batch[0].Tokens) > longest {
		return c.rate(pass([]lm.Sequence{shorten(q.batch[0], longest)}))
	}
	return c.rate(pass(cut(q.batch, longest)))
}

// shorten cuts a sequence to n tokens and asks of it what was asked.
func shorten(q lm.Sequence, n int) lm.Sequence {
	n = min(n, len(q.Tokens))
	within := func(at []int32) (out []int32) {
		for _, i := range at {
			if int(i) < n {
				out = append(out, i)
			}
		}
		return out
	}
	out := lm.Sequence{Tokens: q.Tokens[:n], Targets: within(q.Targets), Heads: within(q.Heads)}
	if len(out.Targets)+len(out.Heads) == 0 {
		if len(q.Heads) > 0 {
			out.Heads = []int32{int32(n - 1)}
		} else if n > 1 {
			out.Targets = []int32{int32(n - 1)}
		}
	}
	return out
}

// rate repeats what handles so many tokens until it has taken long enough. The first
// time is left out, as it reads weights from disk, unless it alone was long.
func (c *calibration) rate(tokens int, once func() error) (float64, error) {
	start := time.Now()
	if err := once(); err != nil {
		return 0, err
	}
	if first := time.Since(start); first > calibrationTime || first > c.left()/2 {
		return float64(tokens) / first.Seconds(), nil
	}
	n := 0
	for start = time.Now(); n == 0 || time.Since(start) < min(calibrationTime, c.left()); n++ {
		if err := once(); err != nil {
			return 0, err
		}
	}
	return float64(n*tokens) / time.Since(start).Seconds(), nil
}

// rollout measures a short generation: prompts alone, then prompts and some tokens.
func (c *calibration) rollout(ctx context.Context, r *rehearsal, p *Stage, rates *Rates) (err error) {
	d := p.rollout
	opt := d.opt
	if opt.Adapters, err = c.adapters(opt.Adapters); err != nil {
		return err
	}
	short := 8 // new tokens
	length := max(1, min(d.tokens/opt.Sequences, opt.Context-short-1, 8))
	if opt.Context < length+short {
		return nil // too short to tell anything
	}
	// Reading a prompt is about as fast as scoring; where that is not known, nothing is.
	for rates.Score > 0 && float64(opt.Sequences*length)/rates.Score > min(calibrationTime, c.left()/4).Seconds() {
		if length == 1 && opt.Sequences == 1 {
			return nil // no time for it
		}
		length, opt.Sequences = max(1, length/2), max(1, opt.Sequences/2)
	}
	opt.Context = length + short
	session, err := c.m.NewSession(opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	generate := func(n int) func() error {
		reqs := make([]lm.Request, opt.Sequences)
		for i := range reqs {
			for j := range length {
				reqs[i].Prompt = append(reqs[i].Prompt, int32((i*7+j*3)%min(r.model.Info().Vocab, 1000)))
			}
			reqs[i].MaxNew, reqs[i].Seed = n, uint64(i)
		}
		return func() error {
			_, err := session.Generate(ctx, reqs, lm.Sampling{Temperature: 1})
			return err
		}
	}
	prompts := opt.Sequences * length
	if rates.Prompt, err = c.rate(prompts, generate(1)); err != nil {
		return err
	}
	each := float64(prompts) / rates.Prompt // seconds; about those of one token a sequence, too
	switch left := c.left().Seconds(); {
	case left < 2*each:
		return nil // no time for it
	case each > calibrationTime.Seconds()/2 || left < 9*each:
		short = 2 // a slow or busy machine
	}
	both, err := c.rate(prompts, generate(short))
	if seconds := float64(prompts)/both - float64(prompts)/rates.Prompt; err == nil && seconds > 0 {
		rates.Generated = float64(opt.Sequences*(short-1)) / seconds
	}
	return err
}
