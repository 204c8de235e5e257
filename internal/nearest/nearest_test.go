package nearest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDistance(t *testing.T) {
	require.Equal(t, 3, distance("kitten", "sitting"))
	require.Equal(t, 0, distance("", ""))
	require.Equal(t, 2, distance("", "ab"))
}

func TestWord(t *testing.T) {
	targets := []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}
	for name, want := range map[string]string{
		"attnq": "attn_q", "ffn_gat": "ffn_gate", "ATTN_V": "attn_v", "attn_uotput": "attn_output", "xyz": "",
	} {
		got, ok := Word(name, targets)
		require.Equal(t, want != "", ok, name)
		if ok {
			require.Equal(t, want, got)
		}
	}
}
