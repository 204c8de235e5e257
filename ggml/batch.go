package ggml

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"steer/ggml/lm"
	"steer/ggml/prefix"
	"steer/ggml/transformer"
	"steer/internal/seed"
)

// layout is a batch as the graph takes it.
type layout struct {
	transformer.Batch
	// answers is, of each target of each sequence in turn, its place among Rows and
	// Targets; nil: they stand in that order.
	answers []int32
}

// flatten checks a batch and lays it out. Where nothing is differentiated or dropped out,
// sequences that begin alike share the beginning, and what no answer depends on is left out.
func (s *Step) flatten(batch []lm.Sequence, opt lm.Options) (*layout, error) {
	if err := checkBatch(s.m, s.weights.Head != nil, batch, opt); err != nil {
		return nil, err
	}
	if shares(opt) {
		return asTree(batch), nil
	}
	return endToEnd(batch, opt), nil
}

// LaidOut is the number of tokens that a batch puts through the network: fewer than it has
// where its sequences share beginnings, or answers do not depend on the last ones.
func LaidOut(batch []lm.Sequence, opt lm.Options) int {
	if !shares(opt) {
		n := 0
		for _, q := range batch {
			n += len(q.Tokens)
		}
		return n
	}
	var c prefix.Counter
	for _, q := range batch {
		c.Add(prefix.Read(q))
	}
	return c.Tokens()
}

// shares tells whether sequences are laid out together: a backward pass goes through each
// by itself, and dropout makes like beginnings differ.
func shares(opt lm.Options) bool { return !opt.Gradient && !opt.Dropout }

// checkBatch refuses what a model cannot be asked; hasHead: a scalar head can be read.
func checkBatch(m *Model, hasHead bool, batch []lm.Sequence, opt lm.Options) error {
	if t := float64(opt.Temperature); !(t >= 0) || math.IsInf(t, 0) {
		return fmt.Errorf("temperature %g: want a positive number, or 0 for 1", t)
	}
	if len(batch) == 0 {
		return fmt.Errorf("the batch is empty")
	}
	asked := 0
	for i, q := range batch {
		if len(q.Tokens) == 0 {
			return fmt.Errorf("sequence %d of the batch is empty", i)
		}
		if len(q.Tokens) > m.info.CtxTrain {
			return fmt.Errorf("sequence %d has %d tokens, the model's context is %d: %w", i, len(q.Tokens),
				m.info.CtxTrain, lm.ErrContextFull)
		}
		if len(q.Heads) > 0 && !hasHead {
			return fmt.Errorf("sequence %d asks for the scalar head, but no adapter of the stack has one", i)
		}
		for j, id := range q.Tokens {
			if id < 0 || int(id) >= m.info.Vocab {
				return fmt.Errorf("sequence %d, position %d: token id %d, the vocabulary has %d: %w", i, j, id,
					m.info.Vocab, lm.ErrBadToken)
			}
		}
		if err := ascending(q.Targets, 1, len(q.Tokens)); err != nil {
			return fmt.Errorf("sequence %d: target %w", i, err)
		}
		if err := ascending(q.Heads, 0, len(q.Tokens)); err != nil {
			return fmt.Errorf("sequence %d: head %w", i, err)
		}
		asked += len(q.Targets) + len(q.Heads)
	}
	if asked == 0 {
		return fmt.Errorf("the batch asks for nothing: no targets and no heads")
	}
	return nil
}

// endToEnd lays sequences one behind the other.
func endToEnd(batch []lm.Sequence, opt lm.Options) *layout {
	b := &layout{Batch: transformer.Batch{Starts: []int32{0}}}
	for _, q := range batch {
		start := int32(len(b.Tokens))
		for j := range q.Tokens {
			b.Pos = append(b.Pos, int32(j))
		}
		b.Tokens = append(b.Tokens, q.Tokens...)
		for _, t := range q.Targets {
			b.Rows = append(b.Rows, start+t-1)
			b.Targets = append(b.Targets, q.Tokens[t])
		}
		for _, p := range q.Heads {
			b.Heads = append(b.Heads, start+p)
		}
		if opt.Dropout {
			for j := range q.Tokens {
				bits := seed.Finalize(q.DropoutSeed + uint64(j)*seed.Gamma)
				b.Seeds = append(b.Seeds, int32(uint32(bits)), int32(uint32(bits>>32)))
			}
		}
		b.Starts = append(b.Starts, int32(len(b.Tokens)))
	}
	return b
}

