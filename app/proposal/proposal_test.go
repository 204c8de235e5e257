package proposal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/experiment"
	"steer/rl/train"
)

// Every form of conversations that sft reads can be proposed.
func TestAProposalKnowsEveryFormOfConversations(t *testing.T) {
	for name, row := range map[string]string{
		"chat":       `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}]}`,
		"sharegpt":   `{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Yes"}]}`,
		"alpaca":     `{"instruction":"Say hi","input":"","output":"Hi"}`,
		"completion": `{"prompt":"Hi","completion":"Yes"}`,
	} {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(strings.Repeat(row+"\n", 20)), 0o666))
		var p Proposal
		require.NoError(t, p.Add(path), name)
		require.Equal(t, path, p.Chat.Path, name)
	}
}

// A proposal for few rows leaves the passes and the warm-up to the length of the run: fixed
// ones would end it inside its warm-up.
func TestAProposalForFewRowsTrains(t *testing.T) {
	dir := t.TempDir()
	p := Proposal{Name: "few", Model: filepath.Join(dir, "m.gguf"), Template: "guanaco", Context: 512,
		Chat: Described{Path: filepath.Join(dir, "x.jsonl"), Format: "guanaco", Rows: 20}}
	file := filepath.Join(dir, "few.yaml")
	require.NoError(t, os.WriteFile(file, []byte(p.Write(dir, "few.yaml")), 0o666))
	e, err := experiment.LoadExperiment(file, nil)
	require.NoError(t, err)
	require.Zero(t, e.SFT.Epochs)
	require.EqualValues(t, train.AutoWarmup, e.SFT.Optim.WarmupSteps)
}

func TestAnExperimentWithoutANameSaysWhichFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "empty.yaml")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	_, err := experiment.LoadExperiment(file, nil)
	require.ErrorContains(t, err, file+": name: want a name")
}

func TestAnExperimentIsCalledAsItsFile(t *testing.T) {
	for path, want := range map[string]string{"a/chat.jsonl.gz": "chat", "b.gguf": "b", "c.v2.csv": "c.v2", "d": "d"} {
		require.Equal(t, want, stem(path))
	}
}
