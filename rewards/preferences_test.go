package rewards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/data"
)

func preferences(t *testing.T, recipe Recipe, rows ...string) (Part, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(rows, "\n")), 0o600))
	theory, err := Lookup(Custom)
	require.NoError(t, err)
	return theory.load(data.Source{Path: path}, recipe, 7)
}

func texts(p Part) (out [][2]string) {
	for _, x := range p.Pairs {
		out = append(out, [2]string{x.Chosen, x.Rejected})
	}
	return out
}

// Of ranked answers each better one stands against each worse one; equal scores are no pair, and counted.
func TestRankedAnswersBecomePairs(t *testing.T) {
	rows := []string{`{"prompt":"q","responses":["a","b","c","d"],"scores":[2,1,3,2]}`,
		`{"prompt":"r","responses":["a","b"],"scores":[1,1]}`}
	part, err := preferences(t, "", rows...)
	require.NoError(t, err)
	require.Equal(t, [][2]string{{"a", "b"}, {"c", "a"}, {"c", "b"}, {"c", "d"}, {"d", "b"}}, texts(part))
	require.Equal(t, "q", part.Pairs[0].Prompt)
	chosen, _ := part.Pairs[0].Turns()
	require.Equal(t, []data.Message{{Role: "user", Content: "q"}, {Role: "assistant", Content: "a"}}, chosen)
	require.Equal(t, []string{"2 pairs of answers with equal scores were left out",
		"1 rows give no pair: all of their answers have one score"}, part.Info.Notes)
	require.Equal(t, "cross", part.Info.Recipe)

	one, err := preferences(t, RecipeOne, rows...)
	require.NoError(t, err)
	require.Len(t, one.Pairs, 1)
	require.Contains(t, texts(part), texts(one)[0])
	_, err = preferences(t, RecipeZip, rows...)
	require.ErrorContains(t, err, "files of format ranked take [cross one]")
}

// A labelled answer is a text with a label, or, by recipe, stands against the other answers to its prompt.
func TestLabelledAnswers(t *testing.T) {
	rows := []string{`{"prompt":"q","completion":"a","label":true}`, `{"prompt":"r","completion":"x","label":true}`,
		`{"prompt":"q","completion":"b","label":false}`, `{"prompt":"q","completion":"c","label":true}`}
	part, err := preferences(t, "", rows...)
	require.NoError(t, err)
	require.Equal(t, [][2]string{{"a", ""}, {"", "b"}, {"c", ""}, {"x", ""}}, texts(part), "the prompts together")
	require.Equal(t, data.SideRejected, part.Pairs[0].Missing)
	require.Equal(t, data.SideChosen, part.Pairs[1].Missing)
	require.Equal(t, 2, part.Info.Groups)

	cross, err := preferences(t, RecipeCross, rows...)
	require.NoError(t, err)
	require.Equal(t, [][2]string{{"a", "b"}, {"c", "b"}}, texts(cross))
	require.Contains(t, cross.Info.Notes[0], "1 prompts give no pair")
	zip, err := preferences(t, RecipeZip, rows...)
	require.NoError(t, err)
	require.Equal(t, [][2]string{{"a", "b"}}, texts(zip))
	_, err = preferences(t, RecipeCross, rows[:2]...)
	require.ErrorIs(t, err, data.ErrEmpty)
	require.ErrorContains(t, err, "recipe: rows learns from each by itself")
	_, err = preferences(t, RecipeCross, `{"prompt":"q","chosen":"a","rejected":"b"}`)
	require.ErrorContains(t, err, "files of format pairs take [rows]")
}

// The head of a classifier has a bias: a constant would not be learned otherwise.
func TestLabelsAreClassified(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"prompt":"q","completion":"a","label":true}`), 0o600))
	c := Config{Theory: Custom, Train: data.Source{Path: path}, HeldOutShare: 0.5}
	require.True(t, c.Classifies())
	c.Recipe = RecipeCross
	require.False(t, c.Classifies())
	require.True(t, Config{Theory: Toxicity}.Classifies())
}
