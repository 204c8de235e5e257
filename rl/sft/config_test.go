package sft

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/train"
)

func TestPresetsAreValidAndSurviveYAML(t *testing.T) {
	for _, p := range []train.Preset{"", train.PresetDefault, train.PresetThesis} {
		c, err := New(p)
		require.NoError(t, err)
		require.NoError(t, c.Validate())
		text, err := conf.Marshal(c)
		require.NoError(t, err)
		var back Config
		require.NoError(t, conf.Parse("sft.yaml", text, &back))
		require.Equal(t, c, back)
	}
	_, err := New("best")
	require.ErrorContains(t, err, `preset "best": want one of [default thesis]`)
}

// The published values: stack_llama's supervised_finetuning.py as the thesis ran it.
func TestThesisPreset(t *testing.T) {
	c := Thesis()
	require.Equal(t, train.LoRA{Rank: 16, Alpha: 32, Dropout: 0.05, Targets: []string{"attn_q", "attn_v"}}, c.LoRA)
	require.Equal(t, train.Optim{
		LR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.05, MaxGradNorm: 1,
		LRSchedule: train.LRSchedule{Schedule: train.Cosine, WarmupSteps: 100},
	}, c.Optim)
	require.Equal(t, PackRunOn, c.Pack)
	require.Equal(t, 1024, c.MaxTokens)
	require.Equal(t, data.LossAll, c.LossOn)
	require.Equal(t, int64(5000), c.Steps(1))
	require.Equal(t, 8, c.MiniBatchSize)
	require.Equal(t, int64(100), c.EvalEvery)
	require.Equal(t, int64(1000), c.CheckpointEvery)
	require.Equal(t, uint64(0), c.Seed)
}

func TestValidateNamesEveryMistake(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"lora.rank: want at least 1":                               func(c *Config) { c.LoRA.Rank = 0 },
		"optim.lr: want more than 0":                               func(c *Config) { c.Optim.LR = 0 },
		`loss_on: want one of [answers all], got "prompt"`:         func(c *Config) { c.LossOn = "prompt" },
		`pack: want one of [auto none isolated run_on], got "yes"`: func(c *Config) { c.Pack = "yes" },
		"overlong: want one of":                                    func(c *Config) { c.Overlong = "" },
		"keep: want one of [last best]":                            func(c *Config) { c.Keep = "all" },
		"join_text: needs loss_on all":                             func(c *Config) { c.JoinText = true },
		"max_tokens: want at least 2, got 1":                       func(c *Config) { c.MaxTokens = 1 },
		"mini_batch_size: want at least 1":                         func(c *Config) { c.MiniBatchSize = 0 },
		"micro_batch_size 2 and micro_batch_tokens 2048: set one":  func(c *Config) { c.MicroBatchSize = 2 },
		"micro_batch_size or micro_batch_tokens: want one":         func(c *Config) { c.MicroBatchTokens = 0 },
		"mini_batch_size 8 does not divide by micro_batch_size 3": func(c *Config) {
			c.MicroBatchSize,
				c.MicroBatchTokens = 3, 0
		},
		"epochs: want at least 0, got -1":   func(c *Config) { c.Epochs = -1 },
		"eval_every: want at least 0":       func(c *Config) { c.EvalEvery = -2 },
		"checkpoint_every: want at least 0": func(c *Config) { c.CheckpointEvery = -2 },
	} {
		c := Default()
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
	c := Default()
	c.MaxTokens, c.Keep = 0, ""
	require.ErrorContains(t, c.Validate(), "max_tokens")
	require.ErrorContains(t, c.Validate(), "keep")
}

func TestTokenizeOptions(t *testing.T) {
	guanaco, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	chatml, err := data.NewTemplate(data.TemplateChatML, nil)
	require.NoError(t, err)
	require.Equal(t, data.TokenizeOptions{Loss: data.LossAnswers, EOS: true}, Default().Tokenize(guanaco))
	require.Equal(t, data.TokenizeOptions{Loss: data.LossAnswers}, Default().Tokenize(chatml))
	require.Equal(t, data.TokenizeOptions{Loss: data.LossAll, Join: true}, Thesis().Tokenize(guanaco))
}

// Each field in which the presets differ has an item in docs/sft.md with both values and
// a reason, and the list has no other items.
func TestDocumentedDifferences(t *testing.T) {
	thesis, err := conf.Marshal(Thesis())
	require.NoError(t, err)
	standard, err := conf.Marshal(Default())
	require.NoError(t, err)
	changes, err := conf.Diff(standard, thesis)
	require.NoError(t, err)
	want := map[string][2]string{}
	for _, c := range changes {
		key, list, _ := strings.Cut(c.Key, "[")
		if list != "" { // one row for a list
			want[key] = [2]string{strings.Join(Default().LoRA.Targets, " "), strings.Join(Thesis().LoRA.Targets, " ")}
			continue
		}
		want[c.Key] = [2]string{c.Old, c.New}
	}
	delete(want, "preset")
	item := regexp.MustCompile("^`([a-z_0-9.]+)`: default `(.*?)`, thesis `(.*?)`\\. +\\S")
	got := map[string][2]string{}
	for _, text := range strings.Split(section(t, "## How the presets differ"), "\n- ") {
		text, _, _ = strings.Cut(text, "\n\n")
		if m := item.FindStringSubmatch(strings.Join(strings.Fields(text), " ")); m != nil {
			require.NotContains(t, got, m[1], "%s is listed twice", m[1])
			got[m[1]] = [2]string{m[2], m[3]}
		}
	}
	require.Equal(t, want, got)
}

// Every key of the configuration has a row in docs/sft.md with its default.
func TestDocumentedKeys(t *testing.T) {
	standard, err := conf.Marshal(Default())
	require.NoError(t, err)
	empty, err := conf.Diff(nil, standard)
	require.NoError(t, err)
	want := map[string][2]string{}
	for _, c := range empty {
		key, _, _ := strings.Cut(c.Key, "[")
		if key != c.Key {
			c.New = strings.Join(Default().LoRA.Targets, " ")
		}
		want[key] = [2]string{c.New, ""}
	}
	got := table(t, "## Configuration", 3)
	for key, row := range got {
		got[key] = [2]string{row[0], ""}
	}
	require.Equal(t, want, got)
}

// section is the text under a heading of docs/sft.md, up to the next heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "sft.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), heading+"\n")
	require.True(t, ok, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// table reads the Markdown table under a heading of docs/sft.md: the first column is
// the key, the next two are returned, and none may be empty.
func table(t *testing.T, heading string, columns int) map[string][2]string {
	t.Helper()
	out := map[string][2]string{}
	for i, line := range tableLines(section(t, heading)) {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, cells, columns, line)
		for k := range cells {
			cells[k] = strings.ReplaceAll(strings.TrimSpace(cells[k]), "`", "")
			require.NotEmpty(t, cells[k], line)
		}
		if i >= 2 { // after heading and rule
			require.NotContains(t, out, cells[0], fmt.Sprintf("%s is listed twice", cells[0]))
			out[cells[0]] = [2]string{cells[1], cells[2]}
		}
	}
	return out
}

func tableLines(section string) (out []string) {
	for line := range strings.SplitSeq(section, "\n") {
		if strings.HasPrefix(line, "|") {
			out = append(out, line)
		}
	}
	return out
}
