package rollout

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/rl/train/traintest"
)

// canned gives back fixed responses and keeps what it was asked.
type canned struct {
	answers []lm.Generation
	asked   []lm.Request
	how     lm.Sampling
}

func (g *canned) Generate(_ context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	g.asked, g.how = reqs, s
	return slices.Clone(g.answers), nil
}

func promptsOf(n int) []Prompt {
	out := make([]Prompt, n)
	for i := range out {
		out[i] = Prompt{Tokens: []int32{0, int32(2 + i)}, Text: "p"}
	}
	return out
}

func TestSampleStop(t *testing.T) {
	c := Sampling{LengthDraw: LengthFixed, LengthGroup: 1, MaxNewTokens: 128, EOS: EOSStop}
	c.StopStrings = []string{"\n"}
	c.Temperature, c.TopK, c.TopP, c.MinP = 0.5, 3, 0.9, 0.1
	g := &canned{answers: []lm.Generation{
		{Tokens: []int32{3, 4, 1}, Finish: lm.FinishStopToken},
		{Tokens: []int32{3, 4}, Finish: lm.FinishLength},
		{Tokens: []int32{5}, Finish: lm.FinishStopString},
	}}
	s := Sampler{Sampling: &c, Generator: g, Tokenizer: traintest.Letters{}, Stop: []int32{1}}
	eps, err := s.Sample(t.Context(), promptsOf(3), "use", 4, 0)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false, true}, []bool{eps[0].Ended, eps[1].Ended, eps[2].Ended})
	require.Equal(t, []int32{3, 4, 1}, eps[0].Response, "the end token stays")
	require.Equal(t, "ab", eps[0].ResponseText, "without special tokens")
	require.Equal(t, lm.Sampling{Temperature: 0.5, TopK: 3, TopP: 0.9, MinP: 0.1}, g.how)
	seeds := map[uint64]bool{}
	for _, r := range g.asked {
		require.Equal(t, []int32{1}, r.StopTokens)
		require.Equal(t, []string{"\n"}, r.StopStrings)
		require.Equal(t, c.MaxNewTokens, r.MaxNew)
		seeds[r.Seed] = true
	}
	require.Len(t, seeds, 3)
	first := g.asked
	_, err = s.Sample(t.Context(), promptsOf(3), "use", 4, 0)
	require.NoError(t, err)
	require.Equal(t, first, g.asked, "the same use and counter draw the same numbers")
	_, err = s.Sample(t.Context(), promptsOf(3), "use", 5, 0)
	require.NoError(t, err)
	require.NotEqual(t, first[0].Seed, g.asked[0].Seed)

	g.answers[1].Tokens = nil
	_, err = s.Sample(t.Context(), promptsOf(3), "use", 4, 0)
	require.ErrorContains(t, err, "prompt 1")
	g.answers = g.answers[:2]
	_, err = s.Sample(t.Context(), promptsOf(3), "use", 4, 0)
	require.ErrorContains(t, err, "3 prompts gave 2 responses")
}

func TestSampleCut(t *testing.T) {
	c := Sampling{
		Temperature: 1, LengthDraw: LengthGroup, LengthGroup: 4, MinNewTokens: 32, MaxNewTokens: 127, EOS: EOSCut,
	}
	g := &canned{answers: []lm.Generation{
		{Tokens: []int32{3, 1, 4, 1}, Finish: lm.FinishLength},
		{Tokens: []int32{3, 4}, Finish: lm.FinishLength},
	}}
	s := Sampler{Sampling: &c, Generator: g, Tokenizer: traintest.Letters{}, Stop: []int32{1}}
	eps, err := s.Sample(t.Context(), promptsOf(2), "use", 0, 0)
	require.NoError(t, err)
	require.Equal(t, []int32{3, 1}, eps[0].Response, "cut behind the first end token")
	require.Equal(t, []bool{true, false}, []bool{eps[0].Ended, eps[1].Ended})
	for _, r := range g.asked {
		require.Empty(t, r.StopTokens, "generation itself never stops")
	}
}

func TestLengthDraw(t *testing.T) {
	c := Sampling{
		Temperature: 1, LengthDraw: LengthGroup, LengthGroup: 4, MinNewTokens: 32, MaxNewTokens: 127, EOS: EOSCut,
	}
	s := Sampler{Sampling: &c}
	seen := map[int]bool{}
	for counter := range uint64(200) {
		for i := range 16 {
			n := s.maxNew("use", counter, i)
			require.GreaterOrEqual(t, n, 32)
			require.LessOrEqual(t, n, 127)
			seen[n] = true
			require.Equal(t, s.maxNew("use", counter, i/4*4), n, "one draw for four consecutive samples")
		}
	}
	require.Len(t, seen, 127-32+1, "both ends are drawn")
	c.LengthDraw, c.LengthGroup = LengthSample, 1
	differ := 0
	for i := range 15 {
		if s.maxNew("use", 0, i) != s.maxNew("use", 0, i+1) {
			differ++
		}
	}
	require.Greater(t, differ, 10)
	c.LengthDraw = LengthFixed
	require.Equal(t, 127, s.maxNew("use", 0, 3))
}

func TestPickPrompts(t *testing.T) {
	all := promptsOf(7)
	var stream []Prompt
	for at := int64(0); at < 21; at += 3 { // 3 does not divide 7: batches cross passes
		stream = append(stream, pickPrompts(all, 5, "p", at, 3)...)
	}
	for pass := range 3 {
		require.ElementsMatch(t, all, stream[7*pass:7*pass+7], "each pass has every prompt once")
	}
	require.NotEqual(t, stream[:7], stream[7:14], "in another order")
	require.Equal(t, stream[4:9], pickPrompts(all, 5, "p", 4, 5), "a cursor says it all")
	require.NotEqual(t, stream[:7], pickPrompts(all, 6, "p", 0, 7))
	require.Len(t, pickPrompts(all[:2], 5, "p", 0, 9), 9)
}
