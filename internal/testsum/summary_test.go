package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module writes a module with one test file and gives its folder.
func module(t *testing.T, tests string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o600))
	body := "package m\n\nimport (\n\t\"testing\"\n)\n\n" + tests
	require.NoError(t, os.WriteFile(filepath.Join(dir, "m_test.go"), []byte(body), 0o600))
	return dir
}

// result runs go test on a module as main does.
func result(t *testing.T, dir string, strict bool) (code int, out string) {
	t.Helper()
	goTool, err := exec.LookPath("go")
	require.NoError(t, err)
	t.Chdir(dir)
	var b bytes.Buffer
	code = run(goTool, []string{"./..."}, strict, &b)
	return code, b.String()
}

func TestSkipsAreListedByReason(t *testing.T) {
	dir := module(t, `
func TestA(t *testing.T) { t.Log("noise"); t.Skip("no model here") }
func TestB(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Skipf("no %s here", "model") }) }
func TestC(t *testing.T) { t.SkipNow() }
func TestD(t *testing.T) { t.Log("said") }
`)
	code, out := result(t, dir, false)
	require.Zero(t, code, out)
	require.Contains(t, out, "ok  \tm\t", "go's own line of a package stays")
	require.Contains(t, out, "\n2 tests passed, 0 failed, 3 skipped\n")
	require.Contains(t, out, "skipped: no model here\n    m TestA\n    m TestB/sub\n")
	require.Contains(t, out, "skipped: no reason given\n    m TestC\n")
	require.NotContains(t, out, "noise")
	require.NotContains(t, out, "said")

	code, out = result(t, dir, true)
	require.Equal(t, 1, code)
	require.Contains(t, out, "not allowed here (internal/testsum/skips.go): no model here\n")
}

func TestUnavoidableSkipsPassTheStrictRun(t *testing.T) {
	code, out := result(t, module(t, "func TestA(t *testing.T) { t.Skip(`"+unavoidable[0].reason+": no GPU`) }"), true)
	require.Zero(t, code, out)
	require.Contains(t, out, "1 skipped")
}

func TestFailuresSayAllTheySaid(t *testing.T) {
	code, out := result(t, module(t, `
func TestA(t *testing.T) { t.Log("before"); t.Error("broken") }
func TestB(t *testing.T) { t.Log("not this") }
`), true)
	require.Equal(t, 1, code)
	require.Contains(t, out, "before")
	require.Contains(t, out, "broken")
	require.Contains(t, out, "--- FAIL: TestA")
	require.Contains(t, out, "FAIL\tm\t")
	require.NotContains(t, out, "not this")
	require.Contains(t, out, "1 tests passed, 1 failed, 0 skipped")
}

func TestCrashesAndBrokenBuildsAreShown(t *testing.T) {
	code, out := result(t, module(t, `func TestA(t *testing.T) { t.Log("before"); panic("crash") }`), false)
	require.Equal(t, 1, code)
	require.Contains(t, out, "panic: crash")
	code, out = result(t, module(t, `func TestA(t *testing.T) { undefined() }`), false)
	require.Equal(t, 1, code)
	require.Contains(t, out, "undefined: undefined")
	require.Contains(t, out, "[build failed]")
}

// Every entry says why, and no entry allows what can be installed.
func TestTheListHoldsOnlyWhatCannotBeAvoided(t *testing.T) {
	for _, u := range unavoidable {
		require.NotEmpty(t, u.why, u.reason)
		for _, word := range []string{"model", "real data", "chromium", "emulated", "golden"} {
			require.False(t, strings.Contains(u.reason, word), u.reason)
		}
	}
}
