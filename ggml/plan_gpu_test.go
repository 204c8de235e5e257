package ggml

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// planGPU is the GPU that plans are tested on: the emulated one, or with STEER_TEST_CUDA that one.
func planGPU(t testing.TB) DeviceOptions {
	if os.Getenv("STEER_TEST_CUDA") != "" {
		return testDevice(t, 1)
	}
	return emulatedGPU(t)
}

// gpuTolerance is how far a plan may be from what a GPU takes in the end. On the emulated one
// nothing is in use before, and a mark of the most in use is kept: the plan may be off by what
// pages round up. On a real card the driver's context counts on both sides, cudaMalloc gives
// out whole 2 MiB, kernels that the trial did not meet load their code, and what is in use is
// seen when it is asked for.
func gpuTolerance() float64 {
	if realGPU() {
		return 0.05
	}
	return 0.02
}

// realGPU tells whether the tests are of a card.
func realGPU() bool {
	name := os.Getenv("STEER_TEST_CUDA")
	return name != "" && name != "emulation"
}

// gpuScale is the shape of the plans' model, and how many times as long as written sequences are: a
// card computes what takes memory beside its context.
func gpuScale() (gguftest.Shape, int) {
	if !realGPU() {
		return planShape, 1
	}
	return gguftest.Shape{Layers: 6, Embd: 512, FF: 1536, Heads: 8, KVHeads: 4, Vocab: 8192, Ctx: 2048}, 30
}

// gpuPlan adds up what a plan says that a GPU will hold at most.
type gpuPlan struct {
	t     *testing.T
	m     *Model
	sum   int64
	parts string
}

func newGPUPlan(t *testing.T, m *Model) *gpuPlan {
	mem, err := m.dev.Memory()
	require.NoError(t, err)
	p := &gpuPlan{t: t, m: m}
	p.add("context", mem.Opened)
	p.add("weights", m.DeviceBytes())
	return p
}

func (p *gpuPlan) add(name string, bytes int64) {
	p.sum += bytes
	p.parts += fmt.Sprintf(" %s %d", name, bytes)
}

// adapter is a planned adapter.
func (p *gpuPlan) adapter(host *adapter.Adapter, trainable bool) *Adapter {
	p.t.Helper()
	a, err := p.m.PlanAdapter(host, trainable)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { require.NoError(p.t, a.Close()) })
	params, gradients, moments := a.Bytes()
	p.add("adapter", params+gradients+moments)
	return a
}

// emulatedWorkspace is what a backend of the emulated GPU takes when it first computes.
const emulatedWorkspace = 256 << 10

// ask adds the passes, the largest of which counts, a session if there is one, and the trial, in
// which so many of ggml's backends compute. What the trial finds must be theirs: a mistake in
// the other parts would show there and nowhere else.
func (p *gpuPlan) ask(passes []Pass, d Decoding, backends int) {
	p.t.Helper()
	var most PassUse
	for _, q := range passes {
		use, err := p.m.Plan(q)
		require.NoError(p.t, err)
		most.Activations, most.Scratch = max(most.Activations, use.Activations), max(most.Scratch, use.Scratch)
	}
	p.add("activations", most.Activations)
	p.add("scratch", most.Scratch)
	if d.Session.Sequences > 0 {
		use, err := p.m.PlanSession(d.Session, d.Tokens, d.Outputs)
		require.NoError(p.t, err)
		p.add("KV", use.KV)
		p.add("compute", use.Compute)
	}
	workspaces, err := p.m.PlanWorkspaces(context.Background(), passes, d)
	require.NoError(p.t, err)
	p.add("workspaces", workspaces)
	if !realGPU() {
		require.InDelta(p.t, backends*emulatedWorkspace, workspaces, 4*4096, "rounded up to pages:%s", p.parts)
	}
}

// holds compares the plan with what was taken.
func (p *gpuPlan) holds() {
	p.t.Helper()
	mem, err := p.m.dev.Memory()
	require.NoError(p.t, err)
	p.t.Logf("planned %d, took %d (%+.1f %%), without context %d and %d:%s", p.sum, mem.Most,
		100*(float64(p.sum)/float64(mem.Most)-1),
		p.sum-mem.Opened, mem.Most-mem.Opened, p.parts)
	require.InEpsilon(p.t, mem.Most, p.sum, gpuTolerance())
}

