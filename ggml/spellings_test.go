package ggml

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpellingsAreBounded(t *testing.T) {
	s := spellings{most: 4000}
	of := func(i int) spelling { return spelling{text: strings.Repeat("x", 200) + strconv.Itoa(i)} }
	for i := range 100 {
		s.put(of(i), []int32{int32(i)})
		tokens, ok := s.get(of(0)) // what is asked for again stays
		require.True(t, ok, i)
		require.Equal(t, []int32{0}, tokens)
		require.LessOrEqual(t, s.bytes, 4000)
		require.LessOrEqual(t, len(s.young)+len(s.old), 2*4000/300)
	}
	_, ok := s.get(of(50))
	require.False(t, ok)
	tokens, ok := s.get(of(99))
	require.True(t, ok)
	tokens[0] = -1
	tokens, _ = s.get(of(99))
	require.Equal(t, []int32{99}, tokens, "the caller owns what it gets")
	_, ok = s.get(spelling{text: of(99).text, parseSpecial: true})
	require.False(t, ok)
	s.put(spelling{text: strings.Repeat("y", 2000)}, nil)
	_, ok = s.get(spelling{text: strings.Repeat("y", 2000)})
	require.False(t, ok, "one long text does not push out the rest")
	s.clear()
	_, ok = s.get(of(99))
	require.False(t, ok)
}
