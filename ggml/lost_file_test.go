package ggml

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

const lostFile = "STEER_TEST_LOST_FILE"

// A model's file that cannot be read any more (an input/output error, or it was cut off under the program, which is the
// same signal) ends the process with exit code 1 and a sentence that names the file, not with Go's dump.
func TestAModelFileThatIsLost(t *testing.T) {
	if path := os.Getenv(lostFile); path != "" { // the process that is to end so
		dev, err := OpenDevice(DeviceOptions{Threads: 2})
		require.NoError(t, err)
		m, err := LoadModel(dev, path, ModelOptions{})
		require.NoError(t, err)
		s, err := m.NewStep(StepOptions{Precision: F32})
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, 4096))
		_, _ = s.Forward(t.Context(), raggedBatch(1, tinyShape.Vocab, false, 9), lm.Options{})
		t.Fatal("the weights were read from a file that is gone")
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	from, err := os.ReadFile(tiny(t, tinyShape, gguftest.Options{}))
	require.NoError(t, err)
	require.Greater(t, len(from), 8192, "weights beyond the page that is left")
	require.NoError(t, os.WriteFile(path, from, 0o600))
	cmd := exec.Command(os.Args[0], "-test.run=^TestAModelFileThatIsLost$")
	cmd.Env = append(os.Environ(), lostFile+"="+path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v\n%s", err, out)
	require.Equal(t, 1, exit.ExitCode(), "%s", out)
	require.Contains(t, string(out), "steer: the model file "+path+" cannot be read any more")
	require.Contains(t, string(out), "What was checkpointed is intact")
	require.NotContains(t, string(out), "goroutine ")
	require.NotContains(t, string(out), "FAIL")
}