// A plan of training or scoring is what the GPU then holds, with checkpointing and without, over
// precisions, types of weights and kinds of batches.
func TestGPUPlanOfPasses(t *testing.T) {
	shape, times := gpuScale()
	plain := tiny(t, shape, gguftest.Options{})
	mixed, _ := requantize(t, tiny(t, blockShape, gguftest.Options{}), q4KM)
	other, _ := requantize(t, tiny(t, blockShape, gguftest.Options{Untied: true}), func(string) gguf.Type {
		return gguf.TypeIQ3S
	})
	for _, c := range []struct {
		name    string
		path    string
		vocab   int
		times   int
		lengths []int
		heads   bool
		step    StepOptions
		opt     lm.Options
		ggml    int // 1: some of its operations are ggml's
	}{
		{"training", plain, shape.Vocab, times, []int{21, 7, 30}, false, StepOptions{}, lm.Options{Gradient: true}, 1},
		{"training, activations kept", plain, shape.Vocab, times, []int{21, 7, 30}, false,
			StepOptions{KeepActivations: true}, lm.Options{Gradient: true}, 1},
		{"training in f32", plain, shape.Vocab, times, []int{21, 7, 30}, false, StepOptions{Precision: F32},
			lm.Options{Gradient: true}, 1},
		{"heads, entropies, dropout", plain, shape.Vocab, times, []int{20, 20}, true, StepOptions{Dropout: 0.1},
			lm.Options{Gradient: true, Entropy: true, EntropyGradient: true, Dropout: true}, 0},
		{"scoring", plain, shape.Vocab, times, []int{40, 40}, false, StepOptions{}, lm.Options{Greedy: true}, 0},
		{"Q4_K and Q6_K", mixed, blockShape.Vocab, 1, []int{9, 11}, false, StepOptions{}, lm.Options{Gradient: true},
			1},
		{"a type that ggml unpacks", other, blockShape.Vocab, 1, []int{9, 11}, false, StepOptions{},
			lm.Options{Gradient: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := openOn(t, planGPU(t), c.path)
			host := randomAdapter(t, m, adapter.Targets(), 3, c.heads)
			lengths := slices.Clone(c.lengths)
			for i := range lengths {
				lengths[i] *= c.times
			}
			batch := raggedBatch(5, c.vocab, c.heads, lengths...)
			opt := c.step
			opt.Train = c.opt.Gradient

			plan := newGPUPlan(t, m)
			opt.Adapters = []*Adapter{plan.adapter(host, opt.Train)}
			plan.ask([]Pass{{Step: step(t, m, opt), Batch: batch, Options: c.opt}}, Decoding{}, c.ggml)

			opt.Adapters = []*Adapter{live(t, m, host, opt.Train)}
			s := step(t, m, opt)
			require.NoError(t, m.Reserve(context.Background(), []Pass{{Step: s, Batch: batch, Options: c.opt}}))
			reserved, err := m.dev.memory()
			require.NoError(t, err)
			forward(t, s, batch, c.opt)
			if c.opt.Gradient {
				require.NoError(t, s.Backward(randomGradient(1, batch, c.opt.EntropyGradient)))
				_, err := s.Update(lm.Update{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, MaxGradNorm: 1})
				require.NoError(t, err)
			}
			after, err := m.dev.memory()
			require.NoError(t, err)
			require.Equal(t, reserved.Scratch, after.Scratch, "scratch memory obtained after the reserve")
			plan.holds()
		})
	}
}

