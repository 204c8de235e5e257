package archtest

import (
	"bufio"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// maxColumns is the longest line of code; a tab counts as tabColumns.
const (
	maxColumns = 120
	tabColumns = 4
)

// notYetNarrow are folders whose lines are still to be shortened, not those below them. It shall become empty.
var notYetNarrow = []string{
	"cgo", "cgo/native", "cgo/native/cpu", "cgo/native/cuda", "cgo/native/cuda/emulation", "cgo/native/cuda/test",
	"cgo/native/cuda/test/gpu", "cgo/native/test", "demo", "ggml", "ggml/adapter", "ggml/adapter/safetensors",
	"ggml/gguf", "ggml/gguf/gguftest", "ggml/llama", "ggml/modelfile", "internal/archtest", "internal/atomicfile",
	"internal/cgroup", "internal/conf", "internal/fetch", "internal/filehash", "internal/goldentest",
	"internal/jinja", "internal/licenses", "internal/sniff", "internal/strictjson", "internal/testsum", "rl/data",
	"cmd/steer", "cmd/steer/bench", "cmd/steer/pipeline",
	"eval", "eval/compare", "eval/task",
	"internal/report", "internal/stats",
	"rewards",
	"rl/ppo", "rl/sft", "rl/train", "rl/train/traintest",
	"eval/benchmark", "eval/suite", "internal/jobs", "internal/plan", "internal/speed", "internal/experiment",
	"internal/workspace", "internal/machine", "internal/bytesize", "eval/metrics", "internal/proposal", "eval/result",
	"internal/run", "eval/query", "internal/workspace/workspacetest",
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

// No line of Go, C or C++ is longer than maxColumns. Generated files and what lies in testdata are not held to it.
func TestLinesFitTheScreen(t *testing.T) {
	root := "../.."
	out, err := exec.Command("git", "-C", root, "ls-files", "*.go", "*.h", "*.cpp", "*.cu", "*.c").CombinedOutput()
	if err != nil {
		t.Skipf("git ls-files does not run here: %s", out)
	}
	files := strings.Fields(string(out))
	require.Greater(t, len(files), 100)
	for _, name := range files {
		if strings.Contains("/"+name, "/testdata/") || slices.Contains(notYetNarrow, path.Dir(name)) {
			continue
		}
		f, err := os.Open(filepath.Join(root, name))
		if os.IsNotExist(err) { // removed, but not yet in the index
			continue
		}
		require.NoError(t, err)
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			if strings.HasPrefix(lines.Text(), "// Code generated ") {
				break
			}
			if c := columns(lines.Text()); c > maxColumns {
				t.Errorf("%s:%d: %d columns, at most %d (a tab counts as %d)", name, n, c, maxColumns, tabColumns)
			}
		}
		require.NoError(t, lines.Err(), name)
		require.NoError(t, f.Close())
	}
}

func TestColumns(t *testing.T) {
	require.Equal(t, 0, columns(""))
	require.Equal(t, 10, columns("\ta\tb"))
	require.Equal(t, 2, columns("ßπ"))
}
