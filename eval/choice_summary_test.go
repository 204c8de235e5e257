package eval

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTruncationIsFlagged(t *testing.T) {
	set := testSettings()
	set.MaxLength = 8
	b, records, err := choiceBenchmark(context.Background(), subject(&bigram{scale: 1}), set, items(4), "x", ProtocolLogLik, "v")
	require.NoError(t, err)
	require.Contains(t, b.Flags, "truncated=4")
	require.Equal(t, len("question a")+len(" yes!")-9, records[0].Cut)
}
