package run

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever two models, benchmarks or protocols are called, they have files of their own, also
// where a file system knows no difference of case, and names that fit.
func TestDifferentNamesHaveDifferentFiles(t *testing.T) {
	names := []string{"a b", "a_b", "a.b", "a%20b", "A_b", "a_B", "A_B", "ä_b", "a\u0308_b", "a/b", "a\\b", "a~b",
		" a_b", "a_b ", "a\tb", "", "..", ".", "con",
		strings.Repeat("x", 40), strings.Repeat("x", 41), strings.Repeat("x", 300), strings.Repeat("x", 299) + "y",
		strings.Repeat("Ü", 300)}
	seen := map[string][]string{}
	take := func(parts ...string) {
		file := RecordsFile(parts...)
		require.True(t, filepath.IsLocal(file))
		require.LessOrEqual(t, len(filepath.Base(file))+len(".")+len(".tmp-01234567"), 255)
		folded := strings.ToLower(file)
		require.NotContains(t, seen, folded, "%q and %q", seen[folded], parts)
		seen[folded] = parts
	}
	for _, n := range names {
		take("toxigen", "loglik", n)
		take("generations", n, "sft") // the protocol is a judge's name there
	}
	take("generations", "a", "b.c")
	take("generations", "a.b", "c")
	long := strings.Repeat("Long", 100)
	take(long, long, long)
	require.Equal(t, filepath.Join("items", "scruples.loglik-5.deontology-2.jsonl.zst"), RecordsFile("scruples",
		"loglik-5", "deontology-2"), "plain names stay")
}
