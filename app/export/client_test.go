package export_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/export"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/internal/testfiles"
)

// clientFolder is where make test-clients has built the clients; without it these tests are skipped.
func clientFolder(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("STEER_CLIENTS")
	if folder == "" {
		t.Skip("STEER_CLIENTS is not set: make test-clients runs the real clients")
	}
	return folder
}

// client is a script of clients/ at work: a job a line, an answer a line.
type client struct {
	in   io.WriteCloser
	out  *bufio.Reader
	errs *bytes.Buffer
}

// startClient runs a script until the test ends.
func startClient(t testing.TB, script string, env ...string) *client {
	t.Helper()
	cmd := exec.Command(os.Getenv("STEER_CLIENTS_PYTHON"), filepath.Join(testfiles.Root(t), "clients", script))
	cmd.Env = append(append(os.Environ(), "OMP_NUM_THREADS=1"), env...)
	c := &client{errs: &bytes.Buffer{}}
	cmd.Stderr = c.errs
	var err error
	c.in, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	c.out = bufio.NewReader(out)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, c.in.Close())
		require.NoError(t, cmd.Wait(), c.errs.String())
	})
	return c
}

// answer is what a client says of a job.
type answer struct {
	Logprobs [][]float32
	Scores   []float32
	Pooled   [][]float32
	Versions map[string]string
}

func (c *client) do(t testing.TB, job map[string]any) (a answer) {
	t.Helper()
	text, err := json.Marshal(job)
	require.NoError(t, err)
	_, err = c.in.Write(append(text, '\n'))
	require.NoError(t, err, c.errs.String())
	line, err := c.out.ReadBytes('\n')
	require.NoError(t, err, c.errs.String())
	require.NoError(t, json.Unmarshal(line, &a))
	return a
}

// transformers with PEFT gives the engine's numbers: an SFT adapter, a policy that is two in one, and a
// reward model as a sequence classifier, in every family.
func TestClientPEFT(t *testing.T) {
	clientFolder(t)
	peft := startClient(t, "peft_client.py")
	for _, name := range append([]string{"stories260K"}, families...) {
		t.Run(name, func(t *testing.T) {
			k := kitOf(t, name)
			for what, c := range map[string]struct {
				paths []string
				score bool
			}{
				"base": {}, "sft": {paths: []string{k.sft}}, "policy": {paths: []string{k.sft, k.policy}},
				"reward": {paths: []string{k.sft, k.reward}, score: true},
			} {
				if c.score && name == "granite" {
					continue // transformers has no sequence classifier of it
				}
				folder := any(nil)
				if len(c.paths) > 0 {
					dir := filepath.Join(t.TempDir(), "peft")
					_, _, err := export.Stack{Model: k.model, Paths: c.paths}.PEFT(dir, "")
					require.NoError(t, err)
					folder = dir
				}
				want := k.ask(t, k.model, c.paths...)
				got := peft.do(t, map[string]any{"gguf": k.model, "class": k.class, "config": k.config,
					"adapter": folder, "ids": k.ids, "score": c.score})
				if c.score {
					require.InDeltaSlice(t, want.heads, got.Scores, 1e-3)
					t.Logf("%s: scores %v", what, got.Scores)
					continue
				}
				requireSame(t, want.logprobs, got.Logprobs, 1e-3, what)
				t.Log(got.Versions)
			}
		})
	}
}

func kitOf(t testing.TB, name string) *kit {
	if name == "stories260K" {
		return storiesKit(t)
	}
	return familyKit(t, name)
}

