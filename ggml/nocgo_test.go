package ggml

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A build without cgo, which is also what Go does where it finds no C compiler, fails
// with a line that says what to do.
func TestBuildWithoutCgo(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go tool in PATH: the build without cgo is not tried")
	}
	cmd := exec.Command(goTool, "build", "-o", os.DevNull, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "the engine is C++")
	require.Contains(t, string(out), "steer_needs_cgo__set_CGO_ENABLED_1_and_install_a_C_compiler")
}