// asTree lays a batch out as a tree. Each pair of row and target is asked for once, and the
// targets of one row stand together: the head walks the vocabulary once for them.
func asTree(batch []lm.Sequence) *layout {
	read := make([][]int32, len(batch))
	for i, q := range batch {
		read[i] = prefix.Read(q)
	}
	tree := prefix.New(read)
	b := &layout{Batch: transformer.Batch{Tokens: tree.Tokens, Pos: tree.Pos, Starts: tree.Starts}}
	if tree.Shared() {
		b.Parents = tree.Parents
	}
	type question struct{ row, target, number int32 }
	var asked []question
	for i, q := range batch {
		for _, t := range q.Targets {
			asked = append(asked, question{tree.Row(i, t-1), q.Tokens[t], int32(len(asked))})
		}
		for _, p := range q.Heads {
			b.Heads = append(b.Heads, tree.Row(i, p))
		}
	}
	slices.SortFunc(asked, func(a, b question) int {
		return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.target, b.target), cmp.Compare(a.number, b.number))
	})
	b.answers = make([]int32, len(asked))
	for k, a := range asked {
		if k == 0 || a.row != asked[k-1].row || a.target != asked[k-1].target {
			b.Rows = append(b.Rows, a.row)
			b.Targets = append(b.Targets, a.target)
		}
		b.answers[a.number] = int32(len(b.Rows) - 1)
	}
	return b
}

// answer is the place among Rows of the n-th target asked for, counted over all sequences.
func (b *layout) answer(n int) int {
	if b.answers == nil {
		return n
	}
	return int(b.answers[n])
}

func ascending(pos []int32, from, to int) error {
	for i, p := range pos {
		if int(p) < from || int(p) >= to || i > 0 && p <= pos[i-1] {
			return fmt.Errorf("position %d: want ascending positions from %d to %d", p, from, to-1)
		}
	}
	return nil
}

func emptyOutput(batch []lm.Sequence, opt lm.Options) *lm.Output {
	out := &lm.Output{Logprobs: make([][]float32, len(batch)), Heads: make([][]float32, len(batch))}
	if opt.Entropy {
		out.Entropy = make([][]float32, len(batch))
	}
	if opt.Greedy {
		out.Greedy = make([][]bool, len(batch))
	}
	return out
}

// fillOutput hands the native results, [4, R] and [P], to the sequences that asked.
func (b *layout) fillOutput(out *lm.Output, batch []lm.Sequence, logprob, head []float32) {
	r, p := 0, 0
	for i, q := range batch {
		n := len(q.Targets)
		out.Logprobs[i] = make([]float32, n)
		if out.Entropy != nil {
			out.Entropy[i] = make([]float32, n)
		}
		if out.Greedy != nil {
			out.Greedy[i] = make([]bool, n)
		}
		for j := range n {
			row := logprob[4*b.answer(r+j):]
			out.Logprobs[i][j] = row[0]
			if out.Entropy != nil {
				out.Entropy[i][j] = row[1]
			}
			if out.Greedy != nil {
				out.Greedy[i][j] = row[3] != 0
			}
		}
		r += n
		out.Heads[i] = append([]float32{}, head[p:p+len(q.Heads)]...)
		p += len(q.Heads)
	}
}

// flattenGradient lays dL/dlogprob and dL/dentropy out as [2, R] and dL/dhead as [P].
func flattenGradient(batch []lm.Sequence, g lm.Gradient) (logprob, head []float32, err error) {
	pick := func(all [][]float32, i, want int, what string) ([]float32, error) {
		if all == nil {
			return nil, nil
		}
		if len(all) != len(batch) {
			return nil, fmt.Errorf("gradient of %s has %d sequences, the batch %d", what, len(all), len(batch))
		}
		if all[i] != nil && len(all[i]) != want {
			return nil, fmt.Errorf("gradient of %s: sequence %d has %d values, want %d", what, i, len(all[i]), want)
		}
		return all[i], nil
	}
	for i, q := range batch {
		lp, err := pick(g.Logprobs, i, len(q.Targets), "log-probabilities")
		if err != nil {
			return nil, nil, err
		}
		en, err := pick(g.Entropy, i, len(q.Targets), "entropies")
		if err != nil {
			return nil, nil, err
		}
		hd, err := pick(g.Heads, i, len(q.Heads), "heads")
		if err != nil {
			return nil, nil, err
		}
		for j := range q.Targets {
			var pair [2]float32
			if lp != nil {
				pair[0] = lp[j]
			}
			if en != nil {
				pair[1] = en[j]
			}
			logprob = append(logprob, pair[:]...)
		}
		for j := range q.Heads {
			var v float32
			if hd != nil {
				v = hd[j]
			}
			head = append(head, v)
		}
	}
	return logprob, head, nil
}
