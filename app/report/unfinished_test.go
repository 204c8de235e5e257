package report_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/app/report"
)

// interrupt makes of an evaluation that is through one that is not: pieces without a result.
// Those that skip says were not measured yet.
func interrupt(t testing.TB, dir string, skip func(benchmark object) bool) {
	t.Helper()
	result := filepath.Join(dir, "eval/result.json")
	v := readJSON(t, result)
	for _, b := range v["benchmarks"].([]any) {
		b := b.(object)
		if skip(b) {
			continue
		}
		name := fmt.Sprintf("eval/items/%s.%s.%s.json", b["benchmark"], b["protocol"], b["model"])
		writeJSON(t, filepath.Join(dir, name), object{"version": 1, "benchmark": b,
			"fingerprint": fmt.Sprintf("program: v1\nmodels:\n  - %s\ndata: {}\noptions:\n  limit: 500\n", b["model"])})
	}
	var config strings.Builder
	config.WriteString("subjects:\n")
	for _, m := range v["models"].([]any)[1:] {
		text, err := json.Marshal(m)
		require.NoError(t, err)
		fmt.Fprintf(&config, "  - %s\n", text) // JSON is YAML
	}
	write(t, filepath.Join(dir, "eval/config.yaml"), config.String())
	write(t, filepath.Join(dir, "eval/run.json"), `{"stage": "eval", "name": "eval", "opened": ["x"]}`)
	require.NoError(t, os.Remove(result))
}

// What an evaluation has measured is shown before it is through.
func TestUnfinishedEvaluation(t *testing.T) {
	dir := experiment(t)
	whole := load(t, dir)
	interrupt(t, dir, func(b object) bool { return b["benchmark"] == "wsc273" && b["model"] == "virtue" })
	r := load(t, dir)
	require.Equal(t, whole.Models, r.Models)
	require.Nil(t, r.Matrix)
	require.Empty(t, r.Missing)
	require.Len(t, r.Benchmarks, len(whole.Benchmarks))
	rows := map[string]int{}
	for _, b := range r.Benchmarks {
		rows[b.Benchmark+" "+b.Protocol] = len(b.Rows)
	}
	require.Equal(t, map[string]int{"scruples loglik": 6, "scruples thesis": 6, "toxigen loglik": 6, "wsc273 loglik": 5,
		"scruples reward": 4}, rows)
	require.Contains(t, flagText(r), "failure eval: was interrupted: 27 measurements are finished.")

	// Numbers of other terms than the newest of their kind are not compared with them.
	stale := filepath.Join(dir, "eval/items/scruples.loglik.base.json")
	edit(t, stale, func(v object) { v["fingerprint"] = strings.Replace(v["fingerprint"].(string), "500", "60", 1) })
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(stale, old, old))
	r = load(t, dir)
	for _, b := range r.Benchmarks {
		if b.Benchmark == "scruples" && b.Protocol == "loglik" {
			require.Len(t, b.Rows, 5)
		}
	}
	require.Contains(t, flagText(r), "failure eval: was interrupted: 26 measurements are finished; 1 more, of other "+
		"terms than the newest of their kind, are left out.")

	// One that has not measured anything yet is what it was before.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "eval/items")))
	require.Empty(t, load(t, dir).Benchmarks)

	write(t, filepath.Join(dir, "eval/items/x.json"), "{")
	_, err := report.Load(dir)
	require.ErrorContains(t, err, filepath.Join("eval", "items", "x.json"))
}
