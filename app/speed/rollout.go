package speed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"steer/ggml"
	"steer/ggml/lm"
)

// sampling is plain: the whole distribution at temperature 1, as PPO samples.
var sampling = lm.Sampling{Temperature: 1}

// requests are n random prompts of Prompt tokens, each to be continued by max tokens.
func (m *measurement) requests(n, max int) []lm.Request {
	out := make([]lm.Request, n)
	for i := range out {
		out[i] = lm.Request{Prompt: m.ids(m.Prompt), MaxNew: max, Seed: m.rng.Uint64()}
	}
	return out
}

// rollout measures sampling of Sequences responses of New tokens at once, LoRA on. Each
// step generates twice: one token of each response, which is the time of reading the
// prompts, then all of them; the difference is the time of decoding New-1 tokens.
func (m *measurement) rollout(ctx context.Context) (err error) {
	stack, err := m.sampled()
	if err != nil {
		return err
	}
	session, err := m.w.Model.NewSession(ggml.SessionOptions{
		Adapters: stack, Sequences: m.Sequences, Context: m.Prompt + m.New,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	reqs := m.requests(m.Sequences, m.New)
	m.loaded()
	var prefill []float64
	both := func() error {
		first := time.Now()
		if _, err := session.Generate(ctx, limited(reqs, 1), sampling); err != nil {
			return err
		}
		start := time.Now()
		if _, err := session.Generate(ctx, reqs, sampling); err != nil {
			return err
		}
		prefill = append(prefill, start.Sub(first).Seconds())
		return nil
	}
	r := m.result
	r.Tokens = m.Sequences * (m.New - 1)
	r.FLOP = m.weights.forward(r.Tokens, r.Tokens)
	if r.Seconds, err = timed(m.Warmup, m.Steps, both); err != nil {
		return err
	}
	prefill = prefill[m.Warmup:]
	read := slices.Min(prefill) // what disturbs a call only makes it longer
	for i := range r.Seconds {
		// The step holds both calls; what the second has over a first one is decoding.
		r.Seconds[i] -= prefill[i] + read
		if r.Seconds[i] <= 0 {
			return fmt.Errorf("step %d: reading the prompts took longer than reading and answering them: the machine "+
				"is too busy to measure, or --new is too small", i+1)
		}
	}
	p := rates(float64(m.Sequences*m.Prompt), prefill)
	r.PrefillPerSecond = &p
	return nil
}

// sampled is the stack that rollouts sample from: one adapter, or none over a model that takes none.
func (m *measurement) sampled() ([]*ggml.Adapter, error) {
	if m.w.Model.Untrainable() != nil {
		return nil, nil
	}
	live, err := m.lora(false, nil)
	return []*ggml.Adapter{live}, err
}

// limited is a copy of requests with another number of new tokens.
func limited(reqs []lm.Request, max int) []lm.Request {
	out := append([]lm.Request(nil), reqs...)
	for i := range out {
		out[i].MaxNew = max
	}
	return out
}
