package speed

import (
	"context"
	"errors"
	"slices"

	"steer/ggml"
	"steer/ggml/lm"
)

// update is the AdamW step of a training job: small enough to stay near the start.
var update = lm.Update{LR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1}

// train measures forward pass, backward pass and AdamW on Batch x Tokens tokens, the mean
// negative log-probability of all of them as loss. Gradients of micro-batches add up.
func (m *measurement) train(ctx context.Context) error {
	live, err := m.lora(true, nil)
	if err != nil {
		return err
	}
	step, err := m.step(live, true)
	if err != nil {
		return err
	}
	parts := m.microBatches(m.batch())
	m.loaded()
	r := m.result
	r.Tokens = m.Batch * m.Tokens
	r.FLOP = m.weights.train(r.Tokens, m.Batch*(m.Tokens-1), m.Job == JobTrain)
	return m.timedSteps(step, func() error {
		for _, p := range parts {
			if _, err := step.Forward(ctx, p.batch, lm.Options{Gradient: true}); err != nil {
				return err
			}
			if err := step.Backward(p.gradient); err != nil {
				return err
			}
		}
		_, err := step.Update(update)
		return err
	})
}

// microBatch is what goes through forward and backward at once.
type microBatch struct {
	batch    []lm.Sequence
	gradient lm.Gradient // of the loss of the whole batch
}

func (m *measurement) microBatches(batch []lm.Sequence) []microBatch {
	n := m.MicroBatch
	if n == 0 {
		n = len(batch)
	}
	gradient := meanGradient(batch)
	var parts []microBatch
	for b := range slices.Chunk(batch, n) {
		parts = append(parts, microBatch{b, lm.Gradient{Logprobs: gradient.Logprobs[:n]}})
		gradient.Logprobs = gradient.Logprobs[n:]
	}
	return parts
}

// step opens a stack of one adapter.
func (m *measurement) step(a *ggml.Adapter, train bool) (*ggml.Step, error) {
	s, err := m.w.Step([]*ggml.Adapter{a}, train, 0)
	if err != nil {
		return nil, err
	}
	return s.(*ggml.Step), nil // a workspace that is not rehearsed opens nothing else
}

// meanGradient is dLoss/dlogprob of the mean negative log-probability.
func meanGradient(batch []lm.Sequence) lm.Gradient {
	n := 0
	for _, q := range batch {
		n += len(q.Targets)
	}
	g := lm.Gradient{Logprobs: make([][]float32, len(batch))}
	for i, q := range batch {
		g.Logprobs[i] = make([]float32, len(q.Targets))
		for j := range g.Logprobs[i] {
			g.Logprobs[i][j] = -1 / float32(n)
		}
	}
	return g
}

// score measures the log-probabilities of Batch x Tokens given tokens, LoRA on.
func (m *measurement) score(ctx context.Context) error {
	if m.w.Model.Untrainable() != nil {
		return m.scoreByDecoding(ctx)
	}
	live, err := m.lora(false, nil)
	if err != nil {
		return err
	}
	step, err := m.step(live, false)
	if err != nil {
		return err
	}
	batch := m.batch()
	m.loaded()
	r := m.result
	r.Tokens = m.Batch * m.Tokens
	r.FLOP = m.weights.forward(r.Tokens, m.Batch*(m.Tokens-1))
	return m.timedSteps(step, func() error {
		_, err := step.Forward(ctx, batch, lm.Options{})
		return err
	})
}

// scoreByDecoding is score of a model that libllama computes, without LoRA.
func (m *measurement) scoreByDecoding(ctx context.Context) (err error) {
	model, err := m.w.Step(nil, false, 0)
	if err != nil {
		return err
	}
	batch := m.batch()
	m.loaded()
	m.result.Tokens = m.Batch * m.Tokens
	m.result.Seconds, err = timed(m.Warmup, m.Steps, func() error {
		_, err := model.Forward(ctx, batch, lm.Options{})
		return err
	})
	return err
}

// timedSteps measures the steps of a training graph. With Profile, one more step follows
// whose operations are timed: that makes it slower, so it is not counted.
func (m *measurement) timedSteps(s *ggml.Step, step func() error) (err error) {
	r := m.result
	if r.Seconds, err = timed(m.Warmup, m.Steps, step); err != nil {
		return err
	}
	r.ScratchBytes = s.ScratchBytes()
	if !m.Profile {
		return nil
	}
	if err := m.w.Model.Profile(true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.w.Model.Profile(false)) }()
	if err := step(); err != nil {
		return err
	}
	times, err := m.w.Model.ProfileTimes()
	for _, t := range times {
		r.Ops = append(r.Ops, Op(t))
	}
	return err
}

// kernels measures the frozen linear layers alone.
func (m *measurement) kernels(context.Context) error {
	speeds, err := m.w.Model.LinearSpeeds(m.Tokens, m.Precision)
	if err != nil {
		return err
	}
	for _, s := range speeds {
		m.result.Linears = append(m.result.Linears, Linear{
			Targets: s.Targets, Type: s.Type, NIn: s.NIn, NOut: s.NOut, Rows: s.Rows, Forward: s.Forward * 1e-9,
			Backward: s.Backward * 1e-9,
		})
	}
	return nil
}
