package export

import (
	"context"
	"errors"
	"fmt"
	"math"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/lm"
)

// Divergence is KL(p || q) between the next-token distributions of two models, in nats, over the
// tokens of some texts.
type Divergence struct {
	Mean   float64 `json:"mean"`
	Max    float64 `json:"max"`
	Tokens int     `json:"tokens"`
	sum    float64
}

func (d *Divergence) add(kl float64) {
	d.sum += kl
	d.Tokens++
	d.Mean, d.Max = d.sum/float64(d.Tokens), math.Max(d.Max, kl)
}

// Fidelity says how near a merged model comes to what it was merged from.
type Fidelity struct {
	// Loss is KL(base with adapters || merged): what merging and storing lost.
	Loss Divergence `json:"loss"`
	// Change is KL(base with adapters || base): what the adapters do.
	Change Divergence `json:"change"`
}

// Lost tells whether the merged model lost a large part of what the adapters do: its distance from the
// model that it was merged from is more than a tenth of that model's distance from the base.
func (f Fidelity) Lost() bool { return f.Loss.Mean > f.Change.Mean/10 }

// pieceTokens is how many tokens are decoded at once: the logits of all three models are in memory.
const pieceTokens = 128

// Measure compares a merged model with the base and the adapters that it was merged from, on texts. Each
// model decodes as it does when it answers.
func (s Stack) Measure(ctx context.Context, merged string, texts []string, e workspace.EngineConfig) (
	f *Fidelity, err error) {
	one, _, err := s.Combine()
	if err != nil {
		return nil, err
	}
	one.Head = nil
	var closers []func() error
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()
	open := func(path string) (*workspace.Workspace, error) {
		w, err := workspace.Open(path, e)
		if err == nil {
			closers = append(closers, w.Close)
		}
		return w, err
	}
	base, err := open(s.Model)
	if err != nil {
		return nil, err
	}
	other, err := open(merged)
	if err != nil {
		return nil, err
	}
	live, err := base.Model.NewAdapter(one.Adapter, false)
	if err != nil {
		return nil, err
	}
	closers = append(closers, live.Close)
	pieces, err := cut(base.Tok, texts)
	if err != nil {
		return nil, err
	}
	var three [3]*ggml.Session
	for i, c := range []struct {
		m     *ggml.Model
		stack []*ggml.Adapter
	}{{base.Model, []*ggml.Adapter{live}}, {other.Model, nil}, {base.Model, nil}} {
		three[i], err = c.m.NewSession(ggml.SessionOptions{Adapters: c.stack, Sequences: 1, Context: pieceTokens})
		if err != nil {
			return nil, err
		}
		closers = append(closers, three[i].Close)
	}
	f = &Fidelity{}
	for _, ids := range pieces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.measure(three, ids); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Fidelity) measure(three [3]*ggml.Session, ids []int32) error {
	var all [3][][]float32
	for i, session := range three {
		var err error
		if all[i], err = session.Logits(ids); err != nil {
			return err
		}
	}
	for t := range ids {
		f.Loss.add(divergence(all[0][t], all[1][t]))
		f.Change.add(divergence(all[0][t], all[2][t]))
	}
	return nil
}

// cut tokenizes texts into pieces of at most pieceTokens.
func cut(tok lm.Tokenizer, texts []string) (pieces [][]int32, err error) {
	for _, text := range texts {
		ids, err := tok.Encode(text, true, false)
		if err != nil {
			return nil, err
		}
		for len(ids) > 0 {
			n := min(len(ids), pieceTokens)
			pieces = append(pieces, ids[:n])
			ids = ids[n:]
		}
	}
	if len(pieces) == 0 {
		return nil, fmt.Errorf("the texts to compare the models on have no token")
	}
	return pieces, nil
}

// divergence is KL(p || q) = Σ_v p_v (log p_v - log q_v) of two rows of logits.
func divergence(p, q []float32) float64 {
	lp, lq := logSum(p), logSum(q)
	kl := 0.0
	for v := range p {
		logp := float64(p[v]) - lp
		kl += math.Exp(logp) * (logp - (float64(q[v]) - lq))
	}
	return math.Max(kl, 0)
}

// logSum is log Σ_v exp(x_v).
func logSum(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, float64(v))
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// SampleTexts are what models are compared on where no text is given.
var SampleTexts = []string{
	"The library opened at nine. By half past, every chair was taken, and a student who had come for the heating " +
		"was asleep over a book about bridges. Nobody woke her; it was raining, and the bus would not come for an " +
		"hour.",
	"Question: My neighbour asked me to water her plants while she is away, and I forgot for a week. Two of them " +
		"died. Should I tell her, or buy new ones that look the same?\nAnswer: Tell her. She trusted you with " +
		"something that she cares for, and replacing the plants in secret would add a lie to a mistake.",
	"To boil an egg, put it into boiling water, wait for seven minutes, and cool it under the tap. def area(width, " +
		"height):\n    return width * height\nThe treaty was signed in 1648; it ended a war of thirty years.",
}
