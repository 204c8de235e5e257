package plan

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/ggml"
	"steer/internal/machine"
)

// StagePlan says what a stage will take before it starts.
type Stage struct {
	Stage string `json:"stage"`
	// Memory is whose Peak and Free are: HostMemory, or on a GPU the device's name ("cuda:0").
	Memory string `json:"memory"`
	// Buffers of Memory add up to Peak, in bytes: the largest resident set, or the most of the
	// GPU's memory in use.
	Buffers []Buffer `json:"buffers"`
	Peak    int64    `json:"peak_bytes"`
	// HostPeak and HostFree are the same of the host's memory where Memory is a GPU's.
	HostPeak int64 `json:"host_peak_bytes,omitempty"`
	HostFree int64 `json:"host_free_bytes,omitempty"`
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
	Name   string `json:"name"`
	Memory string `json:"memory"` // where it is: as StagePlan.Memory
	Bytes  int64  `json:"bytes"`
	What   string `json:"what"`
}

// HostMemory is the memory of the process, whatever device computes.
const HostMemory = "host"

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

	// Of runs on a GPU only.
	BufferContext    = "context"
	BufferWorkspaces = "workspaces"
	BufferEmbedding  = "embedding" // on the host
)

// Bytes is the size of a buffer, 0 if the stage has none of that name. Of decoding, which
// takes of both memories on a GPU, it is the GPU's.
func (p *Stage) Bytes(name string) int64 {
	for _, b := range p.Buffers {
		if b.Name == name {
			return b.Bytes
		}
	}
	return 0
}

// HostBytes is the peak of the host's memory.
func (p *Stage) HostBytes() int64 {
	if p.onGPU() {
		return p.HostPeak
	}
	return p.Peak
}

// measureEmpty is the process with a model and nothing else. What an earlier stage left
// is given back first, as it would be counted as this one's.
func measureEmpty(model string) (*machine.Process, error) {
	debug.FreeOSMemory()
	p, err := machine.MemoryOf(model)
	p.Go = machine.GoBytes()
	return &p, err
}

// add adds a buffer of the device's memory, which on the CPU is the host's.
func (p *Stage) add(name string, bytes int64, what string, args ...any) {
	p.addTo(p.Memory, &p.Peak, name, bytes, what, args...)
}

// addHost adds a buffer of the host's memory.
func (p *Stage) addHost(name string, bytes int64, what string, args ...any) {
	if p.Memory == HostMemory {
		p.add(name, bytes, what, args...)
		return
	}
	p.addTo(HostMemory, &p.HostPeak, name, bytes, what, args...)
}

func (p *Stage) addTo(memory string, peak *int64, name string, bytes int64, what string, args ...any) {
	if bytes > 0 {
		p.Buffers = append(p.Buffers,
			Buffer{Name: name, Memory: memory, Bytes: bytes, What: fmt.Sprintf(what, args...)})
		*peak += bytes
	}
}

// onGPU tells whether the plan is of a GPU's memory.
func (p *Stage) onGPU() bool { return p.Memory != HostMemory }

// Planner makes plans of jobs on one workspace, before anything is opened there.
type Planner struct {
	w *workspace.Workspace
	// empty is the process before anything was opened; measured by the first plan.
	empty *machine.Process
	// tried is what stages take of a GPU besides what can be laid out, measured once for each.
	tried map[string]int64
}

// NewPlanner plans on a workspace.
func NewPlanner(w *workspace.Workspace) *Planner { return &Planner{w: w} }

// Plan rehearses a job and asks the engine for the size of everything it used.
func (pl *Planner) Plan(ctx context.Context, job jobs.Job, name string) (*Stage, error) {
	return pl.planWith(ctx, job, name, func(*rehearsal, *Stage) error { return nil })
}

