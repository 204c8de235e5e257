package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"steer/ggml"
)

// StagePlan says what a stage will take before it starts.
type StagePlan struct {
	Stage string `json:"stage"`
	// Buffers add up to Peak, the largest resident set, in bytes.
	Buffers []Buffer `json:"buffers"`
	Peak    int64    `json:"peak_bytes"`
	// OtherPeak is the peak with the other choice of checkpointing; 0 where nothing is trained.
	KeepActivations bool  `json:"keep_activations"`
	OtherPeak       int64 `json:"peak_bytes_with_other_checkpointing,omitempty"`
	// Largest is the largest batch, in tokens, and its longest sequence.
	LargestBatch int    `json:"largest_batch_tokens"`
	Longest      int    `json:"longest_sequence_tokens"`
	Tokens       Tokens `json:"tokens"`
	// Seconds is estimated; 0 without a calibration.
	Seconds float64 `json:"seconds,omitempty"`
	// Free is what may be taken, 0 if unknown; Suggestion is what to change, if anything.
	Free       int64       `json:"free_bytes"`
	Fits       bool        `json:"fits"`
	Suggestion *Suggestion `json:"suggestion,omitempty"`

	reserve    [][]recorded // by the order in which stacks are opened
	rollout    decoding
	mostBefore int64 // the high-water mark when the plan was made
	goNeed     int64 // bytes of the Go runtime
	release    func()
}

// Buffer is a part of the memory.
type Buffer struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	What  string `json:"what"`
}

// The buffers of a plan.
const (
	BufferWeights     = "weights"
	BufferProgram     = "program"
	BufferData        = "data"
	BufferParams      = "adapters"
	BufferGradients   = "gradients"
	BufferMoments     = "Adam moments"
	BufferActivations = "activations"
	BufferTables      = "graph"
	BufferScratch     = "kernels"
	BufferKV          = "KV cache"
	BufferDecode      = "decoding"
)

// Bytes is the size of a buffer, 0 if the stage has none of that name.
func (p *StagePlan) Bytes(name string) int64 {
	for _, b := range p.Buffers {
		if b.Name == name {
			return b.Bytes
		}
	}
	return 0
}

// measureEmpty is the process with a model and nothing else. What an earlier stage left
// is given back first, as it would be counted as this one's.
func measureEmpty(model string) (*process, error) {
	debug.FreeOSMemory()
	p, err := memoryOf(model)
	p.Go = goBytes()
	return &p, err
}

func (p *StagePlan) add(name string, bytes int64, what string, args ...any) {
	if bytes > 0 {
		p.Buffers = append(p.Buffers, Buffer{Name: name, Bytes: bytes, What: fmt.Sprintf(what, args...)})
		p.Peak += bytes
	}
}

// plan rehearses a job and asks the engine for the size of everything it used.
func (b *Bench) plan(ctx context.Context, job Job, name string) (*StagePlan, error) {
	return b.planWith(ctx, job, name, func(*rehearsal, *StagePlan) error { return nil })
}

// planWith calls then before the rehearsal's stacks are closed.
func (b *Bench) planWith(ctx context.Context, job Job, name string, then func(*rehearsal, *StagePlan) error) (p *StagePlan, err error) {
	if b.dev.OnGPU() {
		return nil, b.unplannable()
	}
	if b.empty == nil {
		if b.empty, err = measureEmpty(b.Model.Info().Path); err != nil {
			return nil, err
		}
	}
	before := b.empty
	r, bench, err := b.rehearse(ctx, job)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bench.Close()) }()
	_, engine := job.Base()
	p = &StagePlan{Stage: name, KeepActivations: engine.KeepActivations, Tokens: r.tokens, mostBefore: before.Most, goNeed: r.goMost}
	p.add(BufferWeights, before.Mapped, "the model's file, mapped")
	p.add(BufferProgram, before.Own, "steer, Go, libllama's vocabulary")
	p.add(BufferData, r.goMost-before.Go, "Go heap: data, host copies, checkpoints")
	r.adapters(p)
	if err := errors.Join(r.graphs(p), r.kernels(p), r.sessions(p)); err != nil {
		return nil, err
	}
	err = then(r, p)
	p.rollout = decoding{} // it holds adapters, which the run is to have the memory of
	return p, err
}

