package eval

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/ggml/prefix"
)

// The fakes: a byte tokenizer with BOS 256 and EOS 257, and a bigram model whose
// log-probabilities are a fixed function of two neighbouring tokens.

const (
	fakeBOS   = 256
	fakeEOS   = 257
	fakeVocab = 258
)

type fakeTokenizer struct {
	addsBOS bool
	noBOS   bool // the vocabulary has no BOS
}

func (f fakeTokenizer) Encode(text string, addSpecial, parseSpecial bool) ([]int32, error) {
	var ids []int32
	if addSpecial && f.addsBOS {
		ids = append(ids, fakeBOS)
	}
	for len(text) > 0 {
		if rest, found := strings.CutPrefix(text, "<s>"); found && parseSpecial {
			ids, text = append(ids, fakeBOS), rest
			continue
		}
		ids, text = append(ids, int32(text[0])), text[1:]
	}
	return ids, nil
}

func (f fakeTokenizer) Decode(tokens []int32, special bool) string {
	var b strings.Builder
	for _, t := range tokens {
		switch {
		case t < 256:
			b.WriteByte(byte(t))
		case special && t == fakeBOS:
			b.WriteString("<s>")
		}
	}
	return b.String()
}

func (f fakeTokenizer) BOS() int32 {
	if f.noBOS {
		return -1
	}
	return fakeBOS
}
func (f fakeTokenizer) EOS() int32     { return fakeEOS }
func (f fakeTokenizer) VocabSize() int { return fakeVocab }

// bigram is an evaluator; its logits are scale * noise(previous, next). The head
// reads head(tokens up to the position).
type bigram struct {
	scale    float64
	head     func(tokens []int32) float32
	batches  []int // tokens of each batch, as they are laid out
	tokens   int   // of all sequences, each counted whole
	longest  int   // tokens of the longest sequence
	poison   bool  // answers NaN
	failWith error
}

func noise(a, b int32) float64 {
	h := uint64(a)*0x9e3779b97f4a7c15 ^ uint64(b)*0xbf58476d1ce4e5b9
	h ^= h >> 29
	h *= 0x94d049bb133111eb
	h ^= h >> 32
	return float64(h>>11) / (1 << 53)
}

// logprob is log p(next | previous) and whether next is the argmax.
func (m *bigram) logprob(previous, next int32, temperature float64) (float64, bool) {
	sum, best := 0.0, int32(0)
	for v := range int32(fakeVocab) {
		sum += math.Exp(m.scale * noise(previous, v) / temperature)
		if noise(previous, v) > noise(previous, best) {
			best = v
		}
	}
	return m.scale*noise(previous, next)/temperature - math.Log(sum), next == best
}

func (m *bigram) Forward(_ context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if m.failWith != nil {
		return nil, m.failWith
	}
	temperature := float64(opt.Temperature)
	if temperature == 0 {
		temperature = 1
	}
	out := &lm.Output{}
	var laid prefix.Counter
	for _, s := range batch {
		laid.Add(prefix.Read(s))
		m.tokens += len(s.Tokens)
		m.longest = max(m.longest, len(s.Tokens))
		var logprobs []float32
		var greedy []bool
		for _, t := range s.Targets {
			p, g := m.logprob(s.Tokens[t-1], s.Tokens[t], temperature)
			if m.poison {
				p = math.NaN()
			}
			logprobs, greedy = append(logprobs, float32(p)), append(greedy, g)
		}
		var heads []float32
		for _, t := range s.Heads {
			if m.head == nil {
				return nil, fmt.Errorf("no head")
			}
			heads = append(heads, m.head(s.Tokens[:t+1]))
		}
		out.Logprobs, out.Greedy, out.Heads = append(out.Logprobs, logprobs), append(out.Greedy, greedy), append(out.Heads, heads)
	}
	m.batches = append(m.batches, laid.Tokens())
	return out, nil
}

// scripted answers every prompt by a function and remembers the requests.
type scripted struct {
	answer func(prompt string) string
	seen   []lm.Request
}

func (g *scripted) Generate(_ context.Context, reqs []lm.Request, _ lm.Sampling) ([]lm.Generation, error) {
	var out []lm.Generation
	for _, r := range reqs {
		g.seen = append(g.seen, r)
		ids, _ := fakeTokenizer{}.Encode(g.answer(fakeTokenizer{}.Decode(r.Prompt, false)), false, false)
		finish := lm.FinishStopToken
		if len(ids) > r.MaxNew {
			ids, finish = ids[:r.MaxNew], lm.FinishLength
		}
		out = append(out, lm.Generation{Tokens: ids, Finish: finish})
	}
	return out, nil
}

func testSettings() Settings {
	return Settings{BOS: BOSOff, TargetDelimiter: " ", MaxLength: 4000, BatchTokens: 512, Resamples: 200, Confidence: .95, Margin: .05, Seed: 3}
}

func subject(m *bigram) Subject {
	return Subject{Name: "fake", Evaluator: m, Tokenizer: fakeTokenizer{}}
}

// byLabel is a reward model that reads the answer off the text's length.
type rewardFunc func(Exchange) float32

func (f rewardFunc) Score(_ context.Context, xs []Exchange) ([]float32, error) {
	out := make([]float32, len(xs))
	for i, x := range xs {
		out[i] = f(x)
	}
	return out, nil
}

// policy answers with word repeated by the prompt's number.
func policy(name, word string, scale float64) Subject {
	return Subject{
		Name: name, Tokenizer: fakeTokenizer{}, Evaluator: &bigram{scale: scale},
		Generator: &scripted{answer: func(prompt string) string {
			return word + strings.Repeat("!", int(prompt[2]-'0'))
		}},
	}
}

var counts = rewardFunc(func(x Exchange) float32 {
	return float32(strings.Count(x.ResponseText, "good")*10 + len(x.ResponseText))
})

// words is an evaluator that finds a text likelier the more a function says: the log-
// probability of the last target is what likes(text) gives, all others are 0.
type words struct{ likes func(text string) float64 }

func (m words) Forward(_ context.Context, batch []lm.Sequence, _ lm.Options) (*lm.Output, error) {
	out := &lm.Output{}
	for _, s := range batch {
		p := make([]float32, len(s.Targets))
		p[len(p)-1] = float32(m.likes(fakeTokenizer{}.Decode(s.Tokens, false)))
		out.Logprobs, out.Greedy = append(out.Logprobs, p), append(out.Greedy, make([]bool, len(p)))
	}
	return out, nil
}

func liking(likes func(text string) float64) Subject {
	return Subject{Name: "m", Evaluator: words{likes}, Tokenizer: fakeTokenizer{}}
}

var _ lm.Evaluator = (*bigram)(nil)

var _ lm.Generator = (*scripted)(nil)

// byText is a reward model that looks its score up in the text of the answer.
func byText(score func(answer string) float64) Reward {
	return Reward{Name: "r", Form: "chat", Rewarder: rewardFunc(func(x Exchange) float32 { return float32(score(x.ResponseText)) })}
}

// cutting loses two tokens of every exchange.
type cutting struct{ rewardFunc }

func (c cutting) ScoreCut(ctx context.Context, xs []Exchange) ([]float32, []int, error) {
	scores, err := c.Score(ctx, xs)
	cut := make([]int, len(xs))
	for i := range cut {
		cut[i] = 2
	}
	return scores, cut, err
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}
