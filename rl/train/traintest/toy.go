package traintest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"steer/ggml/lm"
)

// PairName is the weight the toy's only LoRA pair belongs to.
const PairName = "blk.0.attn_output.weight"

// Config sizes a Toy. Zero fields take the values in brackets.
type Config struct {
	Vocab   int     // tokens [the size of Letters]
	Embd    int     // hidden width [8]
	Rank    int     // LoRA rank [4]
	Alpha   float32 // scale = Alpha/Rank [8]
	Dropout float32 // LoRA dropout probability, active with lm.Options.Dropout
	Context int     // longest sequence; 0: no limit
	Seed    uint64
	NoHead  bool // no scalar head: asking for one is an error
}

// Toy is the model; see the package comment. It is not safe for concurrent use.
type Toy struct {
	cfg    Config
	embd   []float32 // E, [vocab * n_embd], n_embd contiguous
	unembd []float32 // U, [vocab * n_embd], n_embd contiguous
	frozen []float64 // W, [n_out * n_in], n_in contiguous

	params []lm.Tensor // lora_a, lora_b, head.weight, head.bias
	m, v   []lm.Tensor
	grads  [][]float64
	step   int64

	pending *forwardPass

	// NaNAtStep, where positive, makes the Forward passes of that update (1 is
	// the first) return NaN log-probabilities: a diverged run.
	NaNAtStep int64
	// Forwards and Updates count calls that succeeded.
	Forwards, Updates int64
}

type forwardPass struct {
	batch []lm.Sequence
	opt   lm.Options
}

var (
	_ lm.Learner   = (*Toy)(nil)
	_ lm.Generator = (*Toy)(nil)
)

// New makes a Toy with B = 0 (the adapter changes nothing at first) and a head of zeros.
func New(cfg Config) *Toy {
	if cfg.Vocab == 0 {
		cfg.Vocab = Letters{}.VocabSize()
	}
	if cfg.Embd == 0 {
		cfg.Embd = 8
	}
	if cfg.Rank == 0 {
		cfg.Rank = 4
	}
	if cfg.Alpha == 0 {
		cfg.Alpha = 8
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x70795f7465737473))
	fill := func(n int, sd float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * sd)
		}
		return x
	}
	d, r := cfg.Embd, cfg.Rank
	t := &Toy{
		cfg:    cfg,
		embd:   fill(cfg.Vocab*d, 0.7),
		unembd: fill(cfg.Vocab*d, 0.7),
		frozen: make([]float64, d*d),
		params: []lm.Tensor{
			{Name: PairName + ".lora_a", Shape: []int{d, r}, Data: fill(d*r, 1/math.Sqrt(float64(d)))},
			{Name: PairName + ".lora_b", Shape: []int{r, d}, Data: make([]float32, r*d)},
		},
	}
	for i := range d {
		t.frozen[i*d+i] = 1
	}
	if !cfg.NoHead {
		t.params = append(t.params,
			lm.Tensor{Name: "head.weight", Shape: []int{d}, Data: make([]float32, d)},
			lm.Tensor{Name: "head.bias", Shape: []int{1}, Data: make([]float32, 1)})
	}
	t.m, t.v = zerosLike(t.params), zerosLike(t.params)
	t.clearGrads()
	return t
}

// Freeze folds the trained pair into the frozen weights and starts a new one: the
// state a PPO run on top of an SFT adapter begins in.
func (t *Toy) Freeze() {
	d, r := t.cfg.Embd, t.cfg.Rank
	a, b := t.params[0].Data, t.params[1].Data
	for o := range d {
		for i := range d {
			for j := range r {
				t.frozen[o*d+i] += t.scale() * float64(b[o*r+j]) * float64(a[j*d+i])
			}
		}
	}
	clear(b)
	t.m, t.v = zerosLike(t.params), zerosLike(t.params)
	t.step = 0
}

// Snapshot returns an independent copy with the same weights and moments.
func (t *Toy) Snapshot() *Toy {
	c := *t
	c.frozen = append([]float64(nil), t.frozen...)
	c.params, c.m, c.v = clone(t.params), clone(t.m), clone(t.v)
	c.pending = nil
	c.clearGrads()
	return &c
}

// Reference evaluates with the adapter off; it follows later Freeze calls of t only
// if made after them.
func (t *Toy) Reference() lm.Evaluator {
	c := t.Snapshot()
	clear(c.params[1].Data)
	return c
}

// SetHead replaces the head; a test's ready-made reward model.
func (t *Toy) SetHead(weight []float32, bias float32) {
	copy(t.params[2].Data, weight)
	t.params[3].Data[0] = bias
}