func (r *rehearsal) adapters(p *StagePlan) {
	var params, gradients, moments int64
	for _, a := range r.opened {
		x, y, z := a.Bytes()
		params, gradients, moments = params+x, gradients+y, moments+z
	}
	p.add(BufferParams, params, "%d on the model", len(r.opened))
	p.add(BufferGradients, gradients, "of the adapter that is trained")
	p.add(BufferMoments, moments, "of the adapter that is trained")
}

// graphs finds the largest graph; one at a time is in memory.
func (r *rehearsal) graphs(p *StagePlan) error {
	var most, other ggml.PassUse
	p.reserve = make([][]recorded, len(r.steps))
	for i, s := range r.steps {
		largest := map[kind]int64{}
		reserve := map[kind]recorded{}
		for _, q := range s.passes {
			use, err := r.model.Plan(q.on(s.stack, r))
			if err != nil {
				return err
			}
			alt, err := r.model.Plan(q.on(s.other, r))
			if err != nil {
				return err
			}
			most, other = larger(most, use), larger(other, alt)
			if use.Activations > largest[q.kind] {
				largest[q.kind], reserve[q.kind] = use.Activations, q
			}
			p.LargestBatch, p.Longest = max(p.LargestBatch, q.tokens), max(p.Longest, q.longest)
		}
		for k, q := range reserve {
			p.reserve[i] = append(p.reserve[i], q)
			if long := s.long[k]; long.longest > q.longest {
				p.reserve[i] = append(p.reserve[i], long)
			}
		}
	}
	how := "checkpointing by layer"
	if p.KeepActivations {
		how = "all kept"
	}
	p.add(BufferActivations, most.Activations, "%s; largest batch %d tokens", how, p.LargestBatch)
	p.add(BufferTables, most.Tables+most.Work, "the graph itself")
	if r.tokens.Train > 0 {
		p.OtherPeak = other.Activations - most.Activations // completed when the rest is known
	}
	return nil
}

func larger(a, b ggml.PassUse) ggml.PassUse {
	return ggml.PassUse{Activations: max(a.Activations, b.Activations), Tables: max(a.Tables, b.Tables), Work: max(a.Work, b.Work)}
}

// on is the pass on an open stack.
func (q recorded) on(s *ggml.Step, r *rehearsal) ggml.Pass {
	p := ggml.Pass{Step: s, Batch: q.batch, Options: q.opt}
	if q.reference > 0 {
		p.Reference = r.steps[q.reference-1].stack
	}
	return p
}

// kernels finds the memory that the kernels' threads keep: on the longest sequence of
// every kind of pass.
func (r *rehearsal) kernels(p *StagePlan) error {
	type like struct {
		kind
		adapters bool
	}
	long := map[like]ggml.Pass{}
	most := map[like]int{}
	for _, s := range r.steps {
		for k, q := range s.long {
			l := like{kind: k, adapters: s.host != nil}
			if q.longest > most[l] {
				most[l], long[l] = q.longest, q.on(s.stack, r)
			}
		}
	}
	var passes []ggml.Pass
	for _, q := range long {
		passes = append(passes, q)
	}
	if len(passes) == 0 {
		return nil
	}
	scratch, err := r.model.PlanScratch(passes)
	p.add(BufferScratch, scratch, "scratch of every thread")
	return err
}

// sessions finds the largest decoding session; one at a time is open.
func (r *rehearsal) sessions(p *StagePlan) error {
	var most ggml.SessionUse
	for _, d := range r.most {
		use, err := r.model.PlanSession(d.opt, d.tokens, d.outputs)
		if err != nil {
			return err
		}
		if sum(use) > sum(most) {
			most, p.rollout = use, d
		}
	}
	if sum(most) > 0 {
		p.add(BufferKV, most.KV, "%d sequences of up to %d tokens", p.rollout.opt.Sequences, p.rollout.opt.Context)
		p.add(BufferDecode, sum(most)-most.KV, "activations, logits and tables of libllama")
	}
	if p.OtherPeak != 0 {
		p.OtherPeak += p.Peak
	}
	return nil
}

func sum(u ggml.SessionUse) int64 { return u.KV + u.Compute + u.Logits + u.Tables }
