package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/app/chat"
	"steer/app/export"
	"steer/app/workspace"
	"steer/ggml/lm"
	"steer/rl/data"
)

// ollama is a server of the real program, with models of its own.
type ollama struct{ program, address, home string }

// startOllama runs a server until the test ends.
func startOllama(t testing.TB) *ollama {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &ollama{program: filepath.Join(clientFolder(t), "bin/ollama"), address: free.Addr().String(),
		home: t.TempDir()}
	require.NoError(t, free.Close())
	server := o.command("serve")
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		require.NoError(t, server.Process.Signal(os.Interrupt))
		_ = server.Wait()
		if t.Failed() {
			t.Log(log.String()[max(0, log.Len()-4000):])
		}
	})
	require.Eventually(t, func() bool {
		r, err := http.Get("http://" + o.address + "/api/version")
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
	}, time.Minute, 200*time.Millisecond)
	return o
}

func (o *ollama) command(args ...string) *exec.Cmd {
	cmd := exec.Command(o.program, args...)
	cmd.Env = append(os.Environ(), "HOME="+o.home, "OLLAMA_HOST="+o.address,
		"OLLAMA_MODELS="+filepath.Join(o.home, "models"),
		"OLLAMA_NUM_PARALLEL=1", "OLLAMA_KV_CACHE_TYPE=f32", "OLLAMA_NO_CLOUD=1")
	return cmd
}

// create builds a model of a folder.
func (o *ollama) create(t testing.TB, name, folder string) {
	t.Helper()
	cmd := o.command("create", name, "-f", "Modelfile")
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// ask posts to the server and reads the answer.
func (o *ollama) ask(t testing.TB, path string, body map[string]any, into any) {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	r, err := http.Post("http://"+o.address+path, "application/json", bytes.NewReader(text))
	require.NoError(t, err)
	defer r.Body.Close()
	out, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode, string(out))
	require.NoError(t, json.Unmarshal(out, into), string(out))
}

// chat has the model go on with a conversation, by the likeliest token.
func (o *ollama) chat(t testing.TB, name string, messages []data.Message) string {
	t.Helper()
	var list []map[string]string
	for _, m := range messages {
		list = append(list, map[string]string{"role": m.Role, "content": m.Content})
	}
	var answer struct{ Message struct{ Content string } }
	o.ask(t, "/api/chat", map[string]any{"model": name, "messages": list, "stream": false, "keep_alive": 0,
		"options": map[string]any{"num_thread": 1, "num_predict": 24, "temperature": 0}}, &answer)
	return answer.Message.Content
}

// greedy is what steer generate answers, by the likeliest token.
func greedy(t testing.TB, model string, paths []string, messages []data.Message) string {
	t.Helper()
	e := workspace.DefaultEngine()
	e.Precision = "f32"
	w, err := workspace.Open(model, e)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.Close()) }()
	stack, placed, err := w.LoadStack(paths, workspace.UsePolicy)
	require.NoError(t, err)
	c, err := chat.ChooseForm(w.Tok, workspace.Form{Template: data.TemplateHH}, placed, nil)
	require.NoError(t, err)
	a, err := chat.New(chat.ModelOf(w, stack, placed), c.Form, chat.Options{MaxNew: 24})
	require.NoError(t, err)
	reqs, err := a.Requests([]chat.Prompt{{Messages: messages}}, 1, 0)
	require.NoError(t, err)
	out, err := w.Generator(stack...).Generate(context.Background(), reqs, lm.Sampling{})
	require.NoError(t, err)
	return w.Tok.Decode(out[0].Tokens, false)
}

