package jobs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What helps depends on why no prompt is left: the setting, the model's context, or the
// data.
func TestNoPromptSaysWhatHelps(t *testing.T) {
	require.Equal(t, "none of 3 prompts has at most 64 tokens; the shortest has 100: raise max_prompt_tokens",
		noPrompt(4, 1, 100, 64, 400))
	long := noPrompt(1, 0, 700, 384, 384)
	require.Contains(t, long,
		"the model's context leaves room for 384 beside the answer: shorten the prompts, lower max_new_tokens")
	require.NotContains(t, long, "raise")
	require.Equal(t, "none of 2 conversations asks anything: want a user message before the first answer",
		noPrompt(2, 2, 0, 64, 400))
}
