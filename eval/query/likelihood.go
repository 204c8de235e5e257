package query

import (
	"context"
	"fmt"
	"math"
	"slices"

	"steer/eval"
	"steer/ggml/lm"
)

// Request asks for the log-likelihood of a continuation after a context.
type Request struct {
	Context      []int32
	Continuation []int32 // at least one token
	// Group marks requests that share a prefix, e.g. the choices of one item: they are
	// evaluated in one batch if it can hold them. It never changes a result.
	Group int
}

// Likelihood is the answer.
type Likelihood struct {
	LogProb float64 // sum over the continuation, nats
	Greedy  bool    // every token of the continuation was the most likely one
	// Cut counts the context tokens dropped from the left to fit.
	Cut int
}

// Likelihoods evaluates requests under one model, in batches of at most batchTokens
// tokens, what requests begin with alike counted once; see [groupedBatches]. The answers are in
// the order of the requests. done, if set, is told after each batch the number of finished
// requests and of their tokens, each counted whole.
//
// A sequence is the last maxLength+1 tokens of context and continuation, of which
// the very last is a target only: the truncation of the harness.
func Likelihoods(
	ctx context.Context, model lm.Evaluator, reqs []Request, maxLength, batchTokens int,
	done func(requests int, tokens int64),
) ([]Likelihood, error) {
	out := make([]Likelihood, len(reqs))
	seqs := make([]lm.Sequence, len(reqs))
	for i, r := range reqs {
		var err error
		if seqs[i], out[i].Cut, err = sequence(r, maxLength); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	finished, tokens := 0, int64(0)
	for _, batch := range groupedBatches(seqs, func(i int) int { return reqs[i].Group }, batchTokens) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := make([]lm.Sequence, len(batch))
		for k, i := range batch {
			part[k] = seqs[i]
			tokens += int64(len(seqs[i].Tokens))
		}
		res, err := model.Forward(ctx, part, lm.Options{Greedy: true})
		if err != nil {
			return nil, err
		}
		if len(res.Logprobs) != len(part) || len(res.Greedy) != len(part) {
			return nil, fmt.Errorf("evaluator answered %d log-probability and %d greedy rows to %d sequences",
				len(res.Logprobs), len(res.Greedy), len(part))
		}
		for k, i := range batch {
			l := &out[i]
			l.Greedy = true
			for t, p := range res.Logprobs[k] {
				l.LogProb += float64(p)
				l.Greedy = l.Greedy && res.Greedy[k][t]
			}
			if math.IsNaN(l.LogProb) || math.IsInf(l.LogProb, 0) {
				return nil, fmt.Errorf("request %d: log-likelihood %g: %w", i, l.LogProb, eval.ErrNotFinite)
			}
		}
		finished += len(batch)
		if done != nil {
			done(finished, tokens)
		}
	}
	return out, nil
}

// sequence lays a request out and says how many context tokens were cut off.
func sequence(r Request, maxLength int) (lm.Sequence, int, error) {
	n := len(r.Continuation)
	switch {
	case n == 0:
		return lm.Sequence{}, 0, fmt.Errorf("empty continuation")
	case len(r.Context) == 0:
		return lm.Sequence{}, 0, fmt.Errorf("empty context: the first token has nothing to be predicted from")
	case n > maxLength:
		return lm.Sequence{}, 0, fmt.Errorf("continuation of %d tokens, max_length is %d: %w",
			n, maxLength, eval.ErrTooLong)
	}
	context := r.Context
	cut := max(0, len(context)+n-(maxLength+1))
	context = context[cut:]
	s := lm.Sequence{Tokens: slices.Concat(context, r.Continuation), Targets: make([]int32, n)}
	for t := range s.Targets {
		s.Targets[t] = int32(len(context) + t)
	}
	return s, cut, nil
}
