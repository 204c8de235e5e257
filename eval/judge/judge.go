package judge

import (
	"context"
	"fmt"
	"math"

	"steer/eval"
	"steer/eval/query"
	"steer/ggml/lm"
)

// atOnce is how many pairs are in memory as tokens. It bounds that memory, whatever the number of pairs, and is large
// enough that batches are full and pairs of one prompt share it.
const atOnce = 256

// Judge compares the sides of pairs, in both orders; done is told after each batch how many pairs are answered, those
// that are too long included.
func (c *Config) Judge(
	ctx context.Context, model lm.Evaluator, pairs []Pair, done func(pairs int),
) ([]Judgement, error) {
	out := make([]Judgement, 0, len(pairs))
	for start := 0; start < len(pairs); start += atOnce {
		part := pairs[start:min(start+atOnce, len(pairs))]
		judged, err := c.judge(ctx, model, part, func(n int) { done(start + n) })
		if err != nil {
			return nil, err
		}
		out = append(out, judged...)
	}
	return out, nil
}

// judge compares so many pairs as are in memory at once.
func (c *Config) judge(
	ctx context.Context, model lm.Evaluator, pairs []Pair, done func(pairs int),
) ([]Judgement, error) {
	out := make([]Judgement, len(pairs))
	var seqs []lm.Sequence
	var of []int // the pair of each run of four sequences
	for i, p := range pairs {
		four, fit, err := c.both(p)
		if err != nil {
			return nil, err
		}
		if out[i].TooLong = !fit; fit {
			seqs, of = append(seqs, four[:]...), append(of, i)
		}
	}
	logp := make([]float64, len(seqs))
	answered, tooLong := 0, len(pairs)-len(of)
	for _, batch := range query.Batches(seqs, c.BatchTokens) {
		part := make([]lm.Sequence, len(batch))
		for k, s := range batch {
			part[k] = seqs[s]
		}
		res, err := model.Forward(ctx, part, lm.Options{})
		if err != nil {
			return nil, err
		}
		for k, s := range batch {
			if logp[s] = float64(res.Logprobs[k][0]); math.IsNaN(logp[s]) || math.IsInf(logp[s], 0) {
				p := pairs[of[s/4]]
				return nil, fmt.Errorf("judge: %s: line %d: a log-probability is %v: %w", p.Source, p.Line, logp[s],
					eval.ErrNotFinite)
			}
		}
		answered += len(batch)
		done(answered/4 + tooLong)
	}
	if len(of) == 0 {
		done(tooLong)
	}
	for k, i := range of {
		out[i] = judgement([4]float64(logp[4*k : 4*k+4]))
	}
	return out, nil
}