// All roles of PPO: a policy with a value head over an SFT adapter, the reference, a reward
// model, and rollouts while their activations are held.
func TestGPUPlanOfPPO(t *testing.T) {
	shape, times := gpuScale()
	m := openOn(t, planGPU(t), tiny(t, shape, gguftest.Options{}))
	hosts := []*adapter.Adapter{
		randomAdapter(t, m, adapter.Targets(), 1, false), randomAdapter(t, m, adapter.Targets(), 2, true),
		randomAdapter(t, m, []string{"attn_q"}, 3, true),
	}
	batch := raggedBatch(5, shape.Vocab, true, 20*times, 20*times)
	scored := raggedBatch(6, shape.Vocab, false, 25*times, 15*times)
	ends := raggedBatch(7, shape.Vocab, false, 25*times, 15*times)
	for i := range ends {
		ends[i].Targets, ends[i].Heads = nil, []int32{int32(len(ends[i].Tokens) - 1)}
	}
	train := lm.Options{Gradient: true, Entropy: true}
	roles := func(open func(*adapter.Adapter, bool) *Adapter) (policy []*Adapter, passes []Pass) {
		sft, steered, reward := open(hosts[0], false), open(hosts[1], true), open(hosts[2], false)
		policy = []*Adapter{sft, steered}
		learner := step(t, m, StepOptions{Adapters: policy, Train: true})
		reference := step(t, m, StepOptions{Adapters: []*Adapter{sft}})
		return policy, []Pass{
			{Step: learner, Batch: batch, Options: train}, {Step: reference, Batch: scored},
			{Step: step(t, m, StepOptions{Adapters: []*Adapter{sft, reward}}), Batch: ends},
			{Step: learner, Reference: reference, Batch: scored},
		}
	}
	session := SessionOptions{Sequences: 6, Context: 300}
	plan := newGPUPlan(t, m)
	policy, passes := roles(plan.adapter)
	d := Decoding{Session: session, Tokens: 120, Outputs: 6}
	d.Session.Adapters = policy
	plan.ask(passes, d, 2)

	policy, passes = roles(func(a *adapter.Adapter, trainable bool) *Adapter { return live(t, m, a, trainable) })
	ctx := context.Background()
	require.NoError(t, m.Reserve(ctx, passes))
	session.Adapters = policy
	s, err := m.NewSession(session)
	require.NoError(t, err)
	var reqs []lm.Request
	for i := range 8 { // more than sequences: slots are used again
		q := raggedBatch(uint64(i+1), shape.Vocab, false, 20)[0]
		reqs = append(reqs, lm.Request{Prompt: q.Tokens, MaxNew: 12, Seed: uint64(i)})
	}
	_, err = s.Generate(ctx, reqs, lm.Sampling{Temperature: 1})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	for _, p := range passes[:3] {
		forward(t, p.Step, p.Batch, p.Options)
		if p.Options.Gradient {
			require.NoError(t, p.Step.Backward(randomGradient(1, p.Batch, false)))
		}
	}
	_, err = passes[3].Step.FullKL(ctx, passes[3].Reference, scored, lm.Options{})
	require.NoError(t, err)
	plan.holds()
}

// A session alone, with the base model and with f32 caches.
func TestGPUPlanOfSessions(t *testing.T) {
	for _, c := range []struct {
		opt    SessionOptions
		prompt int
	}{{SessionOptions{Sequences: 1, Context: 200}, 50}, {SessionOptions{Sequences: 40, Context: 120}, 16},
		{SessionOptions{Sequences: 3, Context: 600, KVF32: true}, 150}} {
		t.Run(fmt.Sprintf("%d sequences of %d tokens", c.opt.Sequences, c.opt.Context), func(t *testing.T) {
			m := openOn(t, planGPU(t), tiny(t, planShape, gguftest.Options{F16: true}))
			plan := newGPUPlan(t, m)
			tokens := c.prompt * c.opt.Sequences
			plan.ask(nil, Decoding{Session: c.opt, Tokens: tokens, Outputs: c.opt.Sequences}, 1)
			s, err := m.NewSession(c.opt)
			require.NoError(t, err)
			_, err = s.Generate(context.Background(), trial(c.opt, tokens, planShape.Vocab), lm.Sampling{})
			require.NoError(t, err)
			require.NoError(t, s.Close())
			plan.holds()
		})
	}
}

// Asking takes nothing, whatever it is that is asked for: a batch many times the card.
func TestGPUPlanTakesNothing(t *testing.T) {
	m := openOn(t, planGPU(t), tiny(t, planShape, gguftest.Options{}))
	shadow := newGPUPlan(t, m).adapter(randomAdapter(t, m, adapter.Targets(), 3, true), true)
	var lengths []int
	for range 4000 {
		lengths = append(lengths, planShape.Ctx)
	}
	before, err := m.dev.Memory()
	require.NoError(t, err)
	use,
		err := m.Plan(
		Pass{Step: step(t, m, StepOptions{Adapters: []*Adapter{shadow}, Train: true, KeepActivations: true}),
			Batch: raggedBatch(5, planShape.Vocab, false, lengths...), Options: lm.Options{Gradient: true}})
	require.NoError(t, err)
	after, err := m.dev.Memory()
	require.NoError(t, err)
	require.Equal(t, before.Used(), after.Used())
	require.Equal(t, before.Most, after.Most)
	require.Greater(t, use.Activations, int64(4<<30))
	require.Greater(t, use.Scratch, int64(4000*planShape.Ctx*4), "operands of all tokens")
}

