package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// demoBlock is what the README says that the demo prints.
var demoBlock = regexp.MustCompile("(?s)<!-- demo: [^\n]* with the (\\w+) kernels[^\n]*-->\n```\n(.*?)```\n")

// The README shows what the demo prints, and people compare: every line of its block stands in the
// output, in that order; a line "..." stands for any number of others.
func TestReadmeShowsWhatTheDemoPrints(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	block := demoBlock.FindSubmatch(readme)
	require.NotNil(t, block,
		"README.md: want a comment <!-- demo: ... with the NAME kernels ... --> and a fenced block after it")
	dir := t.TempDir()
	out, _ := mustSteer(t, dir, "demo", "-o", "demo")
	raw, err := os.ReadFile(filepath.Join(dir, "demo", "sft", "result.json"))
	require.NoError(t, err)
	var result struct {
		Kernel string `json:"kernel"`
	}
	require.NoError(t, json.Unmarshal(raw, &result))
	if result.Kernel != string(block[1]) {
		t.Skipf("this CPU computes with the %s kernels, the README shows numbers of the %s ones", result.Kernel,
			block[1])
	}
	printed := strings.Split(strings.TrimRight(out, "\n"), "\n")
	at := 0
	for _, want := range strings.Split(strings.TrimSuffix(string(block[2]), "\n"), "\n") {
		if want == "..." {
			continue
		}
		found := -1
		for i := at; i < len(printed) && found < 0; i++ {
			if strings.TrimRight(printed[i], " ") == want {
				found = i
			}
		}
		require.GreaterOrEqual(t, found, 0, "the README says that the demo prints\n%s\nit printed\n%s", want, out)
		at = found + 1
	}
}
