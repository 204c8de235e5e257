package benchmark

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/ggml/lm"
	"steer/rl/data"
)

func TestTextKL(t *testing.T) {
	tpl, err := data.NewTemplate(data.TemplatePlain, nil)
	require.NoError(t, err)
	conversation := func(line int, answer string) data.Conversation {
		return data.Conversation{Line: line, Messages: []data.Message{
			{Role: data.RoleUser, Content: "q"}, {Role: data.RoleAssistant, Content: answer},
		}}
	}
	rows := []data.Conversation{conversation(1, "ab"), conversation(2, "abcd"),
		conversation(3, strings.Repeat("x", 90))}
	m := eval.Subject{Name: "p", Tokenizer: evaltest.Tokenizer{},
		KL: func(_ context.Context, batch []lm.Sequence, _ lm.Options) ([][]float32, error) {
			out := make([][]float32, len(batch))
			for i, s := range batch {
				for _, at := range s.Targets {
					out[i] = append(out[i], float32(s.Tokens[at]-'a')) // a costs nothing, b 1, c 2, d 3
				}
			}
			return out, nil
		}}
	opt := KLConfig{Reference: "sft", MaxTokens: 60}
	b, records, err := textKL(context.Background(), m, evaltest.Settings(), opt, tpl, rows)
	require.NoError(t, err)
	require.Len(t, records, 2)
	extra := records[0].Tokens - 2 // what the template adds to an answer, the same in both
	require.Zero(t, extra)
	require.InDelta(t, (1+6)/2.0, b.Metrics["kl"], 1e-6)
	require.InDelta(t, 7.0/6, b.Metrics["kl_per_token"], 1e-6)
	require.InDelta(t, 6, *records[1].KL, 1e-6)
	require.Contains(t, b.Flags, "dropped=1")
	require.Equal(t, "sft", b.Provenance.Fact("reference").Value())

	m.KL = nil
	_, _, err = textKL(context.Background(), m, evaltest.Settings(), opt, tpl, rows)
	require.ErrorContains(t, err, `is "sft" one of the models?`)
	m.KL = func(_ context.Context, batch []lm.Sequence, _ lm.Options) ([][]float32, error) {
		return make([][]float32, len(batch)), nil
	}
	_, _, err = textKL(context.Background(), m, evaltest.Settings(), opt, tpl, rows)
	require.ErrorContains(t, err, "0 KL values for 2 targets") // of the sequence that stands first in the batch
	opt.MaxTokens = 2
	_, _, err = textKL(context.Background(), m, evaltest.Settings(), opt, tpl, rows)
	require.ErrorIs(t, err, eval.ErrNoItems)
}
