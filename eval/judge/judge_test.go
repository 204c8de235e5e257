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
	"steer/internal/stats"
	"steer/rl/data"
	"steer/rl/run"
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

func pairs() []Pair {
	return Of([]data.Pair{
		{Prompt: "How are you?", Chosen: "good good", Rejected: "bad", Source: "pairs.csv", Line: 2},
		{Chosen: "a good deed", Rejected: "a deed", Line: 3},
		{Prompt: "And?", Chosen: "well", Rejected: "good good good", Line: 4},
		{Prompt: "Same?", Chosen: "good", Rejected: "good", Line: 5},
	}, true)
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
			require.InDelta(t, 1/(1+math.Exp(-want-place)), got[i].P()[0], 1e-5)
			require.InDelta(t, 1/(1+math.Exp(-want+place)), got[i].P()[1], 1e-5)
			require.InDelta(t, 1, got[i].Letters, 1e-5, "this reader says nothing else")
		}
		require.Equal(t, len(pairs()), told[len(told)-1])
	}
}

// More pairs than are in memory at once are judged as one by one.
func TestManyPairs(t *testing.T) {
	var many []Pair
	for range atOnce/2 + 1 {
		many = append(many, pairs()...)
	}
	last := 0
	got, err := config(t).Judge(context.Background(), &reader{}, many, func(n int) {
		require.GreaterOrEqual(t, n, last)
		last = n
	})
	require.NoError(t, err)
	require.Equal(t, len(many), last)
	for i, j := range got {
		require.InDelta(t, []float64{2, 1, -3, 0}[i%4], j.Margin(), 1e-5)
	}
}

func TestVerdicts(t *testing.T) {
	j := Judgement{First: 3, Second: -1} // margin 1, bias 2
	for _, c := range []struct {
		rule Rule
		j    Judgement
		want Verdict
	}{
		{Rule{}, j, Kept},
		{Rule{MinMargin: 1}, j, Kept},
		{Rule{MinMargin: 1.1}, j, Close},
		{Rule{Consistent: true}, j, Inconsistent},
		{Rule{Consistent: true}, Judgement{First: -3, Second: -1}, Kept},
		{Rule{}, Judgement{First: 2, Second: -2}, Tie},
		{Rule{Consistent: true}, Judgement{First: 2, Second: -2}, Tie},
		{Rule{}, Judgement{TooLong: true}, TooLong},
	} {
		require.Equal(t, c.want, c.rule.Verdict(c.j), c)
	}
}

func TestSummary(t *testing.T) {
	all := pairs()
	got, err := config(t).Judge(context.Background(), &reader{place: 1.5}, all, func(int) {})
	require.NoError(t, err)
	s := Summarize(all, got, Rule{})
	require.Equal(t, [2]int{4, 3}, [2]int{s.Pairs, s.Kept})
	require.Equal(t, run.LeftOut{Ties: 1}, s.LeftOut, "equal sides are a tie")
	a := s.Agreement
	require.InDelta(t, 0.5, a.Share.Mean, 1e-12)
	lo, hi := stats.Wilson(2, 4, 0.95)
	require.Equal(t, [2]float64{lo, hi}, [2]float64{*a.Share.Lo, *a.Share.Hi})
	require.InDelta(t, 0, a.Kappa.Mean, 1e-12)
	require.InDelta(t, 2*lo-1, *a.Kappa.Lo, 1e-12)
	require.InDelta(t, 1, a.ChanceP, 1e-12)
	require.InDelta(t, 2.0/3, a.Kept.Mean, 1e-12, "of the preferences that are written two are right")
	require.InDelta(t, (1+0.5+0+0.5)/4, a.OneOrder.Mean, 1e-12)
	p := s.Position
	require.InDelta(t, 0.5, p.Inconsistent.Mean, 1e-12, "margins 1 and 0 are less than the place is worth")
	require.InDelta(t, 0.5, p.AlwaysFirst.Mean, 1e-12)
	require.InDelta(t, 0.0, p.AlwaysSecond.Mean, 1e-12)
	require.InDelta(t, 1.5, p.LogOdds.Mean, 1e-5)
	require.Greater(t, p.FirstPlace.Mean, 0.6)
	require.InDelta(t, 1, s.Letters.Mean, 1e-5)
	require.InDelta(t, 1, s.Longer.Mean, 1e-12, "good is a longer word than bad")
	require.Equal(t, 3, s.Longer.N)

	require.Equal(t, run.LeftOut{Ties: 1, Inconsistent: 1}, Summarize(all, got, Rule{Consistent: true}).LeftOut)
	require.Equal(t, run.LeftOut{Ties: 1, Close: 2}, Summarize(all, got, Rule{MinMargin: 2.5}).LeftOut)
	for i := range all {
		all[i].Labelled = false
	}
	require.Nil(t, Summarize(all, got, Rule{}).Agreement, "without labels")
}

