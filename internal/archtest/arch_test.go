package archtest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowed lists, from the top floor down, what each package (or "prefix/...") may import of this
// module besides itself. Test files are not held to it.
var allowed = []struct {
	pkg  string
	deps []string
}{
	// Commands: flags, printing, wiring. What they wire are the packages of app, and what they name
	// themselves of the lower ones: adapters and devices, the kinds of data and theories, the progress.
	{"steer/cmd/steer", []string{
		"steer/app/...", "steer/rewards", "steer/rewards/constitution", "steer/rl/data", "steer/rl/dpo",
		"steer/rl/run", "steer/rl/sft", "steer/rl/train", "steer/ggml",
		"steer/ggml/adapter", "steer/ggml/gguf", "steer/ggml/lm", "steer/ggml/merge",
		"steer/ggml/modelfile", "steer/ggml/quantize", "steer/demo", "steer/experiments", "steer/internal/..."}},

	// The program: what commands, and whatever else is a face of it, do.
	{"steer/app/proposal", []string{
		"steer/app/experiment", "steer/app/jobs", "steer/app/plan", "steer/app/workspace",
		"steer/rewards", "steer/rl/data", "steer/ggml", "steer/ggml/...", "steer/internal/..."}},
	{"steer/app/experiment", []string{
		"steer/app/jobs", "steer/app/plan", "steer/app/source", "steer/app/workspace",
		"steer/rewards", "steer/rl/...", "steer/ggml/gguf", "steer/internal/..."}},
	{"steer/app/plan", []string{
		"steer/app/jobs", "steer/app/workspace", "steer/rl/run", "steer/rl/train",
		"steer/ggml", "steer/ggml/adapter", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/app/jobs", []string{
		"steer/app/source", "steer/app/workspace", "steer/eval", "steer/eval/benchmark", "steer/eval/journal",
		"steer/eval/judge", "steer/eval/suite",
		"steer/eval/task", "steer/rewards", "steer/rewards/...", "steer/rl/...", "steer/ggml",
		"steer/ggml/adapter", "steer/ggml/lm", "steer/ggml/modelfile", "steer/experiments", "steer/internal/..."}},
	{"steer/app/speed", []string{ // steer bench
		"steer/app/workspace", "steer/rl/data", "steer/rl/dpo", "steer/rl/grpo", "steer/rl/ppo", "steer/rl/rollout",
		"steer/rl/train",
		"steer/ggml", "steer/ggml/...", "steer/cgo", "steer/internal/..."}},
	{"steer/app/score", []string{
		"steer/app/jsonlines", "steer/app/workspace", "steer/rewards", "steer/rl/data", "steer/rl/train",
		"steer/ggml", "steer/ggml/adapter", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/app/chat", []string{
		"steer/app/jsonlines", "steer/app/workspace", "steer/rl/data",
		"steer/ggml", "steer/ggml/adapter", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/app/chat/chattest", []string{ // tests only
		"steer/app/chat", "steer/app/workspace", "steer/rl/data", "steer/ggml/adapter", "steer/ggml/lm"}},
	{"steer/app/workspace", []string{
		"steer/rl/data", "steer/rl/train",
		"steer/ggml", "steer/ggml/adapter", "steer/ggml/lm", "steer/ggml/modelfile", "steer/internal/..."}},
	{"steer/app/workspace/workspacetest", []string{"steer/..."}}, // tests only
	{"steer/app/report", []string{ // reads files only
		"steer/eval/compare", "steer/rl/run", "steer/internal/..."}},
	{"steer/app/inspect", []string{
		"steer/ggml", "steer/ggml/adapter", "steer/ggml/gguf", "steer/ggml/modelfile", "steer/internal/..."}},
	{"steer/app/export", []string{
		"steer/app/workspace", "steer/rl/data", "steer/ggml", "steer/ggml/...", "steer/internal/..."}},
	{"steer/app/conversion", []string{
		"steer/ggml/convert", "steer/ggml/gguf", "steer/ggml/quantize", "steer/internal/..."}},
	{"steer/app/jsonlines", []string{"steer/rl/data", "steer/internal/..."}},
	{"steer/app/source", []string{"steer/rl/run", "steer/internal/..."}},

	// Evaluation.
	{"steer/eval/suite", []string{
		"steer/eval", "steer/eval/benchmark", "steer/eval/journal", "steer/eval/query",
		"steer/rl/data", "steer/rl/run", "steer/internal/..."}},
	{"steer/eval/benchmark", []string{
		"steer/eval", "steer/eval/metrics", "steer/eval/query", "steer/eval/task",
		"steer/rl/data", "steer/rl/run", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/eval/journal", []string{"steer/eval", "steer/rl/run", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/eval/metrics", []string{"steer/eval", "steer/rl/run", "steer/internal/..."}}, // records only, no model
	{"steer/eval/query", []string{
		"steer/eval", "steer/rl/data", "steer/rl/run", "steer/ggml/lm", "steer/ggml/prefix", "steer/internal/..."}},
	{"steer/eval/judge", []string{
		"steer/eval", "steer/eval/query", "steer/rl/data", "steer/rl/run", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/eval/task", []string{"steer/rl/data", "steer/internal/..."}},                  // no model
	{"steer/eval/compare", []string{"steer/rl/run", "steer/internal/..."}},                // records only, no model
	{"steer/eval/evaltest", []string{"steer/eval", "steer/ggml/lm", "steer/ggml/prefix"}}, // tests only
	{"steer/eval", []string{"steer/rl/data", "steer/ggml/lm"}},

	// Learning.
	{"steer/rewards", []string{
		"steer/rl/data", "steer/rl/run", "steer/rl/train", "steer/ggml/adapter", "steer/ggml/lm",
		"steer/internal/..."}},
	{"steer/rewards/constitution", nil},                                         // texts
	{"steer/rewards/function", []string{"steer/rl/data", "steer/internal/..."}}, // no model
	{"steer/rl/ppo", []string{
		"steer/rl/mixture", "steer/rl/rollout", "steer/rl/run", "steer/rl/train", "steer/ggml/lm",
		"steer/internal/..."}},
	{"steer/rl/rollout", []string{ // what PPO and GRPO share
		"steer/rl/data", "steer/rl/mixture", "steer/rl/run", "steer/rl/train", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/rl/rollout/rollouttest", []string{"steer/rl/...", "steer/ggml/adapter", "steer/ggml/lm"}}, // tests only
	{"steer/rl/grpo", []string{
		"steer/rl/mixture", "steer/rl/rollout", "steer/rl/run", "steer/rl/train", "steer/ggml/lm",
		"steer/internal/..."}},
	{"steer/rl/mixture", []string{"steer/rl/train", "steer/internal/..."}}, // numbers only
	{"steer/rl/dpo", []string{
		"steer/rl/data", "steer/rl/run", "steer/rl/train", "steer/ggml/adapter", "steer/ggml/lm",
		"steer/internal/..."}},
	{"steer/rl/sft", []string{
		"steer/rl/data", "steer/rl/run", "steer/rl/train", "steer/ggml/adapter", "steer/ggml/lm",
		"steer/internal/..."}},
	{"steer/rl/train", []string{"steer/rl/run", "steer/ggml/adapter", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/rl/train/...", []string{"steer/rl/train", "steer/ggml/adapter", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/rl/run", []string{"steer/ggml/adapter", "steer/ggml/lm", "steer/internal/..."}},
	{"steer/rl/data", []string{"steer/ggml/lm", "steer/internal/..."}},

	// The engine.
	{"steer/ggml", []string{
		"steer/ggml/adapter", "steer/ggml/family", "steer/ggml/lm", "steer/ggml/modelfile", "steer/ggml/prefix",
		"steer/ggml/transformer", "steer/cgo", "steer/internal/..."}},
	{"steer/ggml/transformer", []string{"steer/ggml/family", "steer/cgo"}},
	{"steer/ggml/family", []string{"steer/ggml/gguf"}},
	{"steer/ggml/modelfile", []string{
		"steer/ggml/adapter", "steer/ggml/family", "steer/ggml/gguf", "steer/ggml/lm"}},
	{"steer/ggml/merge", []string{
		"steer/ggml/adapter", "steer/ggml/gguf", "steer/ggml/modelfile", "steer/cgo", "steer/internal/..."}},
	{"steer/ggml/adapter", []string{
		"steer/ggml/adapter/safetensors", "steer/ggml/family", "steer/ggml/gguf", "steer/ggml/lm",
		"steer/internal/..."}},
	{"steer/ggml/adapter/safetensors", []string{"steer/internal/..."}},
	{"steer/ggml/convert", []string{
		"steer/ggml/adapter/safetensors", "steer/ggml/convert/tokenizer", "steer/ggml/gguf", "steer/internal/..."}},
	{"steer/ggml/convert/tokenizer", []string{"steer/ggml/gguf", "steer/internal/..."}},
	{"steer/ggml/quantize", []string{"steer/ggml/gguf", "steer/ggml/modelfile", "steer/cgo", "steer/internal/..."}},
	{"steer/ggml/gguf/gguftest", []string{"steer/ggml/gguf", "steer/internal/testfiles"}}, // tests only
	{"steer/ggml/gguf", []string{"steer/internal/..."}},
	{"steer/ggml/prefix", []string{"steer/ggml/lm"}},
	{"steer/ggml/lm", nil},
	{"steer/cgo", nil},

	// What stands on nothing but itself.
	{"steer/demo", []string{"steer/internal/..."}},
	{"steer/experiments", nil},
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

func permitted(deps []string, imp string) bool {
	return slices.ContainsFunc(deps, func(d string) bool { return match(d, imp) })
}

// The environment is read only by commands (and by tests).
func TestEnvironmentIsReadInCommandsOnly(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "grep", "-nE", `os\.(Getenv|LookupEnv|Environ)\(`, "--",
		"*.go").CombinedOutput()
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
