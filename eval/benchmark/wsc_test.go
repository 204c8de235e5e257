package benchmark

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval/evaltest"
	"steer/internal/testfiles"
	"steer/rl/data"
)

func TestWSCPreprocessing(t *testing.T) {
	schema := data.Schema{Txt1: "Ann visited Bo. Then", Pron: "her", Txt2: "dog barked.",
		Answers: [2]string{"The girl", "Bo"}, Correct: 1}
	it := wscItem(0, schema, " ")
	require.Equal(t, "Ann visited Bo. Then the girl's", it.Choices[0].Context)
	require.Equal(t, "Ann visited Bo. Then Bo's", it.Choices[1].Context)
	require.Equal(t, "  dog barked.", it.Choices[0].Continuation)
	require.Equal(t, 1, it.Gold)
	// After a full stop the first word keeps its capital.
	schema = data.Schema{Txt1: "The cup fell.", Pron: "It", Txt2: "broke.", Answers: [2]string{"The cup", "The table"}}
	require.Equal(t, "The cup fell. The cup", wscItem(0, schema, " ").Choices[0].Context)
	// Every occurrence of the first word is lowered, and a pronoun at the very
	// beginning looks at the end of the text, as Python's index -2 does.
	schema = data.Schema{Pron: "They", Txt2: "met The end?", Answers: [2]string{"The Smiths of The Hague", "x"}}
	require.Equal(t, "the Smiths of the Hague", wscItem(0, schema, " ").Choices[0].Context)
}

func TestWSCPartialIsFlagged(t *testing.T) {
	b, records, err := wsc273(context.Background(), evaltest.Subject(&evaltest.Bigram{Scale: 1}), evaltest.Settings(),
		[]data.Schema{{Txt1: "a b", Pron: "it", Txt2: "c d.", Answers: [2]string{"x", "y"}}}, 0)
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.Contains(t, b.Flags, "partial=1")
	require.NotContains(t, b.Metrics, "mcc")
}

// The first 273 schemas of the larger collection ask what WSC273 asks, but for the edited
// answers.
func TestWSC285(t *testing.T) {
	root := filepath.Dir(filepath.Dir(testfiles.Data(t, "winograd/wsc285/WSCollection.xml")))
	larger, err := data.ReadWSC(filepath.Join(root, "wsc285", "WSCollection.xml"))
	require.NoError(t, err)
	smaller, err := data.ReadWSC(filepath.Join(root, "WSCollection.xml"))
	require.NoError(t, err)
	a, b := wsc285Items(larger, " "), WSC273Items(smaller, " ")
	require.Len(t, a, wsc285Size)
	for i := range b {
		require.Equal(t, b[i].Gold, a[i].Gold, i)
		require.Equal(t, b[i].Choices[0].Continuation, a[i].Choices[0].Continuation, i)
	}
	require.Equal(t, "wsc285-284", a[284].ID)
}
