package ggml

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// emulation is a file of build/cuda-emulation (make cuda-emulation), or the test is
// skipped aloud.
func emulation(t testing.TB, file string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../build/cuda-emulation", file))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("the emulated GPU is not built: run make cuda-emulation")
	}
	return path
}

// emulatedGPU is a GPU whose kernels run on the CPU, in memory that the host's code
// cannot touch.
func emulatedGPU(t testing.TB) DeviceOptions {
	return DeviceOptions{Name: CUDA, Threads: 1, CUDA: CUDAOptions{Library: emulation(t, "libsteer-cuda.so"),
		Driver: emulation(t, "libcuda-fit.so")}}
}

// Whole training steps, updates and decoding on the emulated GPU against the CPU.
func TestCUDAEmulation(t *testing.T) {
	compareWithCPU(t, emulatedGPU(t))
}

// The same on a GPU (make test-cuda).
func TestCUDA(t *testing.T) {
	if os.Getenv("STEER_TEST_CUDA") == "" {
		t.Skip("STEER_TEST_CUDA is not set: no GPU is tested (make test-cuda does)")
	}
	compareWithCPU(t, testDevice(t, 1))
}

// testDevice is the device that tests of no device in particular use: the CPU, or with
// STEER_TEST_CUDA the GPU of that name, or the emulated one for "emulation".
func testDevice(t testing.TB, threads int) DeviceOptions {
	switch name := os.Getenv("STEER_TEST_CUDA"); name {
	case "":
		return DeviceOptions{Threads: threads}
	case "emulation":
		return emulatedGPU(t)
	default:
		return DeviceOptions{Name: DeviceName(name), Threads: threads, CUDA: CUDAOptions{Library: cudaLibrary(t)}}
	}
}

// cudaLibrary is where make cuda puts the library; tests run elsewhere than the program.
func cudaLibrary(t testing.TB) string {
	path, err := filepath.Abs("../build/cuda/libsteer-cuda.so")
	require.NoError(t, err)
	return path
}

// openOn loads a model on a device until the end of the test.
func openOn(t testing.TB, opt DeviceOptions, path string) *Model {
	t.Helper()
	dev, err := OpenDevice(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close()) })
	m, err := LoadModel(dev, path, ModelOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// cudaCase is one way to train: what the GPU computes is compared with the CPU's f32 path.
type cudaCase struct {
	name  string
	path  string
	vocab int
	opt   StepOptions
}

// learner is a trainable stack of two adapters, the upper one with a scalar head.
func (c cudaCase) learner(t testing.TB, m *Model, p Precision) *Step {
	opt := c.opt
	opt.Adapters = []*Adapter{
		live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false),
		live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true),
	}
	opt.Train, opt.Precision = true, p
	return step(t, m, opt)
}

func cudaCases(t testing.TB) []cudaCase {
	plain := tiny(t, tinyShape, gguftest.Options{})
	llama3 := tiny(t, tinyShape, gguftest.Options{Untied: true, RopeFreqs: true, F16: true})
	mixed, _ := requantize(t, tiny(t, blockShape, gguftest.Options{}), q4KM)
	q80, _ := requantize(t, tiny(t, blockShape, gguftest.Options{}), func(string) gguf.Type { return gguf.TypeQ8_0 })
	return []cudaCase{
		{"f32, checkpointing, dropout", plain, tinyShape.Vocab, StepOptions{Dropout: 0.1}},
		{"f32, activations kept", plain, tinyShape.Vocab, StepOptions{KeepActivations: true}},
		{"f16, untied, rope factors", llama3, tinyShape.Vocab, StepOptions{}},
		{"Q4_K and Q6_K", mixed, blockShape.Vocab, StepOptions{}},
		{"Q8_0, dropout", q80, blockShape.Vocab, StepOptions{Dropout: 0.3}},
	}
}

// compareWithCPU runs everything the engine does on a GPU and on the CPU.
func compareWithCPU(t *testing.T, gpu DeviceOptions) {
	cpu := DeviceOptions{Name: CPU, Threads: 1}
	for _, c := range cudaCases(t) {
		t.Run(c.name, func(t *testing.T) {
			want := c.learner(t, openOn(t, cpu, c.path), F32)
			gpu.CUDA.CheckEach = c.opt.KeepActivations // the slow walk is right too
			m := openOn(t, gpu, c.path)
			t.Run("f32", func(t *testing.T) { compareSteps(t, c, want, c.learner(t, m, F32), 1e-5) })
			t.Run("f32, shared beginnings", func(t *testing.T) {
				compareShared(t, c, want, c.learner(t, m, F32), 1e-5)
			})
			t.Run("bf16", func(t *testing.T) { compareSteps(t, c, want, c.learner(t, m, BF16), 3e-2) })
		})
	}
	c := cudaCases(t)[0]
	t.Run("ten updates", func(t *testing.T) {
		compareTrajectories(t, c, c.learner(t, openOn(t, cpu, c.path), F32), c.learner(t, openOn(t, gpu, c.path), F32))
	})
	t.Run("decoding", func(t *testing.T) { compareDecoding(t, openOn(t, cpu, c.path), openOn(t, gpu, c.path)) })
	t.Run("divergence", func(t *testing.T) { compareKL(t, c, openOn(t, cpu, c.path), openOn(t, gpu, c.path)) })
	t.Run("embeddings", func(t *testing.T) { compareEmbeddings(t, cpu, gpu) })
	t.Run("the same bits again", func(t *testing.T) { repeatBits(t, c, openOn(t, gpu, c.path)) })
}

