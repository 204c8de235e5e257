package benchmark

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/rl/run"
)

func crossPrompts(n int) []query.Prompt {
	out := make([]query.Prompt, n)
	for i := range out {
		text := fmt.Sprintf("q%02d", i)
		ids, _ := evaltest.Tokenizer{}.Encode(text, false, false)
		out[i] = query.Prompt{ID: text, Text: text, Tokens: ids}
	}
	return out
}

func crossOptions() CrossRewardOptions {
	return CrossRewardOptions{Reference: "sft", Samples: 2, Bins: 5,
		Generate: query.GenerateOptions{MaxNew: 40, Batch: 7, Sampling: lm.Sampling{Temperature: 1, TopP: 1}}}
}

func TestCrossReward(t *testing.T) {
	policies := []eval.Subject{evaltest.Policy("base", "okay", 1), evaltest.Policy("sft", "okay", 2),
		evaltest.Policy("kind", "good", 2.5)}
	rewards := []eval.Reward{{Name: "counts", Rewarder: evaltest.CountGood, Mean: 4, Std: 2},
		{Name: "flat", Rewarder: evaltest.RewardFunc(func(eval.Exchange) float32 { return 7 }), Mean: 7, Std: 1}}
	prompts := crossPrompts(30)
	res, records, err := CrossReward(context.Background(), policies, rewards, evaltest.Settings(), crossOptions(),
		prompts)
	require.NoError(t, err)
	require.Equal(t, "normalised", res.Unit)
	require.Equal(t, []string{"base", "sft", "kind"}, res.Policies)
	require.Len(t, res.Cells, 3)

	// Answers have 4 + (last digit) characters; mean of the digits over 30 prompts is 4.5.
	sft, kind, base := res.Cells[1][0], res.Cells[2][0], res.Cells[0][0]
	require.InDelta(t, (8.5-4)/2, sft.Mean, 1e-12)
	require.InDelta(t, (18.5-4)/2, kind.Mean, 1e-12)
	require.Nil(t, sft.Diff)
	require.InDelta(t, 5, *kind.Diff, 1e-12)
	// Paired: the prompts' own spread cancels.
	require.InDelta(t, 5, *kind.DiffLo, 1e-9)
	require.InDelta(t, 5, *kind.DiffHi, 1e-9)
	require.InDelta(t, 1, *kind.WinRate, 1e-12)
	require.InDelta(t, .5, *base.WinRate, 1e-12) // all ties
	require.Less(t, *kind.Lo, kind.Mean)
	require.Greater(t, *kind.Hi, kind.Mean)
	require.InDelta(t, 8.5, res.Lengths["kind"].Mean, 1e-12)
	require.NotContains(t, res.KL, "sft")

	// KL by hand for the first prompt of "kind".
	reference, model := policies[1].Evaluator.(*evaltest.Bigram), policies[2].Evaluator.(*evaltest.Bigram)
	k1, k3 := 0.0, 0.0
	seq := append(slices.Clone(prompts[0].Tokens), []int32{'g', 'o', 'o', 'd'}...)
	for i := 3; i < len(seq); i++ {
		p, _ := model.Logprob(seq[i-1], seq[i], 1)
		q, _ := reference.Logprob(seq[i-1], seq[i], 1)
		k1 += p - q
		k3 += math.Exp(q-p) - 1 - (q - p)
	}
	at := slices.IndexFunc(records, func(r run.Answer) bool { return r.Policy == "kind" && r.ID == "q00" })
	require.InDelta(t, k1, records[at].KL, 1e-4)
	require.InDelta(t, k3, records[at].KLK3, 1e-4)
	require.GreaterOrEqual(t, records[at].KLK3, 0.0)
	require.Len(t, records, 90)
	require.InDelta(t, 14, records[at].Raw["counts"], 1e-6)

	// Same numbers for every policy, other ones for every prompt.
	a, b := policies[0].Generator.(*evaltest.Scripted).Seen, policies[2].Generator.(*evaltest.Scripted).Seen
	for i := range a {
		require.Equal(t, a[i].Seed, b[i].Seed)
	}
	seeds := map[uint64]bool{}
	for _, r := range a {
		seeds[r.Seed] = true
	}
	require.Len(t, seeds, 30)

	for _, h := range res.Histograms {
		sum := 0.0
		for _, k := range h.Counts {
			sum += k
		}
		require.EqualValues(t, 30, sum)
		require.Len(t, h.Edges, 6)
	}
	require.Len(t, res.Samples, 2)
	require.Equal(t, "good", res.Samples[0].Answers["kind"])
	require.InDelta(t, 5, res.Samples[0].Scores["kind"]["counts"], 1e-12)
}

