package jobs

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/workspace/workspacetest"
	"steer/eval"
	"steer/eval/benchmark"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/rollout"
)

// A reward model reads a conversation in the form it was trained on, and says what it
// had to leave out of it.
func TestRewarderReadsConversations(t *testing.T) {
	w, _ := workspacetest.Demo(t)
	asked := asking{stop: []int32{w.Tok.EOS()}, text: RewardTokens}
	meta := map[string]string{rewards.MetaRole: "reward", rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco",
		rewards.MetaEOS: "true", rewards.MetaMaxLength: "30"}
	exchange := func(answer string) eval.Exchange {
		return eval.Exchange{PromptText: "Who? ", ResponseText: answer,
			Turns: []data.Message{{Role: data.RoleUser, Content: "Who?"}, {Role: data.RoleAssistant, Content: answer}}}
	}
	long := exchange("A cat and a dog and a bird and a cat and a dog and a bird and a cat and a dog and a bird and a " +
		"cat and a dog.")
	for _, form := range []string{"chat", "plain"} {
		meta[rewards.MetaForm] = form
		s, err := openScorer(w, nil, workspacetest.RewardAdapter(t, w, meta), asked, 512)
		require.NoError(t, err)
		require.Equal(t, form, string(s.trained))
		enc, err := rewards.EncoderOf(meta, w.Tok)
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
	s, err := openScorer(w, nil, workspacetest.RewardAdapter(t, w, nil), asked, 512)
	require.NoError(t, err)
	_, err = rewarder{s}.Score(context.Background(),
		[]eval.Exchange{{ResponseText: "A cat."}, {Prompt: []int32{1}, Response: []int32{5}}})
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
	set := benchmark.DefaultConfig().Settings
	set.MaxLength, set.Resamples = 10, 1
	rows := []data.ToxiGen{{Text: "a", ToxicityAI: 5, ToxicityHuman: 5}, {Text: "b"}}
	_, _, err := benchmark.ToxiGenReward(context.Background(), eval.Reward{Name: "r", Rewarder: q}, set, rows, 0)
	require.NoError(t, err)
	theory, err := rewards.Lookup(rewards.Toxicity)
	require.NoError(t, err)
	require.Equal(t, theory.ChatPrompt, q.seen[0].Turns[0].Content)
	require.Equal(t, "a", q.seen[0].ResponseText)
}

// Every model but the reference gets its divergence from it.
func TestDivergences(t *testing.T) {
	w, _ := workspacetest.Demo(t)
	base, err := w.Step(nil, false, 0)
	require.NoError(t, err)
	e := NewEval()
	e.KL.Path, e.KL.Reference = "rows.jsonl", "sft"
	subjects := []eval.Subject{{Name: "base", Evaluator: base}, {Name: "sft", Evaluator: base}}
	e.divergences(w, subjects)
	require.Nil(t, subjects[1].KL)
	got, err := subjects[0].KL(context.Background(), []lm.Sequence{{Tokens: []int32{1, 5, 6}, Targets: []int32{1, 2}}},
		lm.Options{})
	require.NoError(t, err)
	require.Len(t, got[0], 2)
	require.InDelta(t, 0, got[0][0], 1e-6)
	subjects[0].KL, e.KL.Reference = nil, "other"
	e.divergences(w, subjects)
	require.Nil(t, subjects[0].KL)
}

// A reward model is what carries a scalar head and is no policy, and none lies below another.
func TestScorerRefusesTheWrongAdapters(t *testing.T) {
	w, _ := workspacetest.Demo(t)
	policy := workspacetest.TrainedAdapter(t, w, "ppo.gguf", 2, workspacetest.TrainedOn(t, w, adapter.RolePolicy, nil))
	reward := workspacetest.TrainedAdapter(t, w, "reward.gguf", 3,
		workspacetest.TrainedOn(t, w, adapter.RoleReward, nil))
	bare := workspacetest.RewardAdapter(t, w, nil) // a head, and not a word
	_, err := openScorer(w, []string{reward}, bare, asking{}, 64)
	require.ErrorContains(t, err, "is a reward model, not the adapter below a reward model")
	_, err = openScorer(w, nil, policy, asking{}, 64)
	require.ErrorContains(t, err, "value head")
}

// A reward model reads the conversations of a policy that speaks another template in the
// form of its own training: the score is that of the same conversation put so.
func TestRewardModelReadsAnotherTemplateInItsOwn(t *testing.T) {
	w, _ := workspacetest.Demo(t)
	meta := map[string]string{rewards.MetaRole: "reward", rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco",
		rewards.MetaEOS: "true", rewards.MetaMaxLength: "40"}
	path := workspacetest.RewardAdapter(t, w, meta)
	hh, err := data.NewTemplate(data.TemplateHH, nil)
	require.NoError(t, err)
	prompt := []data.Message{{Role: data.RoleUser, Content: "Hi"}}
	segments, err := hh.Prompt(prompt)
	require.NoError(t, err)
	x, err := data.Tokenize(w.Tok, segments, data.TokenizeOptions{})
	require.NoError(t, err)
	answer, err := w.Tok.Encode(" Yes.\n\nHuman:", false, false)
	require.NoError(t, err)
	episode := rollout.Episode{
		Prompt:   rollout.Prompt{Tokens: x.IDs, Text: "\n\nHuman: Hi\n\nAssistant:", Messages: prompt},
		Response: answer, ResponseText: " Yes.\n\nHuman:",
	}

	for _, text := range []RewardText{RewardTokens, RewardRetokenized} {
		s, err := openScorer(w, nil, path, asking{template: hh, stop: []int32{w.Tok.EOS()}, text: text}, 512)
		require.NoError(t, err)
		require.True(t, s.reencode)
		got, err := s.Score(context.Background(), []rollout.Episode{episode})
		require.NoError(t, err)
		enc, err := rewards.EncoderOf(meta, w.Tok)
		require.NoError(t, err)
		ids, err := enc.Conversation([]data.Message{prompt[0], {Role: data.RoleAssistant, Content: "Yes."}})
		require.NoError(t, err)
		want, err := s.Raw(context.Background(), [][]int32{ids})
		require.NoError(t, err)
		require.Equal(t, [][]float64{rollout.Widen(want)}, got)
	}
	require.Contains(t, workspacetest.Said(w), "was trained with template guanaco, answers are asked for with hh: "+
		"prompts and answers are put before it in its own form")

	// In its own template it reads the very tokens.
	guanaco, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	s, err := openScorer(w, nil, path, asking{template: guanaco, stop: []int32{w.Tok.EOS()}, text: RewardTokens}, 512)
	require.NoError(t, err)
	require.False(t, s.reencode)
	got, err := s.Score(context.Background(), []rollout.Episode{episode})
	require.NoError(t, err)
	want, err := s.Raw(context.Background(),
		[][]int32{append(append(append([]int32{}, x.IDs...), answer...), w.Tok.EOS())})
	require.NoError(t, err)
	require.Equal(t, [][]float64{rollout.Widen(want)}, got)

	// The system message is part of the form.
	other := "Be brief."
	own, err := data.NewTemplate(data.TemplateGuanaco, &other)
	require.NoError(t, err)
	s, err = openScorer(w, nil, path, asking{template: own, stop: []int32{w.Tok.EOS()}, text: RewardTokens}, 512)
	require.NoError(t, err)
	require.True(t, s.reencode)
}
