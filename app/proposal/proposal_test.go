package proposal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/experiment"
	"steer/rl/data"
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

// Files that are read by columns of other names, or without what is not understood, are so in the experiment;
// another file, which has no such columns, keeps its own.
func TestAProposalReadsFilesAsItIsTold(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o666))
		return path
	}
	p := Proposal{Name: "x", Model: filepath.Join(dir, "m.gguf"), Template: "chatml", Context: 512,
		Columns: data.Columns{"prompt": "Question", "completion": "The answer"}, DropUnsupported: true}
	require.NoError(t, p.Add(write("faq.csv", "Question,The answer,id\n"+strings.Repeat("Hi?,Yes,1\n", 20))))
	require.NoError(t, p.Add(write("pairs.jsonl", strings.Repeat(
		`{"prompt":"Hi","chosen":"Yes","rejected":"No","tools":[1]}`+"\n", 20))))
	file := write("x.yaml", p.Write(dir, "x.yaml"))
	e, err := experiment.LoadExperiment(file, nil)
	require.NoError(t, err)
	for _, s := range []data.Source{e.SFT.Train, e.SFT.Eval} {
		require.Equal(t, p.Columns, s.Columns)
		require.True(t, s.DropUnsupported)
		rows, _, err := data.LoadConversations(s)
		require.NoError(t, err)
		require.NotEmpty(t, rows)
	}
	require.ErrorContains(t, (&Proposal{Columns: data.Columns{"prompt": "Frage"}}).Add(filepath.Join(dir, "faq.csv")),
		"Frage")
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
