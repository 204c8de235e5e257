package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"steer/demo"
	"steer/internal/hub/hubtest"
)

// hubUser is somebody with a folder, a home of hub tools and a hub.
type hubUser struct {
	t      testing.TB
	dir    string
	server *hubtest.Server
	env    []string
}

// newHubUser serves the tiny model and conversations.
func newHubUser(t testing.TB) (*hubUser, demo.Paths) {
	_, assets := e2e(t)
	file := func(path string) *fstest.MapFile { return &fstest.MapFile{Data: get(t, path)} }
	u := &hubUser{t: t, dir: t.TempDir(), server: hubtest.New(t, fstest.MapFS{
		"tiny/one/README.md":                  {Data: []byte("---\nlicense: mit\n---\n# One\n")},
		"tiny/one/tiny.gguf":                  file(assets.Model),
		"tiny/many/many-Q4_K_M.gguf":          {Data: []byte(strings.Repeat("many", 50_000))},
		"tiny/many/many-Q8_0.gguf":            {Data: []byte(strings.Repeat("more", 100_000))},
		"tiny/safe/config.json":               {Data: []byte("{}")},
		"tiny/safe/model.safetensors":         {Data: []byte("weights")},
		"tiny/safe/pytorch_model.bin":         {Data: []byte("pickle")},
		"tiny/pickle/pytorch_model.bin":       {Data: []byte("pickle")},
		"datasets/tiny/chat/data/train.jsonl": file(assets.Guanaco.Train),
		"datasets/tiny/chat/data/test.jsonl":  file(assets.Guanaco.Test),
	})}
	u.env = []string{"HF_ENDPOINT=" + u.server.URL, "HF_HOME=" + filepath.Join(u.dir, "hf")}
	return u, assets
}

func (u *hubUser) start(args ...string) *process {
	return startUnder(u.t, u.dir, append([]string{"env"}, u.env...), args...)
}

func (u *hubUser) steer(args ...string) (code int, out, said string) {
	u.t.Helper()
	p := u.start(args...)
	code, by := p.wait()
	require.Zero(u.t, by)
	for _, line := range strings.Split(p.out.String(), "\n") {
		require.NotContains(u.t, line, "hf_secret")
	}
	return code, p.out.String(), p.err.String()
}

func (u *hubUser) must(args ...string) (out, said string) {
	u.t.Helper()
	code, out, said := u.steer(args...)
	require.Zero(u.t, code, "%v\n%s", args, said)
	return out, said
}

// with is the same user with other variables.
func (u *hubUser) with(env ...string) *hubUser {
	other := *u
	other.env = append(other.env[:len(other.env):len(other.env)], env...)
	return &other
}

func (u *hubUser) cached(repo, commit, file string) string {
	return filepath.Join(u.dir, "hf", "hub", strings.ReplaceAll(repo, "/", "--"), "snapshots", commit, file)
}

func TestFetchFromTheHub(t *testing.T) {
	t.Parallel()
	u, assets := newHubUser(t)
	out, _ := u.must("fetch", "hf:tiny/one")
	commit := u.server.Commit("tiny/one")
	path := u.cached("models/tiny/one", commit, "tiny.gguf")
	require.Contains(t, out, "hf:tiny/one: 1 file, ")
	require.Contains(t, out, "  commit "+commit+"\n  licence mit, see "+u.server.URL+"/tiny/one\n")
	require.True(t, strings.HasSuffix(out, "\n"+path+"\n"), out)
	require.Equal(t, get(t, assets.Model), get(t, path))
	out, _ = u.must("fetch", u.server.URL+"/tiny/one/blob/main/tiny.gguf", "hf:tiny/many:q8_0")
	require.Contains(t, out, "tiny.gguf  (was there)")
	require.Contains(t, out, "400 kB  many-Q8_0.gguf\n")
	raw, _ := u.must("fetch", "--json", "hf:tiny/one")
	var report []hubReport
	require.NoError(t, json.Unmarshal([]byte(raw), &report))
	require.Equal(t, path, report[0].Path)
	require.Equal(t, "mit", report[0].Licence)
	out, _ = u.must("fetch", "--list", "hf:tiny/many")
	require.Contains(t, out, "  missing    200 kB  many-Q4_K_M.gguf\n  there      400 kB  many-Q8_0.gguf\n")
	out, _ = u.must("fetch", "hf:tiny/safe")
	require.Contains(t, out, "steer model convert hf:tiny/safe -o base.gguf")
	require.NotContains(t, out, "pytorch_model.bin")

	// What the cache has can be checked, and is fetched again if it is damaged.
	u.must("fetch", "--verify", "hf:tiny/one")
	target, err := filepath.EvalSymlinks(path)
	require.NoError(t, err)
	damaged := get(t, path)
	damaged[100] ^= 1
	require.NoError(t, os.WriteFile(target, damaged, 0o600))
	code, _, said := u.steer("fetch", "--verify", "hf:tiny/one")
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "wrong checksum")
	require.Contains(t, said, "steer fetch --force hf:tiny/one")
	u.must("fetch", "--force", "hf:tiny/one")
	u.must("fetch", "--verify", "hf:tiny/one")
	require.Equal(t, get(t, assets.Model), get(t, path))
}

