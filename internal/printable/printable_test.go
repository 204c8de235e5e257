package printable

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	require.Equal(t, `a\tb\x1bc ä`, Text("a\tb\x1bc ä", 20))
	require.Equal(t, "ab...", Text("abc", 2))
}
