package task

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
	"steer/rl/data"
)

// goldenPrompts is testdata/prompts.json.gz: what the harness makes of small tasks.
type goldenPrompts struct {
	Rows  map[string][]map[string]any
	Cases map[string]struct {
		Config  map[string]any
		Prompts map[string][][]string
	}
}

// shownChat renders a conversation as the template of testdata/prompts.py does.
func shownChat(messages []data.Message) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString("<" + m.Role + ">" + m.Content + "</" + m.Role + ">")
	}
	if messages[len(messages)-1].Role == data.RoleAssistant {
		return strings.TrimSuffix(b.String(), "</assistant>")
	}
	return b.String() + "<assistant>"
}

// The prompts, few-shot draws and conversations of lm-evaluation-harness, character by character.
func TestGoldenPrompts(t *testing.T) {
	var golden goldenPrompts
	testfiles.ReadJSON(t, "testdata/prompts.json.gz", &golden)
	dir := t.TempDir()
	files := map[string]string{}
	for split, rows := range golden.Rows {
		raw, err := json.Marshal(rows)
		require.NoError(t, err)
		files[split] = filepath.Join(dir, split+".json")
		require.NoError(t, os.WriteFile(files[split], raw, 0o600))
	}
	asking := map[string]Asking{
		"plain": {}, "chat": {Chat: true}, "multiturn": {Chat: true, Multiturn: true}, "system": {System: "Be brief."},
		"system_multiturn": {Chat: true, Multiturn: true, System: "Be brief."},
	}
	require.Len(t, golden.Cases, 13)
	for name, c := range golden.Cases {
		c.Config["data"] = files
		raw, err := json.Marshal(c.Config)
		require.NoError(t, err)
		path := filepath.Join(dir, name+".yaml")
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		tk, err := Load(path, "")
		require.NoError(t, err, name)
		for kind, want := range c.Prompts {
			a := asking[kind]
			a.Delimiter = " "
			items, err := tk.Items(a)
			require.NoError(t, err, "%s %s", name, kind)
			var got [][]string
			for _, it := range items {
				got = append(got, requestsOf(tk, it)...)
			}
			require.Equal(t, want, got, "%s %s", name, kind)
		}
	}
}

// requestsOf lists what is asked of a model, as the harness has its requests.
func requestsOf(tk *Task, it Item) (out [][]string) {
	contexts := it.Contexts
	if it.Chats != nil {
		contexts = nil
		for _, c := range it.Chats {
			contexts = append(contexts, shownChat(c))
		}
	}
	for _, context := range contexts {
		if tk.Output == GenerateUntil {
			out = append(out, []string{context})
			continue
		}
		for _, c := range it.Continuations {
			out = append(out, []string{context, it.Delimiter + c})
		}
	}
	return out
}
