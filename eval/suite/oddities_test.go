package suite

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/evaltest"
	"steer/rl/data"
	"steer/rl/train"
)

// What training says of a file of conversations, an evaluation says, too.
func TestOddConversationsOfAnEvaluationAreSaid(t *testing.T) {
	tpl, err := data.NewTemplate(data.TemplatePlain, nil)
	require.NoError(t, err)
	path := evaltest.WriteFile(t, "c.jsonl", `{"messages":`+
		`[{"role":"user","Content":"x","content":"a"},{"role":"assistant","content":"b"}]}
{"messages":[{"role":"system","content":"s"},{"role":"assistant","content":"b"}]}
`)
	said := func(prepare func(*benchmark.Config), run func(*Suite) error) []string {
		cfg := benchmark.DefaultConfig()
		cfg.MaxLength, cfg.Template = 100, tpl
		prepare(&cfg)
		s, err := New(cfg, t.TempDir())
		require.NoError(t, err)
		var notes []string
		s.Note = func(text string) { notes = append(notes, text) }
		require.NoError(t, run(s))
		for _, n := range notes {
			require.True(t, train.IsWarning(n), n)
			require.Contains(t, n, path)
		}
		return notes
	}

	notes := said(func(c *benchmark.Config) { c.KL.Path = path }, func(s *Suite) error {
		_, _, err := s.Run(context.Background(), []eval.Subject{{Name: "sft"}}, nil)
		return err
	})
	require.Contains(t, strings.Join(notes, "\n"), `kl: `+path+`: 1 times the key "messages[].Content", which is `+
		`not read`)

	cfg := benchmark.DefaultConfig()
	cfg.CrossReward.Prompts.Path = path
	prompts, file, err := benchmark.LoadPrompts(cfg.CrossReward, evaltest.Tokenizer{}, tpl, cfg.BOS)
	require.NoError(t, err)
	require.Len(t, prompts, 1)
	text := strings.Join(benchmark.PromptWarnings(file), "\n")
	require.Contains(t, text, `warning: cross_reward.prompts: `+path+`: 1 times the key "messages[].Content"`)
	require.Contains(t, text, "1 of 2 conversations ask nothing")
}
