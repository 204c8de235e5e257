package query

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
)

func TestEncodePair(t *testing.T) {
	text := func(ids []int32) string { return evaltest.Tokenizer{}.Decode(ids, true) }
	for _, c := range []struct {
		name                  string
		mode                  eval.BOSMode
		tok                   evaltest.Tokenizer
		context, continuation string
		wantCtx, wantCont     string
	}{
		{"plain", eval.BOSOff, evaltest.Tokenizer{}, "ab", " c", "ab", " c"},
		{"trailing blanks move", eval.BOSOff, evaltest.Tokenizer{}, "ab \n", "c", "ab", " \nc"},
		{"python's separators are blanks too", eval.BOSOff, evaltest.Tokenizer{}, "ab\x1f", "c", "ab", "\x1fc"},
		{"bos on", eval.BOSOn, evaltest.Tokenizer{}, "ab", "c", "<s>ab", "c"},
		{"bos auto, tokenizer adds", eval.BOSAuto, evaltest.Tokenizer{AddsBOS: true}, "ab", "c", "<s>ab", "c"},
		{"bos auto, tokenizer does not", eval.BOSAuto, evaltest.Tokenizer{}, "ab", "c", "ab", "c"},
		{"bos off wins", eval.BOSOff, evaltest.Tokenizer{AddsBOS: true}, "ab", "c", "ab", "c"},
		{"bos not doubled", eval.BOSOn, evaltest.Tokenizer{}, "<s>ab", "c", "<s>ab", "c"},
		{"empty context gets bos", eval.BOSOff, evaltest.Tokenizer{}, "", "c", "<s>", "c"},
		{"empty context, bos on", eval.BOSOn, evaltest.Tokenizer{}, "", "c", "<s>", "c"},
		{"blank context", eval.BOSOff, evaltest.Tokenizer{}, "  ", "c", "<s>", "  c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := NewEncoder(c.tok, c.mode)
			require.NoError(t, err)
			ctx, cont, err := e.Pair(c.context, c.continuation)
			require.NoError(t, err)
			require.Equal(t, c.wantCtx, text(ctx))
			require.Equal(t, c.wantCont, text(cont))
		})
	}
	e, err := NewEncoder(evaltest.Tokenizer{NoBOS: true}, eval.BOSAuto)
	require.NoError(t, err)
	ctx, _, err := e.Pair("", "c")
	require.NoError(t, err)
	require.Equal(t, []int32{evaltest.EOS}, ctx)
	_, _, err = e.Pair("a", "")
	require.ErrorContains(t, err, "no token of its own")
	_, err = NewEncoder(evaltest.Tokenizer{NoBOS: true}, eval.BOSOn)
	require.ErrorContains(t, err, "no BOS token")
	_, err = NewEncoder(evaltest.Tokenizer{}, "perhaps")
	require.ErrorContains(t, err, `want auto, on or off, got "perhaps"`)
}
