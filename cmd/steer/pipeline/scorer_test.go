package pipeline

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rewards"
	"steer/rl/data"
)

// rewardAdapter writes a reward adapter with a random head.
func rewardAdapter(t *testing.T, b *Bench, meta map[string]string) string {
	t.Helper()
	a, err := adapter.New(b.Model.Shape(), []string{"attn_q"}, 2, 4, false, 1)
	require.NoError(t, err)
	a.Head = &adapter.Head{Weight: rewards.HeadScaled.Weights(b.Model.Shape().Embd, 1)}
	a.Meta = meta
	path := filepath.Join(t.TempDir(), "reward.gguf")
	require.NoError(t, a.Save(path))
	return path
}

// A reward model reads a conversation in the form it was trained on, and says what it
// had to leave out of it.
func TestRewarderReadsConversations(t *testing.T) {
	j, _ := demoSFT(t)
	b := openDemo(t, j)
	asked := asking{stop: []int32{b.Tok.EOS()}, text: RewardTokens}
	meta := map[string]string{rewards.MetaRole: "reward", rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco", rewards.MetaEOS: "true", rewards.MetaMaxLength: "30"}
	exchange := func(answer string) eval.Exchange {
		return eval.Exchange{PromptText: "Who? ", ResponseText: answer,
			Turns: []data.Message{{Role: data.RoleUser, Content: "Who?"}, {Role: data.RoleAssistant, Content: answer}}}
	}
	long := exchange("A cat and a dog and a bird and a cat and a dog and a bird and a cat and a dog and a bird and a cat and a dog.")
	for _, form := range []string{"chat", "plain"} {
		meta[rewards.MetaForm] = form
		s, err := openScorer(b, nil, rewardAdapter(t, b, meta), asked, 512)
		require.NoError(t, err)
		require.Equal(t, form, string(s.trained))
		enc, err := rewards.EncoderOf(meta, b.Tok)
		require.NoError(t, err)
		scores, cut, err := rewarder{s}.ScoreCut(context.Background(), []eval.Exchange{exchange("A cat."), long})
		require.NoError(t, err)
		ids, err := enc.Conversation(exchange("A cat.").Turns)
		if form == "plain" {
			ids, err = enc.Text("Who? A cat.")
		}
		require.NoError(t, err)
		want, err := s.Raw(context.Background(), [][]int32{ids})
		require.NoError(t, err)
		require.Equal(t, want[0], scores[0], form)
		require.Zero(t, cut[0])
		whole, err := enc.Text("Who? " + long.ResponseText)
		if form == "chat" {
			whole, err = enc.Conversation(long.Turns)
		}
		require.NoError(t, err)
		limit, err := strconv.Atoi(meta[rewards.MetaMaxLength])
		require.NoError(t, err)
		require.Greater(t, len(whole), limit)
		require.Equal(t, len(whole)-limit, cut[1])
	}

	// An adapter that does not tell its form can score tokens, but no conversation.
	s, err := openScorer(b, nil, rewardAdapter(t, b, nil), asked, 512)
	require.NoError(t, err)
	_, err = rewarder{s}.Score(context.Background(), []eval.Exchange{{ResponseText: "A cat."}, {Prompt: []int32{1}, Response: []int32{5}}})
	require.NoError(t, err)
	_, err = rewarder{s}.Score(context.Background(), []eval.Exchange{exchange("A cat.")})
	require.ErrorContains(t, err, "the form of its texts is not known")
}

// questions keeps what it is asked.
type questions struct{ seen []eval.Exchange }

func (q *questions) Score(_ context.Context, xs []eval.Exchange) ([]float32, error) {
	q.seen = append(q.seen, xs...)
	return make([]float32, len(xs)), nil
}

// The toxicity classifier is asked in the words it was trained on.
func TestStatementsAreAskedForAsInTraining(t *testing.T) {
	q := &questions{}
	set := eval.DefaultConfig().Settings
	set.MaxLength, set.Resamples = 10, 1
	rows := []data.ToxiGen{{Text: "a", ToxicityAI: 5, ToxicityHuman: 5}, {Text: "b"}}
	_, _, err := eval.ToxiGenReward(context.Background(), eval.Reward{Name: "r", Rewarder: q}, set, rows, 0)
	require.NoError(t, err)
	theory, err := rewards.Lookup(rewards.Toxicity)
	require.NoError(t, err)
	require.Equal(t, theory.ChatPrompt, q.seen[0].Turns[0].Content)
	require.Equal(t, "a", q.seen[0].ResponseText)
}

// Every model but the reference gets its divergence from it.
func TestDivergences(t *testing.T) {
	j, _ := demoSFT(t)
	b := openDemo(t, j)
	base, err := b.Step(nil, false, 0)
	require.NoError(t, err)
	e := NewEval()
	e.KL.Path, e.KL.Reference = "rows.jsonl", "sft"
	subjects := []eval.Subject{{Name: "base", Evaluator: base}, {Name: "sft", Evaluator: base}}
	e.divergences(b, subjects)
	require.Nil(t, subjects[1].KL)
	got, err := subjects[0].KL(context.Background(), []lm.Sequence{{Tokens: []int32{1, 5, 6}, Targets: []int32{1, 2}}}, lm.Options{})
	require.NoError(t, err)
	require.Len(t, got[0], 2)
	require.InDelta(t, 0, got[0][0], 1e-6)
	subjects[0].KL, e.KL.Reference = nil, "other"
	e.divergences(b, subjects)
	require.Nil(t, subjects[0].KL)
}
