// Package archtest holds the arrows between packages (ARCHITECTURE.md): who may import whom.
package archtest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed lists, for each package (or "prefix/..."), what it may import of this module.
// Test files are not held to it.
var allowed = []struct {
	pkg  string
	deps []string
}{
	{"steer/cmd/steer", []string{"steer/..."}},
	{"steer/cmd/steer/...", []string{"steer/..."}},
	{"steer/rl/sft", []string{"steer/rl/train", "steer/rl/data", "steer/ggml/lm", "steer/ggml/adapter", "steer/internal/run", "steer/internal/..."}},
	{"steer/rl/ppo", []string{"steer/rl/train", "steer/rl/data", "steer/ggml/lm", "steer/ggml/adapter", "steer/internal/run", "steer/internal/..."}},
	{"steer/rewards", []string{"steer/rl/train", "steer/rl/data", "steer/ggml/lm", "steer/ggml/adapter", "steer/internal/run", "steer/internal/..."}},
	{"steer/eval", []string{"steer/eval/task", "steer/rl/train", "steer/rl/data", "steer/ggml/lm", "steer/ggml/prefix", "steer/internal/run", "steer/internal/..."}},
	{"steer/eval/task", []string{"steer/rl/data", "steer/internal/..."}}, // a user's own task: no model
	{"steer/eval/compare", []string{"steer/internal/..."}},               // reads records only
	{"steer/rl/train", []string{"steer/ggml/lm", "steer/ggml/adapter", "steer/internal/run", "steer/internal/..."}},
	{"steer/rl/train/...", []string{"steer/rl/train", "steer/ggml/lm", "steer/ggml/adapter", "steer/internal/..."}},
	{"steer/rl/data", []string{"steer/ggml/lm", "steer/internal/..."}},
	{"steer/ggml", []string{"steer/ggml/transformer", "steer/ggml/family", "steer/ggml/prefix", "steer/ggml/adapter", "steer/ggml/modelfile", "steer/ggml/lm", "steer/cgo", "steer/internal/..."}},
	{"steer/ggml/transformer", []string{"steer/ggml/family", "steer/cgo"}},
	{"steer/ggml/family", []string{"steer/ggml/gguf"}},
	{"steer/ggml/adapter", []string{"steer/ggml/family", "steer/ggml/gguf", "steer/ggml/lm", "steer/ggml/adapter/safetensors", "steer/internal/..."}},
	{"steer/ggml/adapter/safetensors", []string{"steer/ggml/gguf", "steer/internal/..."}}, // half floats
	{"steer/ggml/gguf", []string{"steer/internal/..."}},
	{"steer/ggml/gguf/gguftest", []string{"steer/ggml/gguf", "steer/internal/testfiles"}}, // tests only
	{"steer/ggml/modelfile", []string{"steer/ggml/adapter", "steer/ggml/family", "steer/ggml/gguf"}},
	{"steer/ggml/prefix", []string{"steer/ggml/lm"}},
	{"steer/ggml/lm", nil},
	{"steer/cgo", nil},
	{"steer/demo", []string{"steer/internal/..."}},
	{"steer/experiments", nil},
	{"steer/internal/report", []string{"steer/eval/compare", "steer/internal/..."}}, // reads files only
	{"steer/internal/run", []string{"steer/ggml/lm", "steer/ggml/adapter", "steer/internal/..."}},
	{"steer/internal/machine", []string{"steer/internal/..."}},
	{"steer/internal/workspace", []string{"steer/ggml", "steer/ggml/adapter", "steer/ggml/lm", "steer/rl/data", "steer/rl/train",
		"steer/internal/..."}},
	{"steer/internal/workspace/workspacetest", []string{"steer/..."}}, // tests only
	{"steer/internal/jobs", []string{"steer/internal/workspace", "steer/internal/run", "steer/ggml", "steer/ggml/adapter", "steer/ggml/lm",
		"steer/rl/...", "steer/rewards", "steer/eval", "steer/experiments", "steer/internal/..."}},
	{"steer/internal/plan", []string{"steer/internal/jobs", "steer/internal/workspace", "steer/ggml", "steer/ggml/adapter", "steer/ggml/lm",
		"steer/rl/train", "steer/internal/..."}},
	{"steer/internal/experiment", []string{"steer/internal/jobs", "steer/internal/plan", "steer/internal/workspace", "steer/internal/run",
		"steer/rewards", "steer/rl/...", "steer/internal/..."}},
	{"steer/internal/proposal", []string{"steer/internal/experiment", "steer/internal/jobs", "steer/internal/plan", "steer/internal/workspace",
		"steer/ggml/...", "steer/rewards", "steer/rl/data", "steer/internal/..."}},
	{"steer/internal/stats", []string{"steer/internal/crash", "steer/internal/seed"}},
	{"steer/internal/...", []string{"steer/internal/..."}},
	{"steer/third_party", nil},
}

func match(pattern, pkg string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkg, prefix+"/")
	}
	return pattern == pkg
}

func TestArrowsGoDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports " "}}`, "steer/...").Output()
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		pkg, imports, _ := strings.Cut(line, ":")
		deps, known := rule(pkg)
		if !known {
			t.Errorf("%s is in no room: add it to this test and to ARCHITECTURE.md", pkg)
			continue
		}
		for _, imp := range strings.Fields(imports) {
			if imp == "C" && pkg != "steer/cgo" {
				t.Errorf("%s imports C: only steer/cgo may", pkg)
			}
			if strings.HasPrefix(imp, "steer/") && !permitted(deps, imp) {
				t.Errorf("%s imports %s: not allowed, see ARCHITECTURE.md", pkg, imp)
			}
		}
	}
}

func rule(pkg string) (deps []string, known bool) {
	for _, r := range allowed {
		if r.pkg == pkg {
			return r.deps, true
		}
	}
	for _, r := range allowed {
		if match(r.pkg, pkg) {
			return r.deps, true
		}
	}
	return nil, false
}

// upper are packages of internal that stand above others: "steer/internal/..." is not meant for
// them, a rule has to name them.
var upper = []string{
	"steer/internal/workspace", "steer/internal/jobs", "steer/internal/plan", "steer/internal/experiment", "steer/internal/proposal",
	"steer/internal/report", "steer/internal/run"}

func permitted(deps []string, imp string) bool {
	return slices.ContainsFunc(deps, func(d string) bool {
		return d == imp || match(d, imp) && (d == "steer/..." || !slices.Contains(upper, imp))
	})
}

// The environment is read only by commands (and by tests).
func TestEnvironmentIsReadInCommandsOnly(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "grep", "-nE", `os\.(Getenv|LookupEnv|Environ)\(`, "--", "*.go").CombinedOutput()
	if err != nil && len(out) > 0 {
		t.Skipf("git grep does not run here: %s", out)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		file, _, _ := strings.Cut(line, ":")
		inTests := strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "internal/testfiles/")
		if line != "" && !strings.HasPrefix(file, "cmd/") && !inTests {
			t.Errorf("the environment is read outside cmd: %s", line)
		}
	}
}
