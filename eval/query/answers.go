package query

import (
	"context"
	"fmt"

	"steer/eval"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/data"
)

// Prompt is one held-out prompt, rendered as the policy is to see it.
type Prompt struct {
	ID     string
	Text   string  // rendered, with template
	Tokens []int32 // the same as tokens
	// Turns is the conversation that Text renders; nil where it is none.
	Turns []data.Message
}

// Answers are the answers of one policy to all prompts.
type Answers struct {
	Policy string
	List   []Answer // one a prompt, in order
}

// Answer is one answer.
type Answer struct {
	Tokens []int32 // stop token included
	Text   string  // decoded, special tokens left out
	Finish lm.FinishReason
}

// GenerateOptions say how answers are sampled.
type GenerateOptions struct {
	MaxNew      int // tokens
	Sampling    lm.Sampling
	StopTokens  []int32
	StopStrings []string
	Batch       int // prompts handed to the generator at once
}

// Generate samples one answer a prompt. The random stream of a prompt depends on
// the run's seed and the prompt's place only, so every policy draws with the same
// numbers.
func Generate(
	ctx context.Context, s eval.Subject, set eval.Settings, opt GenerateOptions, prompts []Prompt, at eval.Progress,
) (*Answers, error) {
	if opt.MaxNew < 1 || opt.Batch < 1 {
		return nil, fmt.Errorf("eval: answers: want max_new_tokens and batch of at least 1, got %d and %d",
			opt.MaxNew, opt.Batch)
	}
	if s.Generator == nil || s.Tokenizer == nil {
		return nil, fmt.Errorf("eval: answers: model %q: generating needs a generator and a tokenizer", s.Name)
	}
	out := &Answers{Policy: s.Name, List: make([]Answer, 0, len(prompts))}
	at.Model, at.Total, at.Tokens = s.Name, len(prompts), 0
	for start := 0; start < len(prompts); start += opt.Batch {
		batch := prompts[start:min(start+opt.Batch, len(prompts))]
		reqs := make([]lm.Request, len(batch))
		for k, p := range batch {
			reqs[k] = lm.Request{
				Prompt: p.Tokens, MaxNew: opt.MaxNew,
				Seed:       seed.Derive(set.Seed, "eval.answers", uint64(start+k)),
				StopTokens: opt.StopTokens, StopStrings: opt.StopStrings,
			}
		}
		got, err := s.Generator.Generate(ctx, reqs, opt.Sampling)
		if err != nil {
			return nil, fmt.Errorf("eval: answers: model %q: %w", s.Name, err)
		}
		if len(got) != len(reqs) {
			return nil, fmt.Errorf("eval: answers: model %q: generator gave %d answers to %d prompts",
				s.Name, len(got), len(reqs))
		}
		for _, g := range got {
			out.List = append(out.List, Answer{Tokens: g.Tokens, Text: lm.Text(s.Tokenizer, g.Tokens),
				Finish: g.Finish})
			at.Tokens += int64(len(g.Tokens))
		}
		at.Done = start + len(batch)
		set.Report(at)
	}
	return out, nil
}
