package judge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/ggml/lm"
	"steer/rl/data"
)

func policy(
	t *testing.T, name string, answer func(prompt string) string, asked ...string,
) (Policy, *evaltest.Scripted) {
	tpl, err := data.NewTemplate("guanaco", nil)
	require.NoError(t, err)
	g := &evaltest.Scripted{Answer: answer}
	p := Policy{Subject: eval.Subject{Name: name, Generator: g, Tokenizer: evaltest.Tokenizer{}}, Template: tpl}
	for _, q := range asked {
		ids, err := evaltest.Tokenizer{}.Encode(q, false, false)
		require.NoError(t, err)
		p.Prompts = append(p.Prompts,
			Prompt{ID: q, Text: q, Tokens: ids, Turns: []data.Message{{Role: data.RoleUser, Content: q}}})
	}
	return p, g
}

func TestAnswersAreSampled(t *testing.T) {
	yes, asked := policy(t, "yes", func(q string) string { return " yes " + q + "### Human: more" }, "a", "b", "c")
	no, askedToo := policy(t, "no", func(q string) string {
		if q == "b" {
			return " "
		}
		return "no " + strings.Repeat("really ", 20)
	}, "a", "b", "c")
	var told []string
	s := Sampling{Samples: 1, MaxNew: 100, Batch: 2, Seed: 3, OnBatch: func(policy string, done, answers int) {
		told = append(told, fmt.Sprint(policy, done, answers))
	}}
	rows, counts, err := s.Answers(context.Background(), Policies{yes, no})
	require.NoError(t, err)
	require.Equal(t, []string{"yes2 3", "yes3 3", "no2 3", "no3 3"}, told)
	require.Equal(t, [4]int{3, 6, 2, 1}, [4]int{counts.Prompts, counts.Answers, counts.Cut, counts.Empty})
	require.Len(t, rows, 2, "b has a single answer")
	require.Equal(t, []string{"a", "c"}, []string{rows[0].ID, rows[1].ID})
	require.Equal(t, []int{1, 2}, []int{rows[0].Line, rows[1].Line})
	require.Equal(t, "yes a", rows[0].Answers[0].Turns[0].Content, "without the marks of the template")
	require.Equal(t, []string{"yes", "no"}, rows[0].Policies)
	require.True(t, rows[0].Unscored)

	seeds := map[uint64]bool{}
	for _, r := range append(asked.Seen, askedToo.Seen...) {
		seeds[r.Seed] = true
		require.Equal(t, []string{"### Human:"}, r.StopStrings)
	}
	require.Len(t, seeds, 6, "no two answers draw with the same numbers")

	s.Samples, asked.Seen = 3, nil
	rows, _, err = s.Answers(context.Background(), Policies{yes})
	require.NoError(t, err)
	require.Len(t, rows[1].Answers, 3)
	require.Equal(t, asked.Seen[0].Prompt, asked.Seen[2].Prompt, "answers to a prompt are asked for in a row")
	require.NotEqual(t, asked.Seen[0].Seed, asked.Seen[2].Seed)

	s.Planned, s.Samples = true, 2
	rows, counts, err = s.Answers(context.Background(), Policies{no})
	require.NoError(t, err)
	require.Zero(t, counts.Empty)
	pairs, same := Pairs(rows, false, 0)
	require.Len(t, pairs, 3)
	require.Zero(t, same, "answers of a plan are told apart")
}

func TestCommonPromptsAreKept(t *testing.T) {
	a, _ := policy(t, "a", nil, "x", "y", "y", "z")
	b, _ := policy(t, "b", nil, "y", "y", "z", "w")
	ps := Policies{a, b}
	ps.KeepCommon()
	for _, p := range ps {
		var ids []string
		for _, q := range p.Prompts {
			ids = append(ids, q.ID)
		}
		require.Equal(t, []string{"y", "y", "z"}, ids)
	}
	b.Prompts = b.Prompts[:1]
	_, _, err := Sampling{Samples: 1, MaxNew: 1, Batch: 1}.Answers(context.Background(), Policies{b, a})
	require.Error(t, err)
}

// silent fails.
type silent struct{ lm.Generator }

var errSilent = errors.New("silent")

func (silent) Generate(context.Context, []lm.Request, lm.Sampling) ([]lm.Generation, error) {
	return nil, errSilent
}

func TestAPolicyThatFailsIsNamed(t *testing.T) {
	p, _ := policy(t, "mute", nil, "x")
	p.Generator = silent{}
	_, _, err := Sampling{Samples: 2, MaxNew: 1, Batch: 1}.Answers(context.Background(), Policies{p})
	require.ErrorIs(t, err, errSilent)
	require.ErrorContains(t, err, "mute")
}
