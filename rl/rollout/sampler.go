package rollout

import (
	"context"
	"fmt"
	"slices"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rl/train"
)

// Sampler turns prompts into episodes.
type Sampler struct {
	*Sampling
	Seed      uint64
	Generator lm.Generator
	Tokenizer lm.Tokenizer
	Stop      []int32 // end tokens
}

// Sample answers every prompt. use and counter name the random streams: the same use, counter and
// place draw the same numbers; the first prompt's place is first.
func (s *Sampler) Sample(
	ctx context.Context, prompts []Prompt, use string, counter uint64, first int,
) ([]Episode, error) {
	reqs := make([]lm.Request, len(prompts))
	for i, p := range prompts {
		reqs[i] = lm.Request{
			Prompt: p.Tokens,
			MaxNew: s.maxNew(use, counter, first+i),
			Seed:   seed.Derive(s.Seed, use, counter, uint64(first+i)),
		}
		if s.EOS == EOSStop {
			reqs[i].StopTokens = s.Stop
			reqs[i].StopStrings = s.StopStrings
		}
	}
	gens, err := s.Generator.Generate(ctx, reqs, lm.Sampling{
		Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
	})
	if err != nil {
		return nil, err
	}
	if len(gens) != len(reqs) {
		return nil, fmt.Errorf("%d prompts gave %d responses", len(reqs), len(gens))
	}
	episodes := make([]Episode, len(prompts))
	for i, g := range gens {
		response, ended := g.Tokens, g.Finish != lm.FinishLength
		if s.EOS == EOSCut {
			response, ended = cutBehind(g.Tokens, s.Stop)
		}
		if len(response) == 0 {
			return nil, fmt.Errorf("prompt %d (%q): the response has no token: want at least one, the end token "+
				"included", i, shorten(prompts[i].Text, 60))
		}
		episodes[i] = Episode{
			Prompt: prompts[i], Response: response, ResponseText: lm.Text(s.Tokenizer, response), Ended: ended,
		}
	}
	return episodes, nil
}

// maxNew is the longest response of place i of a batch. trl's LengthSampler draws once
// for each generate call; stack_llama's calls take four prompts.
func (s *Sampler) maxNew(use string, counter uint64, i int) int {
	if s.LengthDraw == LengthFixed {
		return s.MaxNewTokens
	}
	group := i / s.LengthGroup // LengthGroup is 1 where every sample draws
	rng := seed.Rand(s.Seed, use+".length", counter, uint64(group))
	return s.MinNewTokens + rng.IntN(s.MaxNewTokens-s.MinNewTokens+1)
}

// PassTemperature divides the logits in every forward pass.
func (s *Sampling) PassTemperature() float32 {
	if s.LogprobTemperature == LogprobAtOne {
		return 1
	}
	return s.Temperature
}

// cutBehind keeps the tokens up to and including the first end token.
func cutBehind(tokens, stop []int32) (kept []int32, ended bool) {
	for i, id := range tokens {
		if slices.Contains(stop, id) {
			return tokens[:i+1], true
		}
	}
	return tokens, false
}

// pickPrompts returns the n prompts from cursor on of an endless stream: all prompts in
// a fresh order, again and again. name is the stream's.
func pickPrompts(prompts []Prompt, runSeed uint64, name string, cursor int64, n int) []Prompt {
	order := train.NewOrder(len(prompts), true, runSeed, name)
	out := make([]Prompt, 0, n)
	for _, i := range order.Span(cursor, cursor+int64(n)) {
		out = append(out, prompts[i])
	}
	return out
}

// Repetition is the share of n-grams of a response that occurred earlier in it, 0 for
// a response shorter than n tokens.
func Repetition(tokens []int32, n int) float64 {
	total := len(tokens) - n + 1
	if total < 1 {
		return 0
	}
	seen := map[string]bool{}
	for i := range total {
		key := make([]byte, 0, 4*n)
		for _, id := range tokens[i : i+n] {
			key = append(key, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
		}
		seen[string(key)] = true
	}
	return float64(total-len(seen)) / float64(total)
}

// shorten cuts a text for an error message.
func shorten(text string, runes int) string {
	r := []rune(text)
	if len(r) <= runes {
		return text
	}
	return string(r[:runes]) + "…"
}
