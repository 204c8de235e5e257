package constitution

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTexts(t *testing.T) {
	require.Equal(t, []string{"deontology", "harmlessness", "utilitarianism", "virtue"}, Names())
	sums := map[string]bool{}
	for _, name := range Names() {
		text, err := Open(name)
		require.NoError(t, err)
		require.Greater(t, len(text.Text), 300, name)
		require.Equal(t, strings.TrimSpace(text.Text), text.Text)
		require.NotEmpty(t, text.Sources, name)
		require.NotContains(t, text.Text, "Sources", "the judge is not shown who says so")
		require.NotContains(t, text.Text, "arXiv")
		sums[text.SHA256] = true
	}
	require.Len(t, sums, 4)
	file := filepath.Join(t.TempDir(), "own.txt")
	_, err := Open(file)
	require.ErrorContains(t, err, "want one of deontology, harmlessness, utilitarianism, virtue, or the path of a text")
	require.NoError(t, os.WriteFile(file, []byte(" \n"), 0o666))
	_, err = Open(file)
	require.ErrorContains(t, err, "holds no text")
	require.NoError(t, os.WriteFile(file, []byte("Be kind.\n"), 0o666))
	text, err := Open(file)
	require.NoError(t, err)
	require.Equal(t, "Be kind.", text.Text)
	require.NoError(t, os.WriteFile(file, []byte("\uFEFFBe kind.\n\nSources:\n- mine\n"), 0o666))
	text, err = Open(file)
	require.NoError(t, err)
	require.Equal(t, "Be kind.\n\nSources:\n- mine", text.Text, "a text of a user's is shown as it is")
	require.NoError(t, os.WriteFile(file, []byte("caf\xe9"), 0o666))
	_, err = Open(file)
	require.ErrorContains(t, err, "not UTF-8")
	_, err = Open("")
	require.ErrorContains(t, err, "want one of")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("x", maxBytes+1)), 0o666))
	_, err = Open(file)
	require.ErrorContains(t, err, "want at most")
}
