package eval

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncodePair(t *testing.T) {
	text := func(ids []int32) string { return fakeTokenizer{}.Decode(ids, true) }
	for _, c := range []struct {
		name                  string
		mode                  BOSMode
		tok                   fakeTokenizer
		context, continuation string
		wantCtx, wantCont     string
	}{
		{"plain", BOSOff, fakeTokenizer{}, "ab", " c", "ab", " c"},
		{"trailing blanks move", BOSOff, fakeTokenizer{}, "ab \n", "c", "ab", " \nc"},
		{"python's separators are blanks too", BOSOff, fakeTokenizer{}, "ab\x1f", "c", "ab", "\x1fc"},
		{"bos on", BOSOn, fakeTokenizer{}, "ab", "c", "<s>ab", "c"},
		{"bos auto, tokenizer adds", BOSAuto, fakeTokenizer{addsBOS: true}, "ab", "c", "<s>ab", "c"},
		{"bos auto, tokenizer does not", BOSAuto, fakeTokenizer{}, "ab", "c", "ab", "c"},
		{"bos off wins", BOSOff, fakeTokenizer{addsBOS: true}, "ab", "c", "ab", "c"},
		{"bos not doubled", BOSOn, fakeTokenizer{}, "<s>ab", "c", "<s>ab", "c"},
		{"empty context gets bos", BOSOff, fakeTokenizer{}, "", "c", "<s>", "c"},
		{"empty context, bos on", BOSOn, fakeTokenizer{}, "", "c", "<s>", "c"},
		{"blank context", BOSOff, fakeTokenizer{}, "  ", "c", "<s>", "  c"},
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
	e, err := NewEncoder(fakeTokenizer{noBOS: true}, BOSAuto)
	require.NoError(t, err)
	ctx, _, err := e.Pair("", "c")
	require.NoError(t, err)
	require.Equal(t, []int32{fakeEOS}, ctx)
	_, _, err = e.Pair("a", "")
	require.ErrorContains(t, err, "no token of its own")
	_, err = NewEncoder(fakeTokenizer{noBOS: true}, BOSOn)
	require.ErrorContains(t, err, "no BOS token")
	_, err = NewEncoder(fakeTokenizer{}, "perhaps")
	require.ErrorContains(t, err, `want auto, on or off, got "perhaps"`)
}
