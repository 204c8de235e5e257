package ordered

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMapKeepsOrder(t *testing.T) {
	m := Of("zebra", 1, "apple", 2)
	m.Set("mango", 3)
	m.Set("zebra", 4)
	require.Equal(t, []string{"zebra", "apple", "mango"}, m.Keys())
	var values []any
	for _, v := range m.All() {
		values = append(values, v)
	}
	require.Equal(t, []any{4, 2, 3}, values)
	_, there := m.Get("plum")
	require.False(t, there)

	same := func(x, y any) bool { return x == y }
	require.True(t, Equal(Of("a", 1, "b", 2), Of("b", 2, "a", 1), same))
	require.False(t, Equal(Of("a", 1), Of("a", 2), same))
	require.False(t, Equal(Of("a", 1), Of("b", 1), same))
	var none *Map
	require.True(t, Equal(none, New(0), same))
	require.Zero(t, none.Len())
	require.Equal(t, "{z: 1, a: {b: [x 2]}}", Of("z", 1, "a", Of("b", []any{"x", 2})).String())
}
