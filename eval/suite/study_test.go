package suite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/evaltest"
	"steer/ggml/lm"
	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/run"
)

// breaker counts the calls of all models and cancels at one of them, as Ctrl-C in the
// middle of a batch does.
type breaker struct {
	calls, at int
	cancel    context.CancelFunc
}

func (b *breaker) call(ctx context.Context) error {
	b.calls++
	if b.calls == b.at {
		b.cancel()
	}
	return ctx.Err()
}

type breakingEvaluator struct {
	lm.Evaluator
	*breaker
}

func (e breakingEvaluator) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if err := e.call(ctx); err != nil {
		return nil, err
	}
	return e.Evaluator.Forward(ctx, batch, opt)
}

type breakingGenerator struct {
	lm.Generator
	*breaker
}

func (g breakingGenerator) Generate(ctx context.Context, reqs []lm.Request, s lm.Sampling) ([]lm.Generation, error) {
	if err := g.call(ctx); err != nil {
		return nil, err
	}
	return g.Generator.Generate(ctx, reqs, s)
}

type breakingRewarder struct {
	eval.Rewarder
	*breaker
}

func (r breakingRewarder) Score(ctx context.Context, exchanges []eval.Exchange) ([]float32, error) {
	if err := r.call(ctx); err != nil {
		return nil, err
	}
	return r.Rewarder.Score(ctx, exchanges)
}

// breakingCutter also tells how much of a text it cut off.
type breakingCutter struct{ breakingRewarder }

func (r breakingCutter) ScoreCut(ctx context.Context, exchanges []eval.Exchange) ([]float32, []int, error) {
	scores, err := r.Score(ctx, exchanges)
	cut := make([]int, len(exchanges))
	for i, x := range exchanges {
		cut[i] = len(x.ResponseText) % 2
	}
	return scores, cut, err
}

// study is a small suite with every kind of measurement, in a folder of its own.
type study struct {
	t   *testing.T
	dir string
	cfg benchmark.Config
	ids map[string]string // of models, besides their names
	// rename gives models other names.
	rename map[string]string
	notes  []string
	seen   []eval.Progress
}

func newStudy(t *testing.T) *study {
	t.Helper()
	s := &study{t: t, dir: t.TempDir(), ids: map[string]string{}}
	var dev, other, deontology, chat strings.Builder
	for i := range 8 {
		for k, into := range []*strings.Builder{&dev, &other} {
			into.WriteString(evaltest.Anecdote(fmt.Sprintf("%d-%d", k, i), fmt.Sprintf("AITA %d", i),
				"story "+strings.Repeat("la ", i*7%11), i%3, 1+i%2))
		}
	}
	deontology.WriteString("label,scenario,excuse\n")
	for i := range 6 {
		fmt.Fprintf(&deontology, "%d,Should you %d?,No because %s.\n", i%2, i, strings.Repeat("so ", i*5%7))
		fmt.Fprintf(&chat, `{"messages":[{"role":"user","content":"q%02d"},{"role":"assistant","content":"a"}]}`+"\n",
			i)
	}
	s.cfg = benchmark.DefaultConfig()
	require.NoError(t, conf.Parse("eval.yaml", []byte(fmt.Sprintf(`
bos: on
max_length: 3000
resamples: 5
batch_tokens: 400
ethics_deontology: {path: %[1]s, protocols: [loglik, reward]}
scruples: {path: %[2]s, protocols: [loglik, reward, thesis], threshold: {path: %[3]s}, max_new_tokens: 4, batch: 4}
cross_reward: {prompts: {path: %[4]s}, max_new_tokens: 20, batch: 3, samples: 3}
kl: {path: %[4]s}
generations: {path: %[5]s, rewards: [noise], batch: 2}
`, s.write("d.csv", deontology.String()), s.write("dev.jsonl", dev.String()), s.write("other.jsonl", other.String()),
		s.write("chat.jsonl", chat.String()), s.write("prompts.txt", "I like\nThey are\nWhen we\n"))), &s.cfg))
	tpl, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	s.cfg.Template = tpl
	s.cfg.OnProgress = func(p eval.Progress) { s.seen = append(s.seen, p) }
	return s
}

func (s *study) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// run measures into a folder, broken off at a call (0: not at all).
func (s *study) run(out string, at int) (text string, calls int, err error) {
	s.t.Helper()
	s.notes, s.seen = nil, nil
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := &breaker{at: at, cancel: cancel}
	suite, err := New(s.cfg, filepath.Join(s.dir, out))
	require.NoError(s.t, err)
	suite.Version, suite.Note = "v1", func(text string) { s.notes = append(s.notes, text) }
	if v := s.ids["version"]; v != "" {
		suite.Version = v
	}
	subject := func(name, word string, scale float64) eval.Subject {
		p := evaltest.Policy(cmp.Or(s.rename[name], name), word, scale)
		p.ID = "weights of " + name + s.ids[name]
		answer := func(prompt string) string { return word[len(prompt)%3:] }
		p.Generator = breakingGenerator{&evaltest.Scripted{Answer: answer}, b}
		p.Evaluator = breakingEvaluator{p.Evaluator, b}
		if name != "sft" {
			p.KL = func(ctx context.Context, batch []lm.Sequence, _ lm.Options) ([][]float32, error) {
				out := make([][]float32, len(batch))
				for i, q := range batch {
					for _, t := range q.Targets {
						out[i] = append(out[i], float32(evaltest.Noise(q.Tokens[t], int32(len(name)))))
					}
				}
				return out, b.call(ctx)
			}
		}
		return p
	}
	reward := func(name string, f evaltest.RewardFunc) eval.Reward {
		return eval.Reward{Name: name, ID: "head of " + name + s.ids[name], Mean: 1, Std: 2,
			Rewarder: breakingCutter{breakingRewarder{f, b}}}
	}
	benchmarks, cross, err := suite.Run(ctx,
		[]eval.Subject{subject("base", "WRONG", 1), subject("sft", "--RIGHT", 2)},
		[]eval.Reward{reward("counts", evaltest.CountGood), reward("noise",
			func(x eval.Exchange) float32 { return float32(evaltest.Noise(int32(len(x.ResponseText)), 7)) })})
	raw, jsonErr := json.MarshalIndent(run.NewEvaluation("eval", nil, benchmarks, cross), "", " ")
	require.NoError(s.t, jsonErr)
	return string(raw), b.calls, err
}

// items reads the items folder of a finished suite.
func (s *study) items(out string) map[string]string {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, out, "items"))
	require.NoError(s.t, err)
	all := map[string]string{}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(s.dir, out, "items", e.Name()))
		require.NoError(s.t, err)
		all[e.Name()] = string(raw)
	}
	return all
}
