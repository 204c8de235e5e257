package evaltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// WriteFile writes a file into a folder of the test and gives its path.
func WriteFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

// WriteFiles writes files and gives the folder.
func WriteFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600))
	}
	return dir
}

// Lines are n lines, each ended.
func Lines(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i) + "\n")
	}
	return b.String()
}

// AnecdoteLine is a short anecdote of Scruples with the votes for RIGHT and WRONG.
func AnecdoteLine(id string, right, wrong int) string {
	return Anecdote(id, "AITA "+id, "story", right, wrong)
}

// Anecdote is a line of the release of Scruples with the votes for RIGHT and WRONG.
func Anecdote(id, title, text string, right, wrong int) string {
	return fmt.Sprintf(`{"id":%q,"title":%q,"text":%q,"post_type":"HISTORICAL",`+
		`"label_scores":{"AUTHOR":%d,"OTHER":%d,"EVERYBODY":0,"NOBODY":0,"INFO":0},"label":"OTHER"}`+"\n",
		id, title, text, wrong, right)
}
