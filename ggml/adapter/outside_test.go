package adapter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
)

// Targets outside of the layers are refused with their reason, others with the nearest name.
func TestTargetsOutsideOfTheLayers(t *testing.T) {
	for target, want := range map[string]string{
		"lm_head":      "the output matrix (lm_head)",
		"output":       "the output matrix (lm_head)",
		"embed_tokens": "the token embedding (embed_tokens)",
		"token_embd":   "the token embedding (embed_tokens)",
		"attn_outptu":  `did you mean "attn_output"?`,
	} {
		_, err := adapter.New(small, []string{"attn_q", target}, 2, 4, false, 1)
		require.ErrorIs(t, err, adapter.ErrUnsupported)
		require.ErrorContains(t, err, want)
	}
}
