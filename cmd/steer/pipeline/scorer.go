package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"steer/ggml"
	"steer/rewards"
	"steer/rl/ppo"
)

// scorer is a reward model as PPO and evaluation ask it: normalised scores of episodes.
type scorer struct {
	*rewards.Scorer
	b      *Bench
	stop   []int32 // ids that end an answer; the last is the template's
	form   RewardText
	limit  int // tokens the reward model was trained on
	theory string
	// encoder puts conversations in the form of the adapter's training; nil with the
	// reason where its metadata do not tell that form.
	encoder   *rewards.Encoder
	noEncoder error
	trained   rewards.Form
}

// scorer opens the reward adapter at path on the base and the adapters below it.
func (b *Bench) scorer(below []string, path string, stop []int32, batchTokens int, form RewardText) (*scorer, error) {
	stack, err := b.LoadAdapters(below)
	if err != nil {
		return nil, err
	}
	return b.scorerOn(stack, path, stop, batchTokens, form)
}

func (b *Bench) scorerOn(below []*ggml.Adapter, path string, stop []int32, batchTokens int, form RewardText) (*scorer, error) {
	host, err := b.ReadAdapter(path)
	if err != nil {
		return nil, err
	}
	live, err := b.Adapter(host, false)
	if err != nil {
		return nil, fmt.Errorf("reward model %s: %w", path, err)
	}
	step, err := b.Step(append(append([]*ggml.Adapter{}, below...), live), false, 0)
	if err != nil {
		return nil, fmt.Errorf("reward model %s: %w", path, err)
	}
	s, err := rewards.NewScorer(step, host.Head, batchTokens)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	limit := b.Model.Info().CtxTrain
	if n, err := strconv.Atoi(host.Meta[rewards.MetaMaxLength]); err == nil {
		limit = min(limit, n)
	}
	out := &scorer{Scorer: s, b: b, stop: stop, form: form, limit: limit, theory: host.Meta[rewards.MetaTheory]}
	if out.encoder, out.noEncoder = rewards.EncoderOf(host.Meta, b.Tok); out.noEncoder == nil {
		out.trained = out.encoder.Form()
	}
	return out, nil
}

// Score implements ppo.Scorer.
func (s *scorer) Score(ctx context.Context, episodes []ppo.Episode) ([]float32, error) {
	sequences := make([][]int32, len(episodes))
	for i, e := range episodes {
		ids, err := s.tokens(slices.Concat(e.Prompt, e.Response), e.PromptText+e.ResponseText)
		if err != nil {
			return nil, fmt.Errorf("episode %d: %w", i, err)
		}
		sequences[i] = s.cut(ids)
	}
	return s.Scorer.Score(ctx, sequences)
}

// tokens is what the reward model reads of an episode: its tokens, closed, or its text
// tokenized again.
func (s *scorer) tokens(ids []int32, text string) ([]int32, error) {
	if s.form == RewardRetokenized {
		return s.b.Tok.Encode(text, true, true)
	}
	return s.close(ids), nil
}

// close ends an answer that its length ended with the template's end token: the score
// is read where the reward model learned to give it.
func (s *scorer) close(ids []int32) []int32 {
	if len(s.stop) == 0 || len(ids) > 0 && slices.Contains(s.stop, ids[len(ids)-1]) {
		return ids
	}
	return append(ids, s.stop[len(s.stop)-1])
}

// cut keeps the end of a sequence longer than the reward model's.
func (s *scorer) cut(ids []int32) []int32 {
	if len(ids) > s.limit {
		ids = ids[len(ids)-s.limit:]
	}
	return ids
}

func numbered(role string, i int) string { return fmt.Sprintf("%s.%d", role, i) }