// planWith calls then before the rehearsal's stacks are closed.
func (pl *Planner) planWith(
	ctx context.Context, job jobs.Job, name string, then func(*rehearsal, *Stage) error,
) (p *Stage, err error) {
	w := pl.w
	if pl.empty == nil {
		if pl.empty, err = measureEmpty(w.Model.Info().Path); err != nil {
			return nil, err
		}
	}
	before := pl.empty
	r, rehearsed, err := rehearse(ctx, w, job)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rehearsed.Close()) }()
	_, engine := job.Base()
	p = &Stage{Stage: name, Memory: memoryOfPlans(w), KeepActivations: engine.KeepActivations, Tokens: r.tokens,
		mostBefore: before.Most, goNeed: r.goMost}
	if p.onGPU() {
		p.add(BufferWeights, w.Model.DeviceBytes(), "of the model, but the token embedding")
		p.addHost(BufferEmbedding, before.Mapped, "the token embedding, mapped")
	} else {
		p.add(BufferWeights, before.Mapped, "the model's file, mapped")
		p.add(BufferProgram, before.Own, "steer, Go, libllama's vocabulary")
	}
	p.addHost(BufferData, r.goMost-before.Go, "Go heap: data, host copies, checkpoints")
	r.adapters(p)
	if err := errors.Join(r.graphs(p), r.sessions(p)); err != nil {
		return nil, err
	}
	if p.onGPU() {
		err = pl.trial(ctx, r, p)
	} else {
		err = r.kernels(p)
	}
	if err != nil {
		return nil, err
	}
	if p.OtherPeak != 0 {
		p.OtherPeak += p.Peak
	}
	err = then(r, p)
	p.rollout = decoding{} // it holds adapters, which the run is to have the memory of
	return p, err
}

func (r *rehearsal) adapters(p *Stage) {
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
func (r *rehearsal) graphs(p *Stage) error {
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
	p.addHost(BufferTables, most.Tables+most.Work, "the graph itself")
	p.add(BufferScratch, most.Scratch, "scratch: unpacked weights, logits, operands in bf16") // of a GPU
	if r.tokens.Train > 0 {
		// completed when the rest is known
		p.OtherPeak = other.Activations + other.Scratch - most.Activations - most.Scratch
	}
	return nil
}

func larger(a, b ggml.PassUse) ggml.PassUse {
	return ggml.PassUse{Activations: max(a.Activations, b.Activations), Tables: max(a.Tables, b.Tables),
		Work: max(a.Work, b.Work), Scratch: max(a.Scratch, b.Scratch)}
}

// on is the pass on an open stack.
func (q recorded) on(s *ggml.Step, r *rehearsal) ggml.Pass {
	p := ggml.Pass{Step: s, Batch: q.batch, Options: q.opt}
	if q.reference > 0 {
		p.Reference = r.steps[q.reference-1].stack
	}
	return p
}

// longest is the longest sequence of every kind of pass.
func (r *rehearsal) longest() (passes []ggml.Pass) {
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
	for _, q := range long {
		passes = append(passes, q)
	}
	return passes
}

// kernels finds the memory that the CPU kernels' threads keep.
func (r *rehearsal) kernels(p *Stage) error {
	passes := r.longest()
	if len(passes) == 0 {
		return nil
	}
	scratch, err := r.model.PlanScratch(passes)
	p.add(BufferScratch, scratch, "scratch of every thread")
	return err
}

// sessions finds the largest decoding session; one at a time is open.
func (r *rehearsal) sessions(p *Stage) error {
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
	p.add(BufferKV, most.KV, "%d sequences of up to %d tokens", p.rollout.opt.Sequences, p.rollout.opt.Context)
	if p.onGPU() {
		p.add(BufferDecode, most.Compute, "activations of libllama")
		p.addHost(BufferDecode, most.Host+most.Logits+most.Tables, "inputs, logits and tables of libllama")
	} else {
		p.add(BufferDecode, sum(most)-most.KV, "activations, logits and tables of libllama")
	}
	return nil
}

func sum(u ggml.SessionUse) int64 { return u.KV + u.Compute + u.Host + u.Logits + u.Tables }
