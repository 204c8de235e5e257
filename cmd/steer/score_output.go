package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/train"
)

// scoreRecord is one line of steer score's output. encoding/json writes a float32 as
// the shortest decimal that reads back as the same float32.
type scoreRecord struct {
	Line      int       `json:"line"` // of the input
	IDs       []int32   `json:"ids"`
	Positions []int32   `json:"positions,omitempty"` // of logprobs and entropy, where they are not 1, 2, 3, ...
	Logprobs  []float32 `json:"logprobs,omitzero"`   // log p(ids[i] | ids[:i]), nats
	Entropy   []float32 `json:"entropy,omitzero"`    // of the distribution that predicts ids[i], nats
	// Head and Score are numbers, or lists over all positions with --positions all.
	Head       any      `json:"head,omitempty"`
	Score      any      `json:"score,omitempty"`
	Sum        *float64 `json:"sum,omitempty"` // of logprobs
	N          *int     `json:"n,omitempty"`
	Perplexity *float64 `json:"perplexity,omitempty"`
	Text       *string  `json:"text,omitempty"`
	Prompt     *string  `json:"prompt,omitempty"`
	Response   *string  `json:"response,omitempty"`
}

// scoring evaluates sequences and prints their records.
type scoring struct {
	f         *scoreFlags
	step      lm.Evaluator
	normalise *adapter.Head // nil: no adapter has a head
	progress  train.Progress
	out       io.Writer
}

// run goes through the sequences in batches of --batch-tokens.
func (s *scoring) run(ctx context.Context, sequences []scoreSequence) error {
	seqs := make([]lm.Sequence, len(sequences))
	for i, q := range sequences {
		seqs[i] = s.ask(q)
	}
	parts := train.MicroByTokens(seqs, s.f.batchTokens)
	meter, done, encode := train.NewMeter(), 0, json.NewEncoder(s.out)
	encode.SetEscapeHTML(false)
	for i, part := range parts {
		out, err := s.forward(ctx, part)
		if err != nil {
			return fmt.Errorf("score: %s: %w", sequences[done].row.where, err)
		}
		for j := range part {
			r, err := s.record(sequences[done+j], out, j)
			if err == nil {
				err = encode.Encode(r)
			}
			if err != nil {
				return fmt.Errorf("score: %s: %w", sequences[done+j].row.where, err)
			}
		}
		done += len(part)
		s.show(meter, part, i, len(parts), done, len(sequences))
	}
	return nil
}

// ask says what is wanted of a sequence.
func (s *scoring) ask(q scoreSequence) lm.Sequence {
	seq := lm.Sequence{Tokens: q.ids}
	if s.f.logprobs || s.f.entropy {
		seq.Targets = q.targets
	}
	if s.f.head {
		last := int32(len(q.ids) - 1)
		seq.Heads = []int32{last}
		if s.f.positions == headAll {
			seq.Heads = nil
			for i := range last + 1 {
				seq.Heads = append(seq.Heads, i)
			}
		}
	}
	return seq
}

// forward evaluates a batch. The engine refuses a batch that asks for nothing, as one
// of single tokens does when log-probabilities are wanted: the answer is empty.
func (s *scoring) forward(ctx context.Context, part []lm.Sequence) (*lm.Output, error) {
	for _, q := range part {
		if len(q.Targets)+len(q.Heads) > 0 {
			return s.step.Forward(ctx, part, lm.Options{Entropy: s.f.entropy})
		}
	}
	n := len(part)
	return &lm.Output{Logprobs: make([][]float32, n), Entropy: make([][]float32, n), Heads: make([][]float32, n)}, ctx.Err()
}

// record makes the output of sequence j of a batch.
func (s *scoring) record(q scoreSequence, out *lm.Output, j int) (*scoreRecord, error) {
	r := &scoreRecord{Line: q.row.line, IDs: q.ids, Text: q.row.text, Prompt: q.row.prompt, Response: q.row.response}
	if q.partial && (s.f.logprobs || s.f.entropy) {
		r.Positions = q.targets
	}
	if s.f.logprobs {
		r.Logprobs = append([]float32{}, out.Logprobs[j]...)
		if err := finite("log-probability", r.Logprobs); err != nil {
			return nil, err
		}
		sum, n := 0.0, len(r.Logprobs)
		for _, lp := range r.Logprobs {
			sum += float64(lp)
		}
		r.Sum, r.N = &sum, &n
		if p := math.Exp(-sum / float64(n)); n > 0 && !math.IsInf(p, 0) {
			r.Perplexity = &p
		}
	}
	if s.f.entropy {
		r.Entropy = append([]float32{}, out.Entropy[j]...)
		if err := finite("entropy", r.Entropy); err != nil {
			return nil, err
		}
	}
	if s.f.head {
		raw := out.Heads[j]
		if err := finite("head", raw); err != nil {
			return nil, err
		}
		scores := make([]float32, len(raw))
		for i, x := range raw {
			scores[i] = s.normalise.Normalise(x)
		}
		r.Head, r.Score = raw, scores
		if s.f.positions == headLast {
			r.Head, r.Score = raw[0], scores[0]
		}
	}
	return r, nil
}

func finite(what string, values []float32) error {
	for i, x := range values {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("%s %d is %v: the model or an adapter is damaged, or its training diverged", what, i, x)
		}
	}
	return nil
}

// show prints progress after batch i of n; a single batch needs none.
func (s *scoring) show(meter *train.Meter, part []lm.Sequence, i, n, done, total int) {
	if s.progress == nil || n < 2 {
		return
	}
	tokens := 0
	for _, q := range part {
		tokens += len(q.Tokens)
	}
	speed, _, eta := meter.Step(int64(tokens), int64(n-i-1))
	s.progress.Step(train.Status{Stage: "score", Step: int64(done), Total: int64(total), TokensPerSecond: speed, ETA: eta})
}
