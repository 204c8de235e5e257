package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// testRoot is the command tree, and where what it prints goes.
func testRoot() (*cobra.Command, *bytes.Buffer) {
	var out bytes.Buffer
	return newRootCommand(newApp(strings.NewReader(""), &out, io.Discard)), &out
}

// requireNarrow fails for a line that a terminal of 80 columns breaks.
func requireNarrow(t testing.TB, text, of string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		require.LessOrEqual(t, utf8.RuneCountInString(line), tableColumns, "%s:\n%s", of, line)
		require.NotContains(t, line, "\t", "%s: a tab has no width", of)
	}
}

// What --help prints fits a terminal of 80 columns, and shows how every command is called.
func TestHelpOfEveryCommand(t *testing.T) {
	root, _ := testRoot()
	everyCommand(root, func(c *cobra.Command) {
		t.Run(c.CommandPath(), func(t *testing.T) {
			root, out := testRoot()
			root.SetArgs(append(strings.Fields(c.CommandPath())[1:], "--help"))
			require.NoError(t, root.Execute())
			help := out.String()
			requireNarrow(t, help, "--help")
			require.Contains(t, help, "--log-file", "every command knows the global flags")
			require.NotEmpty(t, c.Short)
			require.NotEmpty(t, c.Long+choose(c.HasSubCommands(), c.Short, ""), "want more than a line")
			if c.Runnable() {
				require.NotEmpty(t, c.Example)
				require.Contains(t, c.Example, c.CommandPath()+choose(c.HasSubCommands(), " ", ""))
				require.Contains(t, help, strings.TrimSpace(strings.SplitN(c.Example, "\n", 2)[0]))
			}
		})
	})
}
