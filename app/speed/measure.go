package speed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
)

// Measure runs one job in this process. Peak memory is that of the process, so that it
// belongs to the job only if nothing else ran in it.
func Measure(ctx context.Context, s Spec) (r *Result, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if err := ggml.ForceKernel(s.Kernel); err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	defer func() { err = errors.Join(err, ggml.ForceKernel("")) }()
	engine := workspace.DefaultEngine()
	engine.Threads, engine.Precision, engine.Sequences = s.Threads, s.Precision, s.Sequences
	if s.Device != "" {
		engine.Device = s.Device
	}
	engine.KeepActivations = s.Job == JobTrainKeep
	w, err := workspace.OpenToUse(s.Model, engine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	m := &measurement{Spec: s, w: w, rng: rand.New(rand.NewPCG(s.Seed, 0xbe7c4))}
	if m.weights, err = countWeights(w.Model); err != nil {
		return nil, err
	}
	m.result = &Result{Spec: s, Label: s.Label(), Device: w.Device(), OnGPU: w.OnGPU(), Kernel: w.Kernel(),
		Model: w.Model.Info().Description, Threads: w.Threads(), Bare: w.Model.Untrainable() != nil}
	if err := m.jobs()[s.Job](ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", m.result.Label, err)
	}
	return m.result, m.finish()
}

// measurement is a job under way.
type measurement struct {
	Spec
	w       *workspace.Workspace
	weights weights
	rng     *rand.Rand
	result  *Result
}

func (m *measurement) jobs() map[Job]func(context.Context) error {
	return map[Job]func(context.Context) error{
		JobTrain: m.train, JobTrainKeep: m.train, JobScore: m.score, JobRollout: m.rollout, JobGroup: m.group,
		JobPPO: m.ppo, JobGRPO: m.grpo, JobDPO: m.dpo, JobKernels: m.kernels,
	}
}

// finish adds the rates and what belongs to the process.
func (m *measurement) finish() error {
	r := m.result
	r.PeakRSS = peakRSS()
	if err := m.limits(); err != nil {
		return err
	}
	if len(r.Seconds) == 0 {
		return nil
	}
	r.TokensPerSecond = rates(float64(r.Tokens), r.Seconds)
	r.GFLOPS = rates(r.FLOP*1e-9, r.Seconds)
	r.ShareOfPeak = r.GFLOPS.Median / r.peak()
	return nil
}

// limits measures what the processor could do at best, and the memory taken on a GPU: what is
// reserved there is never given back before the end.
func (m *measurement) limits() error {
	r := m.result
	if r.OnGPU {
		mem, err := m.w.DeviceMemory()
		if err != nil {
			return err
		}
		r.DeviceBytes, r.DeviceTotal = mem.Used(), mem.Total
		rate, err := m.w.GEMMRate()
		r.PeakBF16GFLOPS = rate * 1e-9
		return err
	}
	peak, err := ggml.MeasurePeak(r.Threads)
	r.PeakBF16GFLOPS, r.PeakF32GFLOPS = peak.BF16*1e-9, peak.F32*1e-9
	return err
}

// peak is the limit of the instructions that the kernels in use multiply with, in GFLOP/s.
func (r *Result) peak() float64 {
	if r.OnGPU || r.Spec.Precision == ggml.BF16 && r.Kernel == kernelBF16 {
		return r.PeakBF16GFLOPS
	}
	return r.PeakF32GFLOPS
}

// kernelBF16 is the name of the kernels that multiply in bf16.
const kernelBF16 = "avx512bf16"

// loaded notes the memory taken before the first step.
func (m *measurement) loaded() { m.result.LoadedRSS = peakRSS() }

// ids draws n random tokens.
func (m *measurement) ids(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = m.rng.Int32N(int32(m.w.Model.Info().Vocab))
	}
	return out
}

// batch is Batch sequences of Tokens random tokens; the log-probability of each but the
// first is wanted.
func (m *measurement) batch() []lm.Sequence {
	out := make([]lm.Sequence, m.Batch)
	for i := range out {
		out[i].Tokens = m.ids(m.Tokens)
		for t := 1; t < m.Tokens; t++ {
			out[i].Targets = append(out[i].Targets, int32(t))
		}
	}
	return out
}

// lora puts a random adapter on the model. Its B is not zero, so that the adapter does
// work where it is evaluated only.
func (m *measurement) lora(trainable bool, head *adapter.Head) (*ggml.Adapter, error) {
	a, err := adapter.New(m.w.Model.Shape(), m.Targets, m.Rank, float32(2*m.Rank), false, m.rng.Uint64())
	if err != nil {
		return nil, err
	}
	for _, p := range a.Pairs {
		for i := range p.B {
			p.B[i] = float32(1e-3 * m.rng.NormFloat64())
		}
	}
	a.Head = head
	return m.w.Adapter(a, trainable)
}
