package speed

import (
	"context"
	"slices"

	"steer/ggml/lm"
	"steer/rl/rollout"
)

// scoreTokens bounds a batch of the reward model, as the pipeline's default does.
const scoreTokens = 2048

// answers samples responses with the live policy and scores them by a reward model.
func (m *measurement) answers(
	ctx context.Context, g lm.Generator, scorer lm.Evaluator, reqs []lm.Request,
) (episodes []rollout.Episode, scores []float64, err error) {
	out, err := g.Generate(ctx, reqs, sampling)
	if err != nil {
		return nil, nil, err
	}
	seqs := make([]lm.Sequence, len(reqs))
	for i := range reqs {
		e := rollout.Episode{Response: out[i].Tokens}
		e.Tokens = reqs[i].Prompt
		episodes = append(episodes, e)
		all := append(slices.Clone(reqs[i].Prompt), out[i].Tokens...)
		seqs[i] = lm.Sequence{Tokens: all, Heads: []int32{int32(len(all) - 1)}}
	}
	for part := range slices.Chunk(seqs, max(1, scoreTokens/(m.Prompt+m.New))) {
		score, err := scorer.Forward(ctx, part, lm.Options{})
		if err != nil {
			return nil, nil, err
		}
		for _, h := range score.Heads {
			scores = append(scores, float64(h[0]))
		}
	}
	return episodes, scores, nil
}