func TestCrossRewardWithoutNormalisationIsRaw(t *testing.T) {
	rewards := []eval.Reward{{Name: "a", Rewarder: evaltest.CountGood, Mean: 4, Std: 2},
		{Name: "b", Rewarder: evaltest.CountGood}}
	res, _, err := CrossReward(context.Background(), []eval.Subject{evaltest.Policy("sft", "okay", 1)}, rewards,
		evaltest.Settings(), crossOptions(), crossPrompts(10))
	require.NoError(t, err)
	require.Equal(t, "raw", res.Unit)
	require.Equal(t, res.Cells[0][0], res.Cells[0][1])
}

func TestCrossRewardRefuses(t *testing.T) {
	measure := func(policies []eval.Subject, rewards []eval.Reward, prompts []query.Prompt) error {
		_, _, err := CrossReward(context.Background(), policies, rewards, evaltest.Settings(), crossOptions(), prompts)
		return err
	}
	sft, good := evaltest.Policy("sft", "a", 1), eval.Reward{Name: "r", Rewarder: evaltest.CountGood}
	require.ErrorIs(t, measure([]eval.Subject{sft}, []eval.Reward{good}, nil), eval.ErrNoItems)
	require.ErrorContains(t, measure([]eval.Subject{sft}, nil, crossPrompts(2)), "no reward model")
	require.ErrorContains(t, measure([]eval.Subject{evaltest.Policy("base", "a", 1)}, []eval.Reward{good},
		crossPrompts(2)), `reference "sft" is not among`)
	require.ErrorContains(t, measure([]eval.Subject{sft, sft}, []eval.Reward{good}, crossPrompts(2)),
		`two policies are named "sft"`)
	require.ErrorContains(t, measure([]eval.Subject{sft}, []eval.Reward{good, good}, crossPrompts(2)),
		`two reward models are named "r"`)
	require.ErrorIs(t, measure([]eval.Subject{sft}, []eval.Reward{good}, append(crossPrompts(2), crossPrompts(1)...)),
		eval.ErrDuplicateID)
	bad := evaltest.Reward("r", func(eval.Exchange) float32 { return float32(math.NaN()) })
	require.ErrorIs(t, measure([]eval.Subject{sft}, []eval.Reward{bad}, crossPrompts(2)), eval.ErrNotFinite)
	poison := evaltest.Policy("x", "a", 1)
	poison.Evaluator = &evaltest.Bigram{Poison: true}
	require.ErrorIs(t, measure([]eval.Subject{sft, poison}, []eval.Reward{good}, crossPrompts(2)), eval.ErrNotFinite)
}

func TestEmptyAnswerHasNoDivergence(t *testing.T) {
	silent := evaltest.Policy("silent", "", 3)
	silent.Generator = &evaltest.Scripted{Answer: func(string) string { return "" }}
	res, _, err := CrossReward(context.Background(), []eval.Subject{evaltest.Policy("sft", "a", 1), silent},
		[]eval.Reward{{Name: "r", Rewarder: evaltest.CountGood}}, evaltest.Settings(), crossOptions(), crossPrompts(3))
	require.NoError(t, err)
	require.Zero(t, res.KL["silent"].Mean)
	require.Zero(t, res.Lengths["silent"].Mean)
}

// batchesOf keeps the prompts of every call.
type batchesOf struct {
	eval.Rewarder
	calls *[][]string
}

func (r batchesOf) Score(ctx context.Context, xs []eval.Exchange) ([]float32, error) {
	var prompts []string
	for _, x := range xs {
		prompts = append(prompts, x.PromptText)
	}
	*r.calls = append(*r.calls, prompts)
	return r.Rewarder.Score(ctx, xs)
}

// A prompt is computed once for all policies only if their answers are asked about together.
func TestMatrixScoresAllAnswersToAPromptTogether(t *testing.T) {
	policies := []eval.Subject{evaltest.Policy("base", "okay", 1), evaltest.Policy("sft", "okay", 2),
		evaltest.Policy("kind", "good", 2.5)}
	var calls [][]string
	rewards := []eval.Reward{{Name: "counts", Rewarder: batchesOf{evaltest.CountGood, &calls}, Mean: 4, Std: 2}}
	prompts := crossPrompts(promptsAtOnce + 6)
	_, records, err := CrossReward(context.Background(), policies, rewards, evaltest.Settings(), crossOptions(),
		prompts)
	require.NoError(t, err)
	require.Len(t, calls, 2)
	require.Len(t, calls[0], 3*promptsAtOnce)
	require.Len(t, calls[1], 3*6)
	for _, r := range records { // each answer got its own score
		require.EqualValues(t, evaltest.CountGood(eval.Exchange{ResponseText: r.Answer}), r.Raw["counts"],
			r.ID+" "+r.Policy)
	}
}
