// Package judge lets a language model compare two answers under a text: a theory stated in words, a constitution
// (Bai et al. 2022, arXiv:2212.08073). The judgement is read off the log-probabilities of the letters A and B, so
// nothing is sampled, and both orders are asked, since models prefer a place (Zheng et al. 2023, arXiv:2306.05685):
// what the place is worth is measured and said.
//
// It imports the words of evaluation (eval, eval/query), conversations (rl/data), results (rl/run), statistics, and
// the contract with the engine (ggml/lm); no adapter and no device.
package judge

import (
	"context"
	"fmt"
	"math"
	"strings"

	"steer/eval"
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/rl/data"
)

// Config says how a model is asked.
type Config struct {
	// Constitution is the text that is judged by.
	Constitution string
	// Template puts the question; Tokenizer is the model's.
	Template  *data.Template
	Tokenizer lm.Tokenizer
	// MaxTokens bounds a question; longer ones are not asked. BatchTokens bounds a batch.
	MaxTokens, BatchTokens int
}

// Judgement is what a model makes of two answers, in nats.
type Judgement struct {
	// First and Second are the log-odds of the first answer where it stands at A, and where it stands at B.
	First, Second float64
	// TooLong: it was not asked.
	TooLong bool
}

// Margin is the log-odds of the first answer, averaged over both orders.
func (j Judgement) Margin() float64 { return (j.First + j.Second) / 2 }

// Bias is by how much the answer at A is preferred, whichever it is.
func (j Judgement) Bias() float64 { return (j.First - j.Second) / 2 }

// Consistent tells whether both orders prefer the same answer.
func (j Judgement) Consistent() bool {
	return j.First > 0 == (j.Second > 0) && j.First != 0 && j.Second != 0
}

// letters are the choices.
var letters = [2]string{"A", "B"}

// Question is what a model is asked about two answers to a prompt. Without a prompt they are texts by themselves.
func (c *Config) Question(prompt, a, b string) []data.Message {
	var text strings.Builder
	what := "answer"
	if prompt == "" {
		what = "text"
		text.WriteString("Here are two texts.\n\n")
	} else {
		fmt.Fprintf(&text, "Here are a conversation and two ways to answer it.\n\nConversation:\n%s\n\n", prompt)
	}
	title := strings.ToUpper(what[:1]) + what[1:]
	fmt.Fprintf(&text, "%s A:\n%s\n\n%s B:\n%s\n\nWhich %s is better by these principles? Reply with A or B alone.",
		title, strings.TrimSpace(a), title, strings.TrimSpace(b), what)
	return []data.Message{
		{Role: data.RoleSystem, Content: c.Constitution}, {Role: data.RoleUser, Content: text.String()},
	}
}

// choices are the two sequences of a question, whose last token is the letter; ok is false where they are too long.
func (c *Config) choices(question []data.Message) (seqs [2]lm.Sequence, ok bool, err error) {
	var ids [2][]int32
	for k, letter := range letters {
		said := append(append([]data.Message(nil), question...),
			data.Message{Role: data.RoleAssistant, Content: letter})
		segments, err := c.Template.Render(said)
		if err != nil {
			return seqs, false, err
		}
		e, err := data.Tokenize(c.Tokenizer, segments, data.TokenizeOptions{})
		if err != nil {
			return seqs, false, err
		}
		ids[k] = e.IDs
	}
	at := 0
	for at < min(len(ids[0]), len(ids[1])) && ids[0][at] == ids[1][at] {
		at++
	}
	if at == 0 || at >= min(len(ids[0]), len(ids[1])) {
		return seqs, false, fmt.Errorf("this vocabulary and template give the answers %q and %q no tokens of their own",
			letters[0], letters[1])
	}
	for k := range seqs {
		seqs[k] = lm.Sequence{Tokens: ids[k][:at+1], Targets: []int32{int32(at)}}
	}
	return seqs, at+1 <= c.MaxTokens, nil
}

// Judge compares the sides of pairs, in both orders; done is told after each batch how many pairs' worth of questions
// were answered.
func (c *Config) Judge(
	ctx context.Context, model lm.Evaluator, pairs []data.Pair, done func(pairs int),
) ([]Judgement, error) {
	out := make([]Judgement, len(pairs))
	var seqs []lm.Sequence
	var of []int // the pair of each run of four sequences
	for i, p := range pairs {
		if p.Missing != "" || p.ChosenIDs != nil {
			return nil, fmt.Errorf("%s: line %d: want two answers as text to compare, have one, or token ids",
				p.Source, p.Line)
		}
		prompt, a, b := Sides(p)
		one, fits, err := c.choices(c.Question(prompt, a, b))
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", p.Source, p.Line, err)
		}
		two, fitsToo, err := c.choices(c.Question(prompt, b, a))
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", p.Source, p.Line, err)
		}
		if out[i].TooLong = !fits || !fitsToo; !out[i].TooLong {
			seqs, of = append(seqs, one[0], one[1], two[0], two[1]), append(of, i)
		}
	}
	logp := make([]float64, len(seqs))
	answered := 0
	for _, batch := range query.Batches(seqs, c.BatchTokens) {
		part := make([]lm.Sequence, len(batch))
		for k, s := range batch {
			part[k] = seqs[s]
		}
		res, err := model.Forward(ctx, part, lm.Options{})
		if err != nil {
			return nil, err
		}
		for k, s := range batch {
			if logp[s] = float64(res.Logprobs[k][0]); math.IsNaN(logp[s]) || math.IsInf(logp[s], 0) {
				return nil, fmt.Errorf("judge: a log-probability is %v: %w", logp[s], eval.ErrNotFinite)
			}
		}
		answered += len(batch)
		done(answered / 4)
	}
	for k, i := range of {
		l := logp[4*k:]
		out[i].First, out[i].Second = l[0]-l[1], l[3]-l[2]
	}
	return out, nil
}

// Sides gives what both sides of a pair answer, as text, and the two answers.
func Sides(p data.Pair) (prompt, chosen, rejected string) {
	a, b := p.Turns()
	asked := p.Asked()
	var lines []string
	for _, m := range asked {
		lines = append(lines, m.Role+": "+strings.TrimSpace(m.Content))
	}
	return strings.Join(lines, "\n"), rest(a, len(asked)), rest(b, len(asked))
}

// rest is what a side says after the first messages.
func rest(turns []data.Message, from int) string {
	if len(turns) == from+1 {
		return turns[from].Content
	}
	var lines []string
	for _, m := range turns[from:] {
		lines = append(lines, m.Role+": "+strings.TrimSpace(m.Content))
	}
	return strings.Join(lines, "\n")
}
