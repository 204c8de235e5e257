package benchmark

import (
	"context"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/ggml/lm"
)

// words is an evaluator that finds a text likelier the more a function says: the log-
// probability of the last target is what likes(text) gives, all others are 0.
type words struct{ likes func(text string) float64 }

func (m words) Forward(_ context.Context, batch []lm.Sequence, _ lm.Options) (*lm.Output, error) {
	out := &lm.Output{}
	for _, s := range batch {
		p := make([]float32, len(s.Targets))
		p[len(p)-1] = float32(m.likes(evaltest.Tokenizer{}.Decode(s.Tokens, false)))
		out.Logprobs, out.Greedy = append(out.Logprobs, p), append(out.Greedy, make([]bool, len(p)))
	}
	return out, nil
}

func liking(likes func(text string) float64) eval.Subject {
	return eval.Subject{Name: "m", Evaluator: words{likes}, Tokenizer: evaltest.Tokenizer{}}
}

// byText is a reward model that looks its score up in the text of the answer.
func byText(score func(answer string) float64) eval.Reward {
	r := evaltest.Reward("r", func(x eval.Exchange) float32 { return float32(score(x.ResponseText)) })
	r.Form = "chat"
	return r
}

// cutting loses two tokens of every exchange.
type cutting struct{ evaltest.RewardFunc }

func (c cutting) ScoreCut(ctx context.Context, xs []eval.Exchange) ([]float32, []int, error) {
	scores, err := c.Score(ctx, xs)
	cut := make([]int, len(xs))
	for i := range cut {
		cut[i] = 2
	}
	return scores, cut, err
}