// Cohen's kappa by its definition, over the single questions, is what the summary says of one order.
func TestKappaIsCohens(t *testing.T) {
	judged := []Judgement{{First: 2, Second: 1}, {First: 1, Second: -3}, {First: -1, Second: 2}, {First: 1, Second: 2},
		{First: -1, Second: -2}}
	var gold, said []int
	for _, j := range judged {
		at := func(odds float64, a, b int) int {
			if odds > 0 {
				return a
			}
			return b
		}
		gold = append(gold, 0, 1) // the labelled answer stands at A, then at B
		said = append(said, at(j.First, 0, 1), at(j.Second, 1, 0))
	}
	c, err := stats.NewConfusion(gold, said)
	require.NoError(t, err)
	all := Of(make([]data.Pair, len(judged)), true)
	require.InDelta(t, c.Kappa(), 2*Summarize(all, judged, Rule{}).Agreement.OneOrder.Mean-1, 1e-12)
}

// Policies are set against one another whichever of them stands first in the pair.
func TestContests(t *testing.T) {
	by := func(a, b string) Pair {
		return Pair{Pair: data.Pair{Chosen: "x", Rejected: "y"}, Policies: [2]string{a, b}}
	}
	all := []Pair{by("sft", "dpo"), by("dpo", "sft"), by("sft", "dpo"), by("sft", "sft"), by("sft", "base"), by("", "")}
	judged := []Judgement{{First: 1, Second: 1}, {First: -1, Second: -1}, {First: -1, Second: -1}, {First: 1},
		{First: 1, Second: -1}, {First: 1}}
	s := Summarize(all, judged, Rule{})
	require.Len(t, s.Contests, 2)
	require.Equal(t, [2]string{"sft", "dpo"}, [2]string{s.Contests[0].First, s.Contests[0].Second})
	require.InDelta(t, 2.0/3, s.Contests[0].Wins.Mean, 1e-12)
	require.Equal(t, 3, s.Contests[0].Wins.N)
	require.Equal(t, "base", s.Contests[1].Second)
	require.Equal(t, [2]int{1, 0}, [2]int{s.Contests[1].Ties, s.Contests[1].Wins.N})
	require.Nil(t, s.Longer)
}

func TestPairsOfCandidates(t *testing.T) {
	said := func(text string, score float64) data.RankedAnswer {
		return data.RankedAnswer{Turns: []data.Message{{Role: data.RoleAssistant, Content: text}}, Score: score}
	}
	row := data.Ranked{Prompt: []data.Message{{Role: data.RoleUser, Content: "q"}}, Source: "c.jsonl", Line: 7,
		Answers:  []data.RankedAnswer{said("x", 1), said("y", 2), said("x ", 2), said("z", 2)},
		Policies: []string{"a", "b", "c", "d"}}
	got, same := Pairs([]data.Ranked{row}, false, 0)
	require.Equal(t, 1, same, "x twice")
	var shown []string
	for _, p := range got {
		shown = append(shown, p.Policies[0]+p.Policies[1]+map[bool]string{true: "!"}[p.Labelled])
		require.Equal(t, 7, p.Line)
		require.Equal(t, "q", p.Prompt)
	}
	require.Equal(t, []string{"ba!", "da!", "bc", "bd", "cd"}, shown)
	row.Unscored = true
	got, _ = Pairs([]data.Ranked{row}, false, 0)
	require.Equal(t, [2]string{"a", "b"}, got[0].Policies)
	require.False(t, got[0].Labelled)
	one, _ := Pairs([]data.Ranked{row, row, row}, true, 3)
	require.Len(t, one, 3)
	again, _ := Pairs([]data.Ranked{row, row, row}, true, 3)
	require.Equal(t, one, again)
	row.Answers = row.Answers[:1]
	none, same := Pairs([]data.Ranked{row}, true, 3)
	require.Empty(t, none)
	require.Zero(t, same)
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
	s := Summarize(long, got, Rule{})
	require.Equal(t, 1, s.LeftOut.TooLong)
	require.Equal(t, 3, s.Agreement.Share.N)
	told := -1
	got, err = c.Judge(context.Background(), &reader{}, long[1:2], func(n int) { told = n })
	require.NoError(t, err)
	require.Equal(t, 1, told)
	none := Summarize(long[1:2], got, Rule{})
	require.Nil(t, none.Agreement)
	require.Zero(t, none.Position.Inconsistent.Mean)
	require.NoError(t, (&run.Judge{Judging: none}).Check())
}

