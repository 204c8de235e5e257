package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What CONTRIBUTING.md and ARCHITECTURE.md name as a path of this repository is there.
func TestPathsInDocumentsAreThere(t *testing.T) {
	named := regexp.MustCompile(
		"`((?:app|bench|cgo|cmd|demo|docs|eval|experiments|ggml|internal|rewards|rl|testdata)/[a-zA-Z0-9_./-]+)`",
	)
	for _, document := range []string{"CONTRIBUTING.md", "ARCHITECTURE.md"} {
		raw, err := os.ReadFile(filepath.Join("../..", document))
		require.NoError(t, err)
		paths := named.FindAllStringSubmatch(string(raw), -1)
		require.Greater(t, len(paths), 10, document)
		for _, m := range paths {
			_, err := os.Stat(filepath.Join("../..", strings.TrimSuffix(m[1], "/...")))
			require.NoError(t, err, "%s names %s", document, m[1])
		}
	}
}
