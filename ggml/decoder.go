package ggml

import (
	"context"
	"fmt"
	"math"

	"steer/cgo"
	"steer/ggml/lm"
)

// Decoder answers questions about sequences by libllama's decoding graph. It is for models that
// the training graph cannot compute (ModelOptions.Decode): slower than a Step, since sequences are
// decoded one after the other and share no beginnings, and without adapters and heads. Keys and
// values are kept in f32. It implements lm.Evaluator.
type Decoder struct{ m *Model }

var _ lm.Evaluator = (*Decoder)(nil)

// NewDecoder evaluates sequences on the bare model. It holds nothing that has to be closed.
func (m *Model) NewDecoder() *Decoder { return &Decoder{m} }

// Forward implements lm.Evaluator.
func (d *Decoder) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (_ *lm.Output, err error) {
	if opt.Gradient || opt.Dropout {
		return nil, fmt.Errorf("decoder: %w: it computes no gradient", d.m.refuseUntrainable())
	}
	if err := checkBatch(d.m, false, batch, opt); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	longest := 0
	for _, q := range batch {
		longest = max(longest, len(q.Tokens))
	}
	s, err := d.m.NewSession(SessionOptions{Sequences: 1, Context: longest, KVF32: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := s.Close(); err == nil {
			err = closed
		}
	}()
	out := emptyOutput(batch, opt)
	for i, q := range batch {
		if err := s.evaluate(ctx, q, opt, out, i); err != nil {
			return nil, fmt.Errorf("decoder: sequence %d: %w", i, err)
		}
	}
	return out, nil
}

// evaluate decodes one sequence, as far as its targets depend on it, and reads the answers off the
// logits before each.
func (s *Session) evaluate(ctx context.Context, q lm.Sequence, opt lm.Options, out *lm.Output, i int) error {
	n := len(q.Targets)
	out.Logprobs[i] = make([]float32, n)
	if out.Entropy != nil {
		out.Entropy[i] = make([]float32, n)
	}
	if out.Greedy != nil {
		out.Greedy[i] = make([]bool, n)
	}
	if n == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.do(func() error { s.native.Clear(); return nil }); err != nil {
		return err
	}
	logits := make([]float32, s.m.info.Vocab)
	next := 0 // of the targets
	for from, end := 0, int(q.Targets[n-1]); from < end; from += prefillBatch {
		if err := ctx.Err(); err != nil {
			return err
		}
		var b decodeBatch
		asked := next
		for p := from; p < min(from+prefillBatch, end); p++ {
			b.add(q.Tokens[p], int32(p), 0)
			if asked < n && int(q.Targets[asked]) == p+1 {
				b.draw(0, 0)
				asked++
			}
		}
		err := s.do(func() error {
			if err := s.native.Decode(b.tokens, b.pos, b.seq, b.after, b.uniform, cgo.Sampling{}, b.next); err != nil {
				return err
			}
			for ; next < asked; next++ {
				t := int(q.Targets[next])
				if err := s.native.Logits(t-1-from, logits); err != nil {
					return err
				}
				lp, entropy, greedy := distribution(logits, q.Tokens[t], opt.Temperature)
				out.Logprobs[i][next] = float32(lp)
				if out.Entropy != nil {
					out.Entropy[i][next] = float32(entropy)
				}
				if out.Greedy != nil {
					out.Greedy[i][next] = greedy
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// distribution is what p = softmax(logits / temperature) says of a target, in nats:
//
//	log p_t = l_t - log Σ exp(l_v),   H = log Σ exp(l_v) - Σ p_v l_v,   l = logits / temperature
//
// and whether no token is more likely than it. Temperature 0 stands for 1.
func distribution(logits []float32, target int32, temperature float32) (logprob, entropy float64, greedy bool) {
	f := 1.0
	if temperature > 0 {
		f = 1 / float64(temperature)
	}
	most := math.Inf(-1)
	for _, l := range logits {
		most = max(most, float64(l))
	}
	var sum, moment float64
	for _, l := range logits {
		x := (float64(l) - most) * f
		e := math.Exp(x)
		sum += e
		moment += e * x
	}
	of := float64(logits[target])
	return (of-most)*f - math.Log(sum), math.Log(sum) - moment/sum, of == most
}
