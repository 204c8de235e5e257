package traintest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"steer/ggml/lm"
)

// Generate implements lm.Generator: plain sampling at a temperature, or greedy at
// 0. Top-k, top-p and min-p are refused unless they are switched off.
func (t *Toy) Generate(ctx context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	if s.TopK != 0 || s.MinP != 0 || (s.TopP != 0 && s.TopP != 1) {
		return nil, errors.New("traintest: the toy samples with a temperature only")
	}
	out := make([]lm.Generation, len(reqs))
	for i, req := range reqs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := t.check(lm.Sequence{Tokens: req.Prompt}); err != nil {
			return nil, err
		}
		out[i] = t.continuation(req, s)
	}
	return out, nil
}

func (t *Toy) continuation(req lm.Request, s lm.Sampling) lm.Generation {
	rng := rand.New(rand.NewPCG(req.Seed, 2))
	tokens := slices.Clone(req.Prompt)
	gen := lm.Generation{Finish: lm.FinishLength}
	for len(gen.Tokens) < req.MaxNew {
		acts := t.hidden(lm.Sequence{Tokens: tokens}, lm.Options{})
		p := t.predict(acts[len(acts)-1].h, lm.Options{Temperature: s.Temperature})
		id := int32(argmax(p))
		if s.Temperature > 0 {
			id = draw(p, rng.Float64())
		}
		tokens = append(tokens, id)
		gen.Tokens = append(gen.Tokens, id)
		if slices.Contains(req.StopTokens, id) {
			gen.Finish = lm.FinishStopToken
			break
		}
		text := Letters{}.Decode(gen.Tokens, false)
		if slices.ContainsFunc(req.StopStrings, func(stop string) bool { return strings.Contains(text, stop) }) {
			gen.Finish = lm.FinishStopString
			break
		}
	}
	return gen
}

// draw inverts the cumulative distribution at u in [0, 1).
func draw(p []float64, u float64) int32 {
	sum := 0.0
	for k, q := range p {
		sum += q
		if u < sum {
			return int32(k)
		}
	}
	return int32(len(p) - 1)
}