// What is wrong with a name, or with a repository, is said with what helps.
func TestBadNamesOfTheHub(t *testing.T) {
	t.Parallel()
	u, assets := newHubUser(t)
	gated := u.with("HF_TOKEN=hf_secret")
	u.server.Gate("tiny/safe", "another")
	sft := func(model string) []string { return []string{"sft", "--model", model, "--train", assets.Guanaco.Train} }
	for _, c := range []struct {
		u    *hubUser
		args []string
		code int
		says []string
	}{
		{u, []string{"fetch", "hf:tiny/many"}, exitFailure, []string{"it holds 2 models (GGUF): name one of them:\n" +
			"  hf:tiny/many:Q4_K_M  200 kB\n  hf:tiny/many:Q8_0    400 kB\n"}},
		{u, sft("hf:tiny/many"), exitFailure, []string{"model: hf:tiny/many: it holds 2 models"}},
		{u, sft("hf:tiny/one/tiny.gguf"), exitUsage, []string{"did you mean hf:tiny/one:tiny.gguf?"}},
		{u, []string{"fetch", "hf:tiny/one@"}, exitUsage, []string{"want the name of a branch or tag, or a commit"}},
		{u, []string{"fetch", "hf:tiny/none"}, exitFailure, []string{"there is no such repository"}},
		{u, []string{"fetch", "hf:tiny/one@v2"}, exitFailure, []string{"hf:tiny/one@v2: there is no such revision"}},
		{u, []string{"fetch", "hf:tiny/one:other.gguf"}, exitFailure,
			[]string{"is called so: there are\n  hf:tiny/one:tiny.gguf"}},
		{u, []string{"fetch", "hf:tiny/pickle"}, exitFailure, []string{"no model but pickled weights", "safetensors"}},
		{u, sft("hf:tiny/pickle"), exitFailure, []string{"no model but pickled weights"}},
		{u, sft("hf:tiny/safe"), exitFailure, []string{"steer model convert hf:tiny/safe"}},
		{u, []string{"fetch", "hf:datasets/tiny/chat"}, exitFailure, []string{"2 files of data",
			"hf:datasets/tiny/chat:test.jsonl"}},
		{u, []string{"fetch", "hf:tiny/safe"}, exitFailure, []string{"hf:tiny/safe:config.json: is gated",
			"export HF_TOKEN=hf_..."}},
		{gated, []string{"fetch", "hf:tiny/safe"}, exitFailure, []string{"has not been let in", "HF_TOKEN"}},
		{u.with("HF_TOKEN=bad"), []string{"fetch", "hf:tiny/one"}, exitFailure, []string{"the token is refused",
			"HF_TOKEN"}},
		{u.with("HF_HUB_OFFLINE=1"), sft("hf:tiny/one"), exitFailure, []string{"since HF_HUB_OFFLINE is set",
			"steer fetch hf:tiny/one"}},
		{u, append(sft("hf:tiny/one"), "--offline"), exitFailure, []string{"since --offline is given"}},
		{u, append(sft("hf:tiny/one"), "--dry-run"), exitFailure, []string{"since --dry-run fetches nothing"}},
		{u, []string{"model", "inspect", "hf:tiny/many"}, exitFailure,
			[]string{"FILE: hf:tiny/many: it holds 2 models"}},
		{u, []string{"fetch", "https://127.0.0.1:1/x#sha=1"}, exitUsage, []string{"want sha256= and 64 digits"}},
	} {
		code, _, said := c.u.steer(c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, said)
		for _, text := range c.says {
			require.Contains(t, said, text)
		}
		require.NotContains(t, said, "hf_secret")
	}
	put(t, u.dir, "hf/token", "another\n")
	u.must("fetch", "hf:tiny/safe")
}

