package evaltest

import (
	"context"
	"math"
	"strings"

	"steer/eval"
	"steer/ggml/lm"
	"steer/ggml/prefix"
)

// The tokens beside the 256 bytes.
const (
	BOS   = 256
	EOS   = 257
	Vocab = 258 // number of tokens
)

// Tokenizer has a token for each byte, and reads <s> as BOS.
type Tokenizer struct {
	AddsBOS bool
	NoBOS   bool // the vocabulary has no BOS
}

// Encode implements lm.Tokenizer.
func (f Tokenizer) Encode(text string, addSpecial, parseSpecial bool) ([]int32, error) {
	var ids []int32
	if addSpecial && f.AddsBOS {
		ids = append(ids, BOS)
	}
	for len(text) > 0 {
		if rest, found := strings.CutPrefix(text, "<s>"); found && parseSpecial {
			ids, text = append(ids, BOS), rest
			continue
		}
		ids, text = append(ids, int32(text[0])), text[1:]
	}
	return ids, nil
}

// Decode implements lm.Tokenizer.
func (f Tokenizer) Decode(tokens []int32, special bool) string {
	var b strings.Builder
	for _, t := range tokens {
		switch {
		case t < 256:
			b.WriteByte(byte(t))
		case special && t == BOS:
			b.WriteString("<s>")
		}
	}
	return b.String()
}

// BOS implements lm.Tokenizer.
func (f Tokenizer) BOS() int32 {
	if f.NoBOS {
		return -1
	}
	return BOS
}

// EOS implements lm.Tokenizer.
func (f Tokenizer) EOS() int32 { return EOS }

// VocabSize implements lm.Tokenizer.
func (f Tokenizer) VocabSize() int { return Vocab }

// Bigram is an evaluator whose logits are Scale * Noise(previous, next): one token back is all
// that it sees. It notes what it was asked.
type Bigram struct {
	Scale    float64
	Batches  []int // tokens of each batch, as they are laid out
	Tokens   int   // of all sequences, each counted whole
	Longest  int   // tokens of the longest sequence
	Poison   bool  // answers NaN
	FailWith error
}

// Noise is a number from 0 to 1 that depends on nothing but its arguments.
func Noise(a, b int32) float64 {
	h := uint64(a)*0x9e3779b97f4a7c15 ^ uint64(b)*0xbf58476d1ce4e5b9
	h ^= h >> 29
	h *= 0x94d049bb133111eb
	h ^= h >> 32
	return float64(h>>11) / (1 << 53)
}

// Logprob is log p(next | previous) and whether next is the argmax.
func (m *Bigram) Logprob(previous, next int32, temperature float64) (float64, bool) {
	sum, best := 0.0, int32(0)
	for v := range int32(Vocab) {
		sum += math.Exp(m.Scale * Noise(previous, v) / temperature)
		if Noise(previous, v) > Noise(previous, best) {
			best = v
		}
	}
	return m.Scale*Noise(previous, next)/temperature - math.Log(sum), next == best
}

// Forward implements lm.Evaluator.
func (m *Bigram) Forward(_ context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if m.FailWith != nil {
		return nil, m.FailWith
	}
	temperature := float64(opt.Temperature)
	if temperature == 0 {
		temperature = 1
	}
	out := &lm.Output{}
	var laid prefix.Counter
	for _, s := range batch {
		laid.Add(prefix.Read(s))
		m.Tokens += len(s.Tokens)
		m.Longest = max(m.Longest, len(s.Tokens))
		var logprobs []float32
		var greedy []bool
		for _, t := range s.Targets {
			p, g := m.Logprob(s.Tokens[t-1], s.Tokens[t], temperature)
			if m.Poison {
				p = math.NaN()
			}
			logprobs, greedy = append(logprobs, float32(p)), append(greedy, g)
		}
		out.Logprobs, out.Greedy = append(out.Logprobs, logprobs), append(out.Greedy, greedy)
	}
	m.Batches = append(m.Batches, laid.Tokens())
	return out, nil
}

// Scripted answers every prompt by a function and remembers the requests.
type Scripted struct {
	Answer func(prompt string) string
	Seen   []lm.Request
}

// Generate implements lm.Generator.
func (g *Scripted) Generate(_ context.Context, reqs []lm.Request, _ lm.Sampling) ([]lm.Generation, error) {
	var out []lm.Generation
	for _, r := range reqs {
		g.Seen = append(g.Seen, r)
		ids, _ := Tokenizer{}.Encode(g.Answer(Tokenizer{}.Decode(r.Prompt, false)), false, false)
		finish := lm.FinishStopToken
		if len(ids) > r.MaxNew {
			ids, finish = ids[:r.MaxNew], lm.FinishLength
		}
		out = append(out, lm.Generation{Tokens: ids, Finish: finish})
	}
	return out, nil
}

// Settings are those of most tests.
func Settings() eval.Settings {
	return eval.Settings{BOS: eval.BOSOff, TargetDelimiter: " ", MaxLength: 4000, BatchTokens: 512,
		Resamples: 200, Confidence: .95, Margin: .05, Seed: 3}
}

// Subject is a language model by the name of fake.
func Subject(m *Bigram) eval.Subject {
	return eval.Subject{Name: "fake", Evaluator: m, Tokenizer: Tokenizer{}}
}

// Policy answers with a word and as many exclamation marks as the third character of the prompt
// says.
func Policy(name, word string, scale float64) eval.Subject {
	return eval.Subject{
		Name: name, Tokenizer: Tokenizer{}, Evaluator: &Bigram{Scale: scale},
		Generator: &Scripted{Answer: func(prompt string) string {
			return word + strings.Repeat("!", int(prompt[2]-'0'))
		}},
	}
}

var _ lm.Evaluator = (*Bigram)(nil)

var _ lm.Generator = (*Scripted)(nil)
