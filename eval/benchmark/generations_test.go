package benchmark

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval/evaltest"
)

// ToxiGen's own rows are prompts with a kind; another benchmark's file is an error.
func TestGenerationPrompts(t *testing.T) {
	header := "text,target_group,factual?,ingroup_effect,lewd,framing,predicted_group,stereotyping," +
		"intent,toxicity_ai,toxicity_human,predicted_author,label,actual_method\n"
	row := func(text, label string) string {
		return fmt.Sprintf("%s,g,f,i,l,f,p,s,1,1,1,human,%s,TopK\n", text, label)
	}
	rows, err := ReadPrompts(evaltest.WriteFile(t, "t.csv", header+row(`b'say \'hi\''`, "hate")+row("ho", "neutral")))
	require.NoError(t, err)
	require.Equal(t, []TextPrompt{{2, "say 'hi'", "hate"}, {3, "ho", "neutral"}}, rows)
	rows, err = ReadPrompts(evaltest.WriteFile(t, "p.txt", "- a\\n- b\\n-\n"))
	require.NoError(t, err)
	require.Equal(t, []TextPrompt{{line: 1, text: "- a\n- b\n-"}}, rows)
	// A text of two columns, as far as commas go, is no CSV.
	rows, err = ReadPrompts(evaltest.WriteFile(t, "c.txt", "- a, b\n- c, d\n"))
	require.NoError(t, err)
	require.Len(t, rows, 2)
	_, err = ReadPrompts(evaltest.WriteFile(t, "d.csv", "label,scenario,excuse\n1,a,b\n"))
	require.ErrorContains(t, err, "looks like ETHICS deontology")
	_, err = ReadPrompts(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
