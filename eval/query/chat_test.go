package query

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/rl/data"
)

func TestPromptPair(t *testing.T) {
	tok := evaltest.Tokenizer{}
	enc, err := NewEncoder(tok, eval.BOSOff)
	require.NoError(t, err)
	mark := data.Segment{Text: "<s>", Special: true, Alone: true}
	for _, c := range []struct {
		segments []data.Segment
		ctx      string
		cont     string
	}{
		// White space at the end moves to the continuation, through segments that hold nothing else.
		{[]data.Segment{mark, {Text: "user\nhow? ", Alone: true}, {Text: "\n"}}, "<s>user\nhow?", " \n yes"},
		{[]data.Segment{{Text: "how?"}, mark}, "how?<s>", " yes"},
		{[]data.Segment{{Text: "<s>answer\n", Special: true}}, "<s>answer", "\n yes"},
	} {
		ctx, cont, err := enc.PromptPair(c.segments, " yes")
		require.NoError(t, err)
		require.Equal(t, c.ctx, tok.Decode(ctx, true))
		require.Equal(t, c.cont, tok.Decode(cont, true))
	}
	// What a row spells is no special token, neither before nor behind the border.
	ctx, cont, err := enc.PromptPair([]data.Segment{mark, {Text: "say <s>", Alone: true}}, "<s>")
	require.NoError(t, err)
	require.Equal(t, int32(evaltest.BOS), ctx[0])
	require.Len(t, ctx, 1+len("say <s>"))
	require.Len(t, cont, len("<s>"))
	_, _, err = enc.PromptPair(nil, "x")
	require.ErrorContains(t, err, "empty context")
	_, _, err = enc.PromptPair([]data.Segment{mark}, "")
	require.ErrorContains(t, err, "no token of its own")
	// BOS is put first by the rule, once.
	enc, err = NewEncoder(tok, eval.BOSOn)
	require.NoError(t, err)
	for _, segments := range [][]data.Segment{{mark, {Text: "a", Alone: true}}, {{Text: "a"}}} {
		ids, err := enc.Prompt(segments)
		require.NoError(t, err)
		require.Equal(t, []int32{evaltest.BOS, 'a'}, ids)
	}
}

// The windows of the example in lm-evaluation-harness's api/model.py, and at the borders.
func TestRolling(t *testing.T) {
	enc, err := NewEncoder(evaltest.Tokenizer{}, eval.BOSOff)
	require.NoError(t, err)
	windows := func(text string) (out []string) {
		reqs, err := enc.Rolling(text, 4, 7)
		require.NoError(t, err)
		for _, r := range reqs {
			require.Equal(t, 7, r.Group)
			tok := evaltest.Tokenizer{}
			out = append(out, tok.Decode(r.Context, true)+"|"+tok.Decode(r.Continuation, true))
		}
		return out
	}
	require.Equal(t, []string{"<s>|0123", "3|4567", "567|89"}, windows("0123456789"))
	require.Equal(t, []string{"<s>|0123"}, windows("0123"))
	require.Equal(t, []string{"<s>|0123", "0123|4"}, windows("01234"))
	require.Equal(t, []string{"<s>|0"}, windows("0"))
	require.Empty(t, windows(""))
}
