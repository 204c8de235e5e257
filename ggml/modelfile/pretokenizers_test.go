package modelfile

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The list is that of the llama.cpp which is built in.
func TestPretokenizersAreThoseOfLlamaCpp(t *testing.T) {
	const source = "../../third_party/src/llama.cpp/src/llama-vocab.cpp"
	raw, err := os.ReadFile(source)
	require.NoError(t, err, "the sources are laid out by make native")
	var want []string
	for _, m := range regexp.MustCompile(`tokenizer_pre\s*==\s*"([^"]+)"`).FindAllSubmatch(raw, -1) {
		want = append(want, string(m[1]))
	}
	slices.Sort(want)
	require.Greater(t, len(want), 50)
	require.Equal(t, slices.Compact(want), pretokenizers)
}