// llama.cpp gives the engine's numbers: adapters on each other, adapters as one, merged, and a reward model.
func TestClientLlamaCpp(t *testing.T) {
	folder := clientFolder(t)
	llama := startClient(t, "llama_client.py", "LLAMA_CPP_LIB_PATH="+filepath.Join(folder, "llama/bin"),
		"LLAMA_BINDINGS="+filepath.Dir(newest(t, filepath.Join(folder, "src/llama_cpp_python-*/llama_cpp"))))
	for _, name := range append([]string{"stories260K"}, families...) {
		t.Run(name, func(t *testing.T) {
			k := kitOf(t, name)
			run := func(model string, pooled bool, adapters ...string) (logprobs, vectors [][]float32) {
				got := llama.do(t, map[string]any{"gguf": model, "ids": k.ids, "pooled": pooled,
					"adapters": append([]string{}, adapters...)})
				return got.Logprobs, got.Pooled
			}
			tolerance := 1e-3
			if len(name) > 4 && name[:5] == "gemma" {
				tolerance = 1e-2 // its GELU is a table of halves
			}
			stack := export.Stack{Model: k.model, Paths: []string{k.sft, k.policy}}
			want := k.ask(t, k.model, k.sft, k.policy)
			got, _ := run(k.model, false, k.sft, k.policy)
			requireSame(t, want.logprobs, got, tolerance, "--lora a,b")
			one := filepath.Join(t.TempDir(), "one.gguf")
			c, _, err := stack.Combine()
			require.NoError(t, err)
			require.NoError(t, c.Save(one))
			got, _ = run(k.model, false, one)
			requireSame(t, want.logprobs, got, tolerance, "combined")
			merged := filepath.Join(t.TempDir(), "merged.gguf")
			_, err = stack.Merge(context.Background(), merged, "f32")
			require.NoError(t, err)
			got, _ = run(merged, false)
			requireSame(t, want.logprobs, got, tolerance, "merged")

			rank := filepath.Join(t.TempDir(), "rank.gguf")
			scorer := export.Stack{Model: k.model, Paths: []string{k.sft, k.reward}}
			_, err = scorer.Rank(context.Background(), rank, "f32")
			require.NoError(t, err)
			_, vectors := run(rank, true)
			scores := make([]float32, len(vectors))
			for i, v := range vectors {
				scores[i] = scoreOf(t, rank, v)
			}
			require.InDeltaSlice(t, k.ask(t, k.model, k.sft, k.reward).heads, scores, tolerance)
		})
	}
}

// scoreOf turns what llama.cpp's pooling gives into the raw score, as the export says.
func scoreOf(t testing.TB, model string, v []float32) float32 {
	f, err := gguf.Open(model)
	require.NoError(t, err)
	defer f.Close()
	if !f.Has("steer.head.weight") {
		require.Len(t, v, 2)
		return float32(math.Log(float64(v[0]) / float64(v[1])))
	}
	w, err := f.Float32s("steer.head.weight")
	require.NoError(t, err)
	require.Len(t, v, len(w))
	sum := 0.0
	for i := range w {
		sum += float64(w[i]) * float64(v[i])
	}
	return float32(sum)
}

// newest is the last of the paths that a pattern matches.
func newest(t testing.TB, pattern string) string {
	all, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, all, pattern)
	return all[len(all)-1]
}

// llama.cpp's own program takes --lora a,b and --lora twice, and drops what it does not know of a file
// with a head.
func TestClientLlamaCppCommand(t *testing.T) {
	folder := clientFolder(t)
	k := storiesKit(t)
	say := func(args ...string) string {
		// The program's last lines are now and then lost when it ends: what is whole ends in two newlines.
		for range 20 {
			cmd := exec.Command(filepath.Join(folder, "llama/bin/llama-completion"),
				append([]string{"-m", k.model, "-p",
					"Once upon a time", "-n", "10", "--temp", "0", "-t", "1", "-no-cnv", "--no-warmup", "-c", "128",
					"-ctk", "f32", "-ctv", "f32", "-fa", "off", "--no-display-prompt", "--ignore-eos"}, args...)...)
			out, err := cmd.Output()
			require.NoError(t, err)
			if text, whole := strings.CutSuffix(string(out), "\n\n"); whole {
				return text
			}
		}
		t.Fatal("llama-completion never says all that it has to say")
		return ""
	}
	both := say("--lora", k.sft+","+k.policy)
	require.Equal(t, both, say("--lora", k.sft, "--lora", k.policy))
	one, _, err := export.Stack{Paths: []string{k.sft, k.policy}}.Combine()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "one.gguf")
	require.NoError(t, one.Save(path))
	require.Equal(t, both, say("--lora", path))
	require.NotEqual(t, both, say())
	require.NotEqual(t, both, say("--lora", k.policy))
	var host *adapter.Adapter
	host, err = adapter.Load(k.policy)
	require.NoError(t, err)
	require.NotNil(t, host.Head)
}