// compareEmbeddings looks up tokens in an untied embedding, which stays on the host, of each kind of type: values,
// blocks of 32 and of 256, those with a kernel of ours and those that ggml unpacks.
func compareEmbeddings(t *testing.T, cpu, gpu DeviceOptions) {
	from := tiny(t, blockShape, gguftest.Options{Untied: true})
	batch := raggedBatch(5, blockShape.Vocab, false, 9, 3, 20)
	for name, typ := range map[string]gguf.Type{
		"BF16": gguf.TypeBF16, "Q8_0": gguf.TypeQ8_0, "Q4_K": gguf.TypeQ4K, "IQ4_NL": gguf.TypeIQ4NL,
		"TQ1_0": gguf.TypeTQ1_0, "IQ3_S": gguf.TypeIQ3S,
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := requantize(t, from, func(tensor string) gguf.Type {
				if tensor == "token_embd.weight" {
					return typ
				}
				return gguf.TypeQ8_0
			})
			var out [2][]float32
			for k, opt := range []DeviceOptions{cpu, gpu} {
				m := openOn(t, opt, path)
				require.False(t, m.Info().Tied)
				s := step(t, m, StepOptions{Precision: F32})
				forward(t, s, raggedBatch(6, blockShape.Vocab, false, 30), lm.Options{}) // other rows before
				out[k] = flat(forward(t, s, batch, lm.Options{}).Logprobs)
			}
			e := relativeError(out[1], out[0])
			t.Logf("log-probabilities differ by %.2g", e)
			require.LessOrEqual(t, e, 1e-5)
		})
	}
}

func cudaBatch(c cudaCase) ([]lm.Sequence, lm.Gradient, lm.Options) {
	batch := raggedBatch(11, c.vocab, true, 9, 1, 4)
	batch[1].Heads = []int32{0} // its one token has no target
	return batch, randomGradient(12, batch, true), lm.Options{Entropy: true, EntropyGradient: true, Greedy: true,
		Temperature: 0.8, Dropout: c.opt.Dropout > 0}
}

// compareSteps compares outputs and gradients, with and without a gradient of entropies. tol is
// for the gradient as a whole: a single tensor's, small by cancellation, may be off by more.
func compareSteps(t *testing.T, c cudaCase, cpu, gpu *Step, tol float64) {
	batch, g, opt := cudaBatch(c)
	for _, entropy := range []bool{true, false} {
		opt.Entropy, opt.EntropyGradient = entropy, entropy
		if !entropy {
			g.Entropy = nil
		}
		want, wantGrads := gradients(t, cpu, batch, g, opt)
		got, gotGrads := gradients(t, gpu, batch, g, opt)
		outputs := max(relativeError(flat(got.Logprobs), flat(want.Logprobs)),
			relativeError(flat(got.Heads), flat(want.Heads)))
		require.LessOrEqual(t, outputs, tol, "outputs")
		if entropy {
			require.LessOrEqual(t, relativeError(flat(got.Entropy), flat(want.Entropy)), tol, "entropies")
		}
		whole := relativeError(allData(gotGrads), allData(wantGrads))
		require.LessOrEqual(t, whole, tol, "gradient")
		worst := requireClose(t, wantGrads, gotGrads, 3*tol, "GPU against CPU")
		t.Logf("entropy %v: outputs differ by %.2g, the gradient by %.2g, its worst tensor by %.2g", entropy, outputs,
			whole, worst)
	}
}

// compareShared compares the answers of sequences that share beginnings, two levels deep.
func compareShared(t *testing.T, c cudaCase, cpu, gpu *Step, tol float64) {
	rng := random(8)
	draw := func(n int) (ids []int32) {
		for range n {
			ids = append(ids, int32(rng.IntN(c.vocab)))
		}
		return ids
	}
	header, question := draw(9), draw(4)
	batch := asking(rng, join(header, question, draw(1)), join(header, question, draw(2)), join(header, draw(3)),
		draw(2))
	opt := lm.Options{Entropy: true, Greedy: true}
	want, got := forward(t, cpu, batch, opt), forward(t, gpu, batch, opt)
	for _, x := range [][2][][]float32{{want.Logprobs, got.Logprobs}, {want.Entropy, got.Entropy},
		{want.Heads, got.Heads}} {
		require.LessOrEqual(t, relativeError(flat(x[1]), flat(x[0])), tol)
	}
}