// fullCard is a learner on an emulated card that can be made as full as a test wants.
type fullCard struct {
	m *Model
	s *Step
}

func openFullCard(t *testing.T) fullCard {
	m := openOn(t, emulatedGPU(t), tiny(t, planShape, gguftest.Options{}))
	c := fullCard{m,
		step(t, m, StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), true)},
			Train: true})}
	c.goesOn(t)
	return c
}

// goesOn: whatever was refused, the device computes.
func (c fullCard) goesOn(t *testing.T) {
	t.Helper()
	forward(t, c.s, raggedBatch(1, planShape.Vocab, false, 5), lm.Options{})
}

// leave makes the card one that has so much and no more free until the end of the test.
func (c fullCard) leave(t *testing.T, bytes int64) {
	t.Helper()
	mem, err := c.m.dev.Memory()
	require.NoError(t, err)
	t.Setenv("STEER_EMULATED_GPU_BYTES", fmt.Sprint(mem.Used()+bytes))
}

// refused requires out of memory, in these words, and a device that goes on.
func (c fullCard) refused(t *testing.T, err error, words string) {
	t.Helper()
	t.Log(err)
	require.ErrorIs(t, err, lm.ErrOutOfMemory)
	require.Regexp(t, words+`; of the \d+ bytes of cuda:0 \d+ are free`, err)
	c.goesOn(t)
}

// Out of memory in the middle of work is an error that says of what and how much, and the
// device goes on.
func TestGPURunsOutOfMemory(t *testing.T) {
	c := openFullCard(t)
	ctx := context.Background()
	learn := lm.Options{Gradient: true}
	batch := raggedBatch(1, planShape.Vocab, false, 300, 300)
	t.Run("activations", func(t *testing.T) {
		c.leave(t, 1<<20)
		_, err := c.s.Forward(ctx, batch, learn)
		c.refused(t, err, `forward of 2 sequences, 600 tokens: .*no room for the activations of this batch: \d+ bytes`)
	})
	t.Run("session", func(t *testing.T) {
		c.leave(t, 1<<20)
		_, err := c.m.NewSession(SessionOptions{Sequences: 64, Context: 600})
		c.refused(t, err, `session: .*cannot open a decoding context of 64 sequences of 600 tokens: allocating 27.00 `+
			`MiB on device 0: out of memory`)
	})
	t.Run("adapter", func(t *testing.T) {
		c.leave(t, 1<<20)
		wide, err := adapter.New(c.m.Shape(), adapter.Targets(), planShape.Embd, 4, false, 1)
		require.NoError(t, err)
		_, err = c.m.NewAdapter(wide, true)
		c.refused(t, err, `no room for an adapter of \d+ parameters, its gradients and moments: \d+ bytes`)
	})
	t.Run("decoding", func(t *testing.T) {
		opt := SessionOptions{Sequences: 2, Context: 40}
		room, err := c.m.PlanSession(opt, 8, 2)
		require.NoError(t, err)
		c.leave(t, room.KV+room.Compute+emulatedWorkspace/2) // it opens; its backend finds no room when it computes
		s, err := c.m.NewSession(opt)
		require.NoError(t, err)
		_, err = s.Generate(ctx, []lm.Request{{Prompt: []int32{1, 2, 3}, MaxNew: 5}}, lm.Sampling{})
		c.refused(t, err, `decode of 3 tokens: CUDA error: out of memory \(emulated: a workspace of \d+ bytes\)`)
		require.NoError(t, s.Close())
	})
	t.Run("scratch memory", func(t *testing.T) {
		pass := Pass{Step: c.s, Batch: batch, Options: learn}
		use, err := c.m.Plan(pass)
		require.NoError(t, err)
		c.leave(t, use.Activations-c.s.ScratchBytes()+use.Scratch/2)
		c.refused(t, c.m.Reserve(ctx, []Pass{pass}), `reserving memory: .*\d+ bytes of scratch memory: out of memory`)
		_, err = c.s.Forward(ctx, batch, learn)
		c.refused(t, err,
			`cuda [a-z_]+ (f32|bf16) \[\d+, \d+\] of [a-z0-9 ,\[\]]+: \d+ bytes of scratch memory: out of memory`)
	})
}
