package query

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/ggml/lm"
)

// cutShort answers with a text whose last character lacks its second byte.
type cutShort struct{}

func (cutShort) Generate(_ context.Context, reqs []lm.Request, _ lm.Sampling) ([]lm.Generation, error) {
	out := make([]lm.Generation, len(reqs))
	for i := range out {
		out[i] = lm.Generation{Tokens: []int32{'c', 'a', 'f', 0xc3}, Finish: lm.FinishLength}
	}
	return out, nil
}

// An answer that its length ended within a character is text all the same: reward models read it.
func TestAnswersAreText(t *testing.T) {
	s := eval.Subject{Name: "p", Generator: cutShort{}, Tokenizer: evaltest.Tokenizer{}}
	got, err := Generate(context.Background(), s, evaltest.Settings(), GenerateOptions{MaxNew: 4, Batch: 1},
		[]Prompt{{Tokens: []int32{'a'}}}, eval.Progress{})
	require.NoError(t, err)
	require.Equal(t, "caf\uFFFD", got.List[0].Text)
	require.Equal(t, []int32{'c', 'a', 'f', 0xc3}, got.List[0].Tokens)
}