// Forward implements lm.Evaluator.
func (t *Toy) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.pending = nil
	out := &lm.Output{Logprobs: make([][]float32, len(batch)), Heads: make([][]float32, len(batch))}
	if opt.Entropy {
		out.Entropy = make([][]float32, len(batch))
	}
	if opt.Greedy {
		out.Greedy = make([][]bool, len(batch))
	}
	for s, seq := range batch {
		if err := t.check(seq); err != nil {
			return nil, fmt.Errorf("traintest: sequence %d: %w", s, err)
		}
		acts := t.hidden(seq, opt)
		for _, pos := range seq.Targets {
			p := t.predict(acts[pos-1].h, opt)
			lp := math.Log(p[seq.Tokens[pos]])
			if opt.Gradient && t.NaNAtStep > 0 && t.step+1 == t.NaNAtStep {
				lp = math.NaN()
			}
			out.Logprobs[s] = append(out.Logprobs[s], float32(lp))
			if opt.Entropy {
				out.Entropy[s] = append(out.Entropy[s], float32(entropy(p)))
			}
			if opt.Greedy {
				out.Greedy[s] = append(out.Greedy[s], argmax(p) == int(seq.Tokens[pos]))
			}
		}
		for _, pos := range seq.Heads {
			sum := float64(t.params[3].Data[0])
			for i, h := range acts[pos].h {
				sum += float64(t.params[2].Data[i]) * h
			}
			out.Heads[s] = append(out.Heads[s], float32(sum))
		}
	}
	if opt.Gradient {
		t.pending = &forwardPass{batch: batch, opt: opt}
	}
	t.Forwards++
	return out, nil
}

func (t *Toy) check(seq lm.Sequence) error {
	n := len(seq.Tokens)
	if n == 0 {
		return errors.New("no tokens")
	}
	if t.cfg.Context > 0 && n > t.cfg.Context {
		return fmt.Errorf("%d tokens, context %d: %w", n, t.cfg.Context, lm.ErrContextFull)
	}
	for i, id := range seq.Tokens {
		if id < 0 || int(id) >= t.cfg.Vocab {
			return fmt.Errorf("token %d: id %d, vocabulary %d: %w", i, id, t.cfg.Vocab, lm.ErrBadToken)
		}
	}
	last := int32(0)
	for _, p := range seq.Targets {
		if p <= last || int(p) >= n {
			return fmt.Errorf("targets %v: want ascending positions in [1, %d)", seq.Targets, n)
		}
		last = p
	}
	last = -1
	for _, p := range seq.Heads {
		if p <= last || int(p) >= n {
			return fmt.Errorf("heads %v: want ascending positions in [0, %d)", seq.Heads, n)
		}
		last = p
	}
	if len(seq.Heads) > 0 && t.cfg.NoHead {
		return errors.New("head asked for, model has none")
	}
	return nil
}

// activation keeps what the backward pass of one position needs; all [n_embd]
// except z, [rank].
type activation struct{ dropped, z, h []float64 }

func (t *Toy) scale() float64 { return float64(t.cfg.Alpha) / float64(t.cfg.Rank) }

func (t *Toy) hidden(seq lm.Sequence, opt lm.Options) []activation {
	d, r := t.cfg.Embd, t.cfg.Rank
	a, b := t.params[0].Data, t.params[1].Data
	acts := make([]activation, len(seq.Tokens))
	sum := make([]float64, d)
	x := make([]float64, d)
	drop := rand.New(rand.NewPCG(seq.DropoutSeed, 1))
	keep := 1 - float64(t.cfg.Dropout)
	for pos, id := range seq.Tokens {
		act := activation{make([]float64, d), make([]float64, r), make([]float64, d)}
		for i := range d {
			e := float64(t.embd[int(id)*d+i])
			sum[i] += e
			x[i] = e + sum[i]/float64(pos+1)
			act.dropped[i] = x[i]
			if opt.Dropout && t.cfg.Dropout > 0 {
				if drop.Float64() < keep {
					act.dropped[i] /= keep
				} else {
					act.dropped[i] = 0
				}
			}
		}
		for j := range r {
			for i := range d {
				act.z[j] += float64(a[j*d+i]) * act.dropped[i]
			}
		}
		for o := range d {
			y := 0.0
			for i := range d {
				y += t.frozen[o*d+i] * x[i]
			}
			for j := range r {
				y += t.scale() * float64(b[o*r+j]) * act.z[j]
			}
			act.h[o] = math.Tanh(y)
		}
		acts[pos] = act
	}
	return acts
}

// predict returns the softmax over the vocabulary after hidden state h.
func (t *Toy) predict(h []float64, opt lm.Options) []float64 {
	d := t.cfg.Embd
	p := make([]float64, t.cfg.Vocab)
	top := math.Inf(-1)
	for k := range p {
		for i := range d {
			p[k] += float64(t.unembd[k*d+i]) * h[i]
		}
		p[k] /= temperature(opt)
		top = max(top, p[k])
	}
	sum := 0.0
	for k := range p {
		p[k] = math.Exp(p[k] - top)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

func temperature(opt lm.Options) float64 {
	if opt.Temperature == 0 {
		return 1
	}
	return float64(opt.Temperature)
}

func entropy(p []float64) float64 {
	h := 0.0
	for _, q := range p {
		if q > 0 {
			h -= q * math.Log(q)
		}
	}
	return h
}

func argmax(p []float64) int {
	best := 0
	for k := range p {
		if p[k] > p[best] {
			best = k
		}
	}
	return best
}