func TestWhatCannotBeJudged(t *testing.T) {
	c := config(t)
	judge := func(p Pair, model lm.Evaluator) error {
		_, err := c.Judge(context.Background(), model, []Pair{p}, func(int) {})
		return err
	}
	one := pairs()[0]
	one.Missing = data.SideRejected
	require.ErrorContains(t, judge(one, &reader{}), "pairs.csv: line 2: an answer with a label by itself")
	one = pairs()[0]
	one.ChosenIDs = []int32{1}
	require.ErrorContains(t, judge(one, &reader{}), "token ids cannot be shown")
	require.ErrorIs(t, judge(pairs()[0], &reader{fail: true}), eval.ErrNotFinite)
}

// What several turns ask and answer is shown with who said it.
func TestSidesOfConversations(t *testing.T) {
	turn := func(role, text string) data.Message { return data.Message{Role: role, Content: text} }
	asked := []data.Message{turn(data.RoleUser, "Hi"), turn(data.RoleAssistant, "Hello"), turn(data.RoleUser, "Well?")}
	answer := func(text string) []data.Message { return []data.Message{turn(data.RoleAssistant, text)} }
	prompt, a, b := Pair{Pair: data.PairOf(asked, answer("yes "), answer("no"), "", 1)}.Sides()
	require.Equal(t, "user: Hi\nassistant: Hello\nuser: Well?", prompt)
	require.Equal(t, [2]string{"yes", "no"}, [2]string{a, b})
	_, a, b = Pair{Pair: data.PairOf(asked[:1], append(answer("yes"), turn(data.RoleUser, "so"), answer("!")[0]),
		answer("no"), "", 1)}.Sides()
	require.Equal(t, "assistant: yes\nuser: so\nassistant: !", a)
	require.Equal(t, "no", b)
	// A report of ETHICS answers nothing: its question stands there for those who learn from conversations.
	report := data.PairOf(asked[:1], answer("I won."), answer("I lost."), "", 1)
	report.Prompt = ""
	prompt, a, b = Pair{Pair: report}.Sides()
	require.Equal(t, [3]string{"", "I won.", "I lost."}, [3]string{prompt, a, b})
}

// The question stands in the user's turn below the constitution of the system's, in one turn where the template takes
// no system message, and as running text that the letter completes.
func TestQuestions(t *testing.T) {
	c := config(t)
	q := c.Question("user: Why?", "x", "y")
	require.Equal(t, data.RoleSystem, q[0].Role)
	require.Contains(t, q[1].Content, "Conversation:\nuser: Why?\n\nAnswer A:\nx\n\nAnswer B:\ny\n\nWhich answer is")
	require.Contains(t, c.Question("", "x", "y")[1].Content, "Here are two texts.\n\nText A:\nx\n\nText B:\ny\n\n")
	c.NoSystem = true
	q = c.Question("user: Why?", "x", "y")
	require.Len(t, q, 1)
	require.True(t, strings.HasPrefix(q[0].Content, "Prefer what is good.\n\nHere are"), q[0].Content)
	plain, err := data.NewTemplate("plain", nil)
	require.NoError(t, err)
	c = &Config{Constitution: c.Constitution, Template: plain, Tokenizer: bytesTokenizer{}, MaxTokens: 2000}
	seqs, fits, err := c.both(pairs()[0])
	require.NoError(t, err)
	require.True(t, fits)
	for k, end := range []string{"The better answer is Answer A", "The better answer is Answer B"} {
		var text []byte
		for _, id := range seqs[k].Tokens {
			text = append(text, byte(id))
		}
		require.True(t, strings.HasSuffix(string(text), end), string(text))
		require.Equal(t, []int32{int32(len(text) - 1)}, seqs[k].Targets)
	}
}