// What ollama create makes of an exported folder answers as steer does: with one adapter of two where
// Ollama takes adapters, merged where it does not. And two ADAPTER lines lose the first, which is why.
func TestClientOllama(t *testing.T) {
	o := startOllama(t)
	talk := []data.Message{{Role: "user", Content: "Once upon a time there was a girl"},
		{Role: "assistant", Content: "She had a dog"}, {Role: "user", Content: "What did the dog do?"}}
	k := storiesKit(t)
	paths := []string{k.sft, k.policy}
	folder := filepath.Join(t.TempDir(), "stories")
	stack := export.Stack{Model: k.model, Paths: paths}
	opt := export.OllamaOptions{Parameters: export.Parameters{Temperature: 0, TopP: 1}}
	r, err := stack.Ollama(context.Background(), folder, opt)
	require.NoError(t, err)
	require.Equal(t, []string{"adapter.gguf", "model.gguf", "Modelfile"}, r.Files)
	o.create(t, "stories", folder)
	want := greedy(t, k.model, paths, talk)
	require.NotEqual(t, want, greedy(t, k.model, nil, talk))
	require.NotEqual(t, want, greedy(t, k.model, []string{k.sft}, talk))
	require.Equal(t, want, o.chat(t, "stories", talk))

	// The parameters and texts that Ollama remembers are those that were written.
	var shown struct{ Template, Parameters string }
	o.ask(t, "/api/show", map[string]any{"model": "stories"}, &shown)
	require.Contains(t, shown.Parameters, "repeat_penalty")
	written, err := os.ReadFile(filepath.Join(folder, "Modelfile"))
	require.NoError(t, err)
	require.Contains(t, string(written), shown.Template)

	// Merged, in one file.
	merged := filepath.Join(t.TempDir(), "merged")
	opt.Merge = "f32"
	_, err = stack.Ollama(context.Background(), merged, opt)
	require.NoError(t, err)
	o.create(t, "merged", merged)
	require.Equal(t, want, o.chat(t, "merged", talk))

	// Two ADAPTER lines: Ollama says nothing and keeps the last alone.
	copyFile(t, k.sft, filepath.Join(folder, "sft.gguf"))
	copyFile(t, k.policy, filepath.Join(folder, "policy.gguf"))
	two := strings.Replace(string(written), "ADAPTER ./adapter.gguf", "ADAPTER ./sft.gguf\nADAPTER ./policy.gguf", 1)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "Modelfile"), []byte(two), 0o600))
	o.create(t, "two", folder)
	lost := o.chat(t, "two", talk)
	require.NotEqual(t, want, lost)
	last := filepath.Join(t.TempDir(), "last")
	opt.Merge = ""
	_, err = export.Stack{Model: k.model, Paths: []string{k.policy}, Any: true}.Ollama(context.Background(), last, opt)
	require.NoError(t, err)
	o.create(t, "last", last)
	require.Equal(t, o.chat(t, "last", talk), lost)
}

// Architectures that Ollama computes on an engine of its own: it takes no adapter there, which is why the
// export merges, and computes the merged model.
func TestClientOllamaEngine(t *testing.T) {
	o := startOllama(t)
	talk := []data.Message{{Role: "user", Content: "What did the dog do?"}}
	for _, name := range []string{"qwen3", "gemma3"} {
		k := familyKit(t, name)
		folder := filepath.Join(t.TempDir(), name)
		stack := export.Stack{Model: k.model, Paths: []string{k.sft, k.policy}}
		opt := export.OllamaOptions{Parameters: export.Parameters{TopP: 1}}
		r, err := stack.Ollama(context.Background(), folder, opt)
		require.NoError(t, err)
		require.Equal(t, []string{"model.gguf", "Modelfile"}, r.Files)
		o.create(t, name, folder)
		// These models are random and say bytes that are no text; Ollama leaves out pieces that hold some.
		// Its engine takes constants of Gemma from the known sizes, and token 106 for the end of a turn: of
		// the tiny one only that it loads is looked at.
		want, got := greedy(t, filepath.Join(folder, "model.gguf"), nil, talk), o.chat(t, name, talk)
		if name == "qwen3" {
			require.True(t, subsequence(got, want), "%q in %q", got, want)
			require.Greater(t, 2*len(got), len(want), "%q in %q", got, want)
		}

		adapted := "FROM " + k.model + "\nADAPTER " + k.sft + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(folder, "Modelfile"), []byte(adapted), 0o600))
		o.create(t, "adapted", folder)
		r2, err := http.Post("http://"+o.address+"/api/generate", "application/json",
			strings.NewReader(`{"model":"adapted","prompt":"a","stream":false}`))
		require.NoError(t, err)
		text, err := io.ReadAll(r2.Body)
		require.NoError(t, err)
		require.NoError(t, r2.Body.Close())
		require.NotEqual(t, http.StatusOK, r2.StatusCode)
		require.Contains(t, string(text), "lora")
	}
}

// subsequence tells whether a is what is left of b when bytes of it are left out.
func subsequence(a, b string) bool {
	for i := 0; i < len(b) && a != ""; i++ {
		if b[i] == a[0] {
			a = a[1:]
		}
	}
	return a == ""
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}