// A job on names of the hub notes what they were, and goes on with that when the branch has moved.
func TestJobsOnNamesOfTheHub(t *testing.T) {
	t.Parallel()
	u, assets := newHubUser(t)
	job := func(more ...string) []string {
		return append([]string{"sft", "--model", "hf:tiny/one", "--train", "hf:datasets/tiny/chat:train", "--template",
			"guanaco", "--set", "max_tokens=64", "--set", "train.limit=8", "--rank", "4", "-o", "run"}, more...)
	}
	_, said := u.must(job("--max-steps", "1")...)
	first := u.server.Commit("datasets/tiny/chat")
	require.Contains(t, said, "hf:tiny/one is not in the cache: fetching tiny.gguf of commit "+
		u.server.Commit("tiny/one")[:7])
	require.Contains(t, said, "licence mit, into "+filepath.Join(u.dir, "hf", "hub"))
	sources := func() map[string]map[string]string {
		var result struct {
			Sources map[string]map[string]string `json:"sources"`
		}
		require.NoError(t, json.Unmarshal(get(t, u.dir, "run/result.json"), &result))
		return result.Sources
	}
	want := map[string]map[string]string{
		"model": {"name": "hf:tiny/one", "commit": u.server.Commit("tiny/one"), "file": "tiny.gguf",
			"licence": "mit"},
		"train.path": {"name": "hf:datasets/tiny/chat:train", "commit": first, "file": "data/train.jsonl"},
	}
	require.Equal(t, want, sources())

	// The branch moves, and is fetched: the run goes on with what it began with.
	u.server.Publish(t, "datasets/tiny/chat", "main",
		fstest.MapFS{"data/train.jsonl": {Data: get(t, assets.Guanaco.Test)}})
	u.must("fetch", "hf:datasets/tiny/chat:train")
	require.NoError(t, os.Remove(filepath.Join(u.dir, "run/result.json")))
	_, said = u.must(job("--max-steps", "1")...)
	require.Contains(t, said, "hf:datasets/tiny/chat:train: data/train.jsonl of commit "+first[:7]+
		", as when the run began, in the cache")
	require.Equal(t, want, sources())
	u.server.Asked()
	out, _ := u.must(job("--max-steps", "1")...)
	require.Contains(t, out, "finished already")
	require.Empty(t, u.server.Asked(), "what is in the cache needs no network")

	// Its own configuration does it again elsewhere, where nothing is in the cache.
	elsewhere := u.with("HF_HOME=" + filepath.Join(u.dir, "elsewhere"))
	require.NoError(t, os.Rename(filepath.Join(u.dir, "hf"), filepath.Join(u.dir, "away")))
	elsewhere.must("sft", "run/config.yaml", "-o", "again")
	require.Equal(t, get(t, u.dir, "run/adapter.gguf"), get(t, u.dir, "again/adapter.gguf"))
	require.NoError(t, os.Rename(filepath.Join(u.dir, "away"), filepath.Join(u.dir, "hf")))

	// From the beginning it is the newest commit.
	u.must(job("--max-steps", "2", "--fresh")...)
	require.Equal(t, u.server.Commit("datasets/tiny/chat"), sources()["train.path"]["commit"])
	u.must("generate", "-m", "hf:tiny/one", "--prompt", "Once", "--max-new", "2", "--offline")
}

// A task of the harness names a data set of the hub, its configuration and its splits.
func TestTasksOnDataSetsOfTheHub(t *testing.T) {
	t.Parallel()
	u, _ := newHubUser(t)
	row := func(q string, a int) string { return fmt.Sprintf(`{"q": "Is the %s big?", "a": %d}`+"\n", q, a) }
	u.server.Publish(t, "datasets/tiny/quiz", "main", fstest.MapFS{
		"easy/test.jsonl":  {Data: []byte(row("cat", 1) + row("dog", 0))},
		"easy/train.jsonl": {Data: []byte(row("sun", 1))},
		"hard/test.jsonl":  {Data: []byte(row("pea", 0) + row("sea", 1) + row("elk", 1))},
	})
	put(t, u.dir, "quiz.yaml", "task: quiz\ndataset_path: tiny/quiz\ndataset_name: hard\ntest_split: test\n"+
		"output_type: multiple_choice\ndoc_to_text: \"{{q}}\"\ndoc_to_choice: ['no', 'yes']\ndoc_to_target: a\n")
	args := []string{"eval", "--model", "hf:tiny/one", "--task", "quiz.yaml", "--set", "resamples=50", "-o", "run"}
	_, said := u.must(args...)
	require.Contains(t, said, "hard/test.jsonl of commit "+u.server.Commit("datasets/tiny/quiz")[:7])
	var result struct {
		Benchmarks []struct{ N int }
		Sources    map[string]map[string]string
	}
	require.NoError(t, json.Unmarshal(get(t, u.dir, "run/result.json"), &result))
	require.Equal(t, 3, result.Benchmarks[0].N)
	require.Equal(t, "hard/test.jsonl", result.Sources["tasks tiny/quiz:hard/test"]["file"])
	out, _ := u.must(args...)
	require.Contains(t, out, "finished already")

	// A split that is not there is said, with what there is.
	put(t, u.dir, "other.yaml", strings.Replace(string(get(t, u.dir, "quiz.yaml")), "test_split: test",
		"test_split: validation", 1))
	code, _, said := u.steer("eval", "--model", "hf:tiny/one", "--task", "other.yaml", "-o", "other")
	require.NotZero(t, code)
	require.Contains(t, said, "validation")
	require.Contains(t, said, "hard/test.jsonl")
}

