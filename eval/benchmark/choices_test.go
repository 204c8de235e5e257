package benchmark

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/query"
)

func TestTruncationIsFlagged(t *testing.T) {
	set := evaltest.Settings()
	set.MaxLength = 8
	var items []query.Item
	for i := range 4 {
		id := string(rune('a' + i))
		items = append(items, query.NewItem(id, i, "question "+id, " ", i%2, "no", "yes!"))
	}
	b, records, err := summarizeChoices(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 1}), set,
		items, "x", eval.ProtocolLogLik, "v")
	require.NoError(t, err)
	require.Contains(t, b.Flags, "truncated=4")
	require.Equal(t, len("question a")+len(" yes!")-9, records[0].Cut)
}
