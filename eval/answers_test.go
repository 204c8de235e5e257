package eval

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

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
	s := Subject{Name: "p", Generator: cutShort{}, Tokenizer: fakeTokenizer{}}
	got, err := GenerateAnswers(context.Background(), s, testSettings(), GenerateOptions{MaxNew: 4, Batch: 1}, []Prompt{{Tokens: []int32{'a'}}}, Progress{})
	require.NoError(t, err)
	require.Equal(t, "caf\uFFFD", got.List[0].Text)
	require.Equal(t, []int32{'c', 'a', 'f', 0xc3}, got.List[0].Tokens)
}