// An experiment names the hub as a job does.
func TestAnExperimentOnNamesOfTheHub(t *testing.T) {
	t.Parallel()
	u, assets := newHubUser(t)
	text := strings.NewReplacer("assets/model.gguf", "hf:tiny/one", "data/chat.jsonl", "hf:datasets/tiny/chat:train",
		"data/held-out.jsonl", "hf:datasets/tiny/chat:test", "data/pairs.csv", assets.Deontology.Train,
		"data/pairs-held-out.csv", assets.Deontology.Test, "data/wsc.xml", assets.Winograd).Replace(tinyExperiment)
	put(t, u.dir, "e.yaml", text)
	dry, _ := u.must("run", "e.yaml", "--dry-run")
	require.Contains(t, dry, "# from the hub: sft.model: hf:tiny/one\n")
	require.Contains(t, dry, "\nmodel: hf:tiny/one\n")
	code, _, said := u.steer("plan", "e.yaml")
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "since a plan fetches nothing")
	require.Contains(t, said, "steer fetch --for e.yaml")
	require.Equal(t, 1, strings.Count(said, "model: hf:tiny/one is not"), said)
	out, _ := u.must("fetch", "--for", "e.yaml")
	require.Contains(t, out, "hf:datasets/tiny/chat:test: 1 file")
	u.must("plan", "e.yaml", "--no-calibration")
	_, said = u.must("run", "e.yaml", "--offline", "--set", "sft.max_steps=1", "--set", "reward.max_steps=1", "--set",
		"ppo.iterations=1", "--set", "eval.cross_reward.prompts.limit=2")
	require.NotContains(t, said, "fetching")
	var result struct {
		Sources map[string]map[string]string `json:"sources"`
	}
	require.NoError(t, json.Unmarshal(get(t, u.dir, "out/ppo-deontology/result.json"), &result))
	require.Equal(t, u.server.Commit("datasets/tiny/chat"), result.Sources["prompts.path"]["commit"])
	require.Equal(t, "hf:tiny/one", result.Sources["model"]["name"])
}

// Ctrl-C keeps what has come, and the same command goes on there.
func TestFetchFromTheHubInterrupted(t *testing.T) {
	t.Parallel()
	u, _ := newHubUser(t)
	u.server.Break(hubtest.Fault{Path: "many-Q8_0.gguf", Each: 300 * time.Millisecond, Times: 1})
	p := u.start("fetch", "hf:tiny/many:Q8_0")
	parts := filepath.Join(u.dir, "hf/hub/models--tiny--many/blobs/*.incomplete")
	var part string
	require.True(t, p.until(func() bool {
		found, _ := filepath.Glob(parts)
		if len(found) == 1 {
			part = found[0]
		}
		st, err := os.Stat(part)
		return err == nil && st.Size() > 30_000
	}))
	p.signal(syscall.SIGINT)
	code, _ := p.wait()
	require.Equal(t, 130, code, p.err.String())
	require.Contains(t, p.err.String(), "what has come is kept: the same command goes on from there")
	st, err := os.Stat(part)
	require.NoError(t, err)
	u.server.Asked()
	u.must("fetch", "hf:tiny/many:Q8_0")
	asked := u.server.Asked()
	require.Equal(t, fmt.Sprintf("bytes=%d-", st.Size()), asked[len(asked)-1].Range)
	require.Equal(t, 400_000, len(get(t, u.cached("models/tiny/many", u.server.Commit("tiny/many"), "many-Q8_0.gguf"))))
}
