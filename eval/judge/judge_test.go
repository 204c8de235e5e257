package judge

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/ggml/lm"
	"steer/rl/data"
)

// bytesTokenizer gives each byte a token.
type bytesTokenizer struct{ evaltest.Tokenizer }

func (bytesTokenizer) Encode(text string, _, _ bool) ([]int32, error) {
	ids := make([]int32, len(text))
	for i := range text {
		ids[i] = int32(text[i])
	}
	return ids, nil
}

func (bytesTokenizer) BOS() int32     { return -1 }
func (bytesTokenizer) EOS() int32     { return -1 }
func (bytesTokenizer) VocabSize() int { return 256 }

// reader is a model that reads the two answers, likes one by how often it says "good", and the place A by so much.
type reader struct {
	place float64
	calls int
	fail  bool
}

func (r *reader) Forward(_ context.Context, batch []lm.Sequence, _ lm.Options) (*lm.Output, error) {
	r.calls++
	out := &lm.Output{}
	for _, s := range batch {
		text := make([]byte, len(s.Tokens))
		for i, id := range s.Tokens {
			text[i] = byte(id)
		}
		_, rest, _ := strings.Cut(string(text), " A:\n")
		a, b, _ := strings.Cut(rest, " B:\n")
		odds := float64(strings.Count(a, "good")-strings.Count(b, "good")) + r.place
		logp := -math.Log1p(math.Exp(-odds))
		if text[s.Targets[0]] == 'B' {
			logp = -math.Log1p(math.Exp(odds))
		}
		if r.fail {
			logp = math.NaN()
		}
		out.Logprobs = append(out.Logprobs, []float32{float32(logp)})
	}
	return out, nil
}

func config(t *testing.T) *Config {
	tpl, err := data.NewTemplate("chatml", nil)
	require.NoError(t, err)
	return &Config{Constitution: "Prefer what is good.", Template: tpl, Tokenizer: bytesTokenizer{},
		MaxTokens: 2000, BatchTokens: 3000}
}

func pairs() []data.Pair {
	return []data.Pair{
		{Prompt: "How are you?", Chosen: "good good", Rejected: "bad", Source: "pairs.csv", Line: 2},
		{Chosen: "a good deed", Rejected: "a deed", Line: 3},
		{Prompt: "And?", Chosen: "well", Rejected: "good good good", Line: 4},
		{Prompt: "Same?", Chosen: "good", Rejected: "good", Line: 5},
	}
}

// A place that is preferred cancels in the margin, and is the bias.
func TestMarginsAreFreeOfThePlace(t *testing.T) {
	for _, place := range []float64{0, 0.5, -2.5} {
		told := []int{}
		got, err := config(t).Judge(context.Background(), &reader{place: place}, pairs(),
			func(n int) { told = append(told, n) })
		require.NoError(t, err)
		for i, want := range []float64{2, 1, -3, 0} {
			require.InDelta(t, want, got[i].Margin(), 1e-5)
			require.InDelta(t, place, got[i].Bias(), 1e-5)
			require.InDelta(t, want+place, got[i].First, 1e-5, "asked first with the chosen answer at A")
			require.InDelta(t, want-place, got[i].Second, 1e-5)
		}
		require.Equal(t, len(pairs()), told[len(told)-1])
	}
}

func TestSummary(t *testing.T) {
	got, err := config(t).Judge(context.Background(), &reader{place: 1.5}, pairs(), func(int) {})
	require.NoError(t, err)
	s := Summarize(got, true, 0, false)
	require.Equal(t, [4]int{4, 3, 1, 0}, [4]int{s.Pairs, s.Kept, s.Undecided, s.TooLong}, "equal sides are undecided")
	require.InDelta(t, 0.5, s.Agreement.Mean, 1e-12)
	require.Less(t, *s.Agreement.Lo, 0.5)
	require.InDelta(t, 0.5, s.Inconsistent.Mean, 1e-12, "margins 1 and 0 are less than the place is worth")
	require.InDelta(t, 1.0, s.FirstPlace.Mean, 1e-12)
	require.InDelta(t, 1.5, s.Bias.Mean, 1e-5)
	require.Equal(t, 2, Summarize(got, true, 0, true).Kept, "where both orders agree")
	require.Equal(t, 1, Summarize(got, true, 2.5, false).Kept)
	require.Nil(t, Summarize(got, false, 0, false).Agreement, "without labels")
}

func TestLongQuestionsAreNotAsked(t *testing.T) {
	c := config(t)
	long := pairs()
	long[1].Rejected = strings.Repeat("word ", 1000)
	got, err := c.Judge(context.Background(), &reader{}, long, func(int) {})
	require.NoError(t, err)
	require.True(t, got[1].TooLong)
	require.False(t, got[0].TooLong)
	require.InDelta(t, -3, got[2].Margin(), 1e-5)
	s := Summarize(got, true, 0, false)
	require.Equal(t, 1, s.TooLong)
	require.Equal(t, 3, s.Agreement.N)
	none := Summarize(got[1:2], true, 0, false)
	require.Nil(t, none.Agreement)
	require.Zero(t, none.Inconsistent.Mean)
}

func TestWhatCannotBeJudged(t *testing.T) {
	c := config(t)
	judge := func(p data.Pair, model lm.Evaluator) error {
		_, err := c.Judge(context.Background(), model, []data.Pair{p}, func(int) {})
		return err
	}
	one := pairs()[0]
	one.Missing = data.SideRejected
	require.ErrorContains(t, judge(one, &reader{}), "pairs.csv: line 2: want two answers")
	require.ErrorIs(t, judge(pairs()[0], &reader{fail: true}), eval.ErrNotFinite)
}

// What several turns ask and answer is shown with who said it.
func TestSidesOfConversations(t *testing.T) {
	turn := func(role, text string) data.Message { return data.Message{Role: role, Content: text} }
	asked := []data.Message{turn(data.RoleUser, "Hi"), turn(data.RoleAssistant, "Hello"), turn(data.RoleUser, "Well?")}
	prompt, a, b := Sides(data.Pair{
		ChosenTurns:   append(asked[:3:3], turn(data.RoleAssistant, "yes")),
		RejectedTurns: append(asked[:3:3], turn(data.RoleAssistant, "no")),
	})
	require.Equal(t, "user: Hi\nassistant: Hello\nuser: Well?", prompt)
	require.Equal(t, [2]string{"yes", "no"}, [2]string{a, b})
	_, a, b = Sides(data.Pair{
		ChosenTurns: append(asked[:1:1],
			turn(data.RoleAssistant, "yes"), turn(data.RoleUser, "so"), turn(data.RoleAssistant, "!")),
		RejectedTurns: append(asked[:1:1], turn(data.RoleAssistant, "no")),
	})
	require.Equal(t, "assistant: yes\nuser: so\nassistant: !", a)
	require.Equal(t, "no", b)
}