func allData(tensors []lm.Tensor) (all []float32) {
	for _, x := range tensors {
		all = append(all, x.Data...)
	}
	return all
}

// compareTrajectories takes ten clipped AdamW steps on both devices.
func compareTrajectories(t *testing.T, c cudaCase, cpu, gpu *Step) {
	batch, g, opt := cudaBatch(c)
	opt.Gradient = true
	u := lm.Update{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.01, MaxGradNorm: 1}
	for i := range 10 {
		var norm [2]float64
		var lp [2][]float32
		for k, s := range []*Step{cpu, gpu} {
			lp[k] = flat(forward(t, s, batch, opt).Logprobs)
			require.NoError(t, s.Backward(g))
			var err error
			norm[k], err = s.Update(u)
			require.NoError(t, err)
		}
		require.InEpsilon(t, norm[0], norm[1], 1e-3, "norm of the gradient at step %d", i)
		require.LessOrEqual(t, relativeError(lp[1], lp[0]), 1e-3, "log-probabilities at step %d", i)
	}
	want, err := cpu.State()
	require.NoError(t, err)
	got, err := gpu.State()
	require.NoError(t, err)
	worst := requireClose(t, want.Params, got.Params, 1e-3, "parameters after ten steps")
	t.Logf("parameters after ten steps differ by %.2g, second moments by %.2g", worst,
		requireClose(t, want.V, got.V, 1e-2, "second moments"))

	// a state goes to the device and back bit for bit
	require.NoError(t, gpu.SetState(want))
	back, err := gpu.State()
	require.NoError(t, err)
	require.Equal(t, want, back)
}

// compareDecoding compares logits with two adapters on, and that an update is seen by
// a session that was open before it.
func compareDecoding(t *testing.T, cpu, gpu *Model) {
	var logits [2][][]float32
	for k, m := range []*Model{cpu, gpu} {
		lower, upper := live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false),
			live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true)
		s, err := m.NewSession(SessionOptions{Adapters: []*Adapter{lower, upper}, Sequences: 3, Context: 40,
			KVF32: true})
		require.NoError(t, err)
		before, err := s.Logits([]int32{5, 17, 30, 2, 9})
		require.NoError(t, err)
		learner := step(t, m, StepOptions{Adapters: []*Adapter{lower, upper}, Train: true, Precision: F32})
		batch := raggedBatch(3, tinyShape.Vocab, false, 12)
		forward(t, learner, batch, lm.Options{Gradient: true})
		require.NoError(t, learner.Backward(randomGradient(4, batch, false)))
		_, err = learner.Update(lm.Update{LR: 0.05, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8})
		require.NoError(t, err)
		logits[k], err = s.Logits([]int32{5, 17, 30, 2, 9})
		require.NoError(t, err)
		require.Greater(t, relativeError(flat(logits[k]), flat(before)), 1e-2,
			"the update changed what the session decodes")

		out, err := s.Generate(context.Background(), []lm.Request{{Prompt: []int32{5, 17}, MaxNew: 9},
			{Prompt: []int32{30}, MaxNew: 9}}, lm.Sampling{})
		require.NoError(t, err)
		for i, r := range out { // greedy: each token is the likeliest after those before it
			prompt := [][]int32{{5, 17}, {30}}[i]
			all, err := s.Logits(append(slices.Clone(prompt), r.Tokens...))
			require.NoError(t, err)
			for j, id := range r.Tokens {
				row := all[len(prompt)+j-1]
				require.InDelta(t, slices.Max(row), row[id], 1e-3)
			}
		}
		require.NoError(t, s.Close())
	}
	e := relativeError(flat(logits[1]), flat(logits[0]))
	t.Logf("logits after an update differ by %.2g", e)
	require.LessOrEqual(t, e, 2e-3)
}

func compareKL(t *testing.T, c cudaCase, cpu, gpu *Model) {
	batch := raggedBatch(7, c.vocab, false, 14, 9)
	var kl [2][][]float32
	for k, m := range []*Model{cpu, gpu} {
		policy := step(t, m,
			StepOptions{Adapters: []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false)},
				Precision: F32})
		var err error
		kl[k], err = policy.FullKL(context.Background(), step(t, m, StepOptions{Precision: F32}), batch, lm.Options{})
		require.NoError(t, err)
	}
	require.LessOrEqual(t, relativeError(flat(kl[1]), flat(kl[0])), 1e-4)
}

// repeatBits computes a step twice, with another one of another shape between.
func repeatBits(t *testing.T, c cudaCase, m *Model) {
	batch, g, opt := cudaBatch(c)
	s := c.learner(t, m, BF16)
	out, grads := gradients(t, s, batch, g, opt)
	forward(t, s, raggedBatch(1, c.vocab, true, 20, 4), lm.Options{})
	again, gradsAgain := gradients(t, s, batch, g, opt)
	require.Equal(t, out, again)
	require.Equal(t, grads, gradsAgain)
}
