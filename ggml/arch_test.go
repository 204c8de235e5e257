package ggml

import (
	"context"
	"fmt"
	"maps"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
)

// eachArch runs a test on a model of every family.
func eachArch(t *testing.T, f func(t *testing.T, path string)) {
	for _, name := range archs {
		t.Run(name, func(t *testing.T) { f(t, archFile(t, name)) })
	}
}

// archBatch has sequences on both sides of every model's window.
func archBatch(vocab int) []lm.Sequence { return raggedBatch(3, vocab, true, 40, 1, 7, 61, 2) }

// Adapter with head and loss of everything that can be asked, as differences see it.
func archLearner(t *testing.T, m *Model, p Precision, keep bool) *Step {
	below := live(t, m, randomAdapter(t, m, adapter.Targets(), 1, false), false)
	top := live(t, m, randomAdapter(t, m, adapter.Targets(), 2, true), true)
	return step(t, m, StepOptions{Adapters: []*Adapter{below, top}, Train: true, Precision: p, KeepActivations: keep})
}

// Computing layers again gives the very bits of keeping them, in both arithmetics.
func TestArchPlainEqualsCheckpointed(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		batch := archBatch(m.info.Vocab)
		g := randomGradient(4, batch, true)
		opt := lm.Options{Entropy: true, EntropyGradient: true, Temperature: 0.8}
		eachPrecision(t, func(t *testing.T, p Precision) {
			want, wantGrads := gradients(t, archLearner(t, m, p, true), batch, g, opt)
			got, gotGrads := gradients(t, archLearner(t, m, p, false), batch, g, opt)
			require.Equal(t, want, got)
			require.Equal(t, wantGrads, gotGrads)
		})
	})
}

// Every tensor's gradient, of log-probabilities, entropies and the scalar head, against the central
// difference of the forward pass along it.
func TestArchDirectionalDifferences(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		batch := archBatch(m.info.Vocab)
		c := randomGradient(4, batch, true)
		for _, entropy := range []bool{false, true} { // two ops of the head
			g := c
			if !entropy {
				g.Entropy = nil
			}
			opt := lm.Options{Entropy: entropy, EntropyGradient: entropy, Temperature: 1.3}
			s := archLearner(t, m, F32, false)
			_, grads := gradients(t, s, batch, g, opt)
			loss := func() (sum float64) {
				out := forward(t, s, batch, lm.Options{Entropy: entropy, Temperature: 1.3})
				for i := range batch {
					sum += dot(g.Logprobs[i], out.Logprobs[i]) + dot(g.Heads[i], out.Heads[i])
					if entropy {
						sum += dot(g.Entropy[i], out.Entropy[i])
					}
				}
				return sum
			}
			state, err := s.State()
			require.NoError(t, err)
			worst := 0.0
			for k := range grads {
				// A step along the gradient that changes the loss by some hundredths.
				size := norm(grads[k].Data)
				h := math.Min(0.03/size, 0.02*math.Sqrt(float64(len(grads[k].Data))))
				ends := [2]float64{}
				for e, sign := range []float64{1, -1} {
					st := moved(state, k, grads[k].Data, sign*h/size)
					require.NoError(t, s.SetState(st))
					ends[e] = loss()
				}
				err := math.Abs((ends[0]-ends[1])/(2*h)-size) / size
				worst = max(worst, err)
				require.LessOrEqual(t, err, 0.02, grads[k].Name)
			}
			require.NoError(t, s.SetState(state))
			t.Logf("entropy %t: %d tensors, largest error %.1g", entropy, len(grads), worst)
		}
	})
}

// moved is a state with one tensor moved along a direction.
func moved(of *lm.State, k int, along []float32, by float64) *lm.State {
	s := *of
	params := append([]lm.Tensor{}, s.Params...)
	params[k].Data = append([]float32{}, params[k].Data...)
	for i, d := range along {
		params[k].Data[i] += float32(by * float64(d))
	}
	s.Params = params
	return &s
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// Shared beginnings change no bit, also where a window ends within them.
func TestArchSharingChangesNothing(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		rng := random(5)
		draw := func(n int) (ids []int32) {
			for range n {
				ids = append(ids, int32(rng.IntN(m.info.Vocab)))
			}
			return ids
		}
		header, question := draw(37), draw(19)
		batch := []lm.Sequence{
			all(join(header, question, draw(3))), all(join(header, question, draw(70))), all(join(header, draw(5))),
			all(join(header, question[:4])), all(draw(9)), all(join(header[:20], draw(150))),
		}
		opt := lm.Options{Entropy: true, Greedy: true, Temperature: 0.8}
		eachPrecision(t, func(t *testing.T, p Precision) {
			s := archLearner(t, m, p, false)
			out := forward(t, s, batch, opt)
			for i := range batch {
				requireSame(t, forward(t, s, batch[i:i+1], opt), 0, out, i, "alone", fmt.Sprint(i))
			}
			whole := opt
			whole.Gradient = true
			require.Equal(t, forward(t, s, batch, whole), out)
		})
	})
}

// libllama's decode and our forward pass are one model.
func TestArchDecodeEqualsForward(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		stack := []*Adapter{
			live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), false),
			live(t, m, randomAdapter(t, m, adapter.Targets(), 4, false), false),
		}
		tokens := raggedBatch(3, m.info.Vocab, false, 90)[0].Tokens
		want := forward(t, step(t, m, StepOptions{Adapters: stack, Precision: F32}), []lm.Sequence{all(tokens)},
			lm.Options{})
		got := decodeLogprobs(t, session(t, m, SessionOptions{Sequences: 1, Context: 96, Adapters: stack}), tokens)
		largest, mean := maxMean(got, want.Logprobs[0])
		t.Logf("%d log-probabilities: max %.1g, mean %.1g", len(got), largest, mean)
		require.LessOrEqual(t, largest, 5*decodeTol)
	})
}

// An answer depends on its own request alone, to the bit, in the company of others too.
func TestArchDecodingAlone(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		stack := []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), false)}
		s, err := m.NewSession(SessionOptions{Sequences: 6, Context: 128, Adapters: stack})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		prompts := promptsOf(6, m.info.Vocab, 3)
		together := decodedLogits(t, s, prompts)
		for i := range prompts {
			require.Equal(t, decodedLogits(t, s, prompts[i:i+1])[0], together[i], "prompt %d", i)
		}
	})
}

// A family's model generates with an adapter that is being trained.
func TestArchGenerates(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		s, err := m.NewSession(SessionOptions{Sequences: 2, Context: 64})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		got, err := s.Generate(context.Background(),
			[]lm.Request{{Prompt: []int32{5, 6, 7}, MaxNew: 8}, {Prompt: []int32{9}, MaxNew: 3}}, lm.Sampling{})
		require.NoError(t, err)
		require.Len(t, got, 2)
	})
}

// RoPE's scalings, which no golden has: libllama's decode and our forward compute the same ones.
func TestRopeDecodesAsItTrains(t *testing.T) {
	yarn := func(arch string, more map[string]any) map[string]any {
		keys := map[string]any{
			arch + ".rope.scaling.type": "yarn", arch + ".rope.scaling.factor": float32(4),
			arch + ".rope.scaling.original_context_length": uint32(24),
		}
		maps.Copy(keys, more)
		return keys
	}
	for _, c := range []struct {
		name, arch string
		keys       map[string]any
	}{
		{"yarn", "llama", yarn("llama", nil)},
		{"yarn with a magnitude", "llama",
			yarn("llama", map[string]any{"llama.rope.scaling.attn_factor": float32(1.2)})},
		{"a magnitude alone", "llama", map[string]any{"llama.rope.scaling.attn_factor": float32(1.3)}},
		{"mistral3", "mistral3", nil},
		{"mistral3, yarn, growing queries", "mistral3", yarn("mistral3", map[string]any{
			"mistral3.attention.temperature_scale": float32(0.3), "mistral3.rope.scaling.yarn_beta_fast": float32(16),
			"mistral3.rope.scaling.yarn_log_multiplier": float32(0.7),
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := edited(t, tiny(t, tinyShape, gguftest.Options{Arch: c.arch}), edit{keys: c.keys})
			m := openTiny(t, path)
			stack := []*Adapter{live(t, m, randomAdapter(t, m, adapter.Targets(), 3, false), false)}
			tokens := raggedBatch(3, tinyShape.Vocab, false, 90)[0].Tokens
			want := forward(t, step(t, m, StepOptions{Adapters: stack, Precision: F32}), []lm.Sequence{all(tokens)},
				lm.Options{})
			got := decodeLogprobs(t, session(t, m, SessionOptions{Sequences: 1, Context: 96, Adapters: stack}), tokens)
			largest, mean := maxMean(got, want.Logprobs[0])
			t.Logf("%d log-probabilities: max %.1g, mean %.1g", len(got), largest, mean)
			require.LessOrEqual(t, largest, decodeTol)
		})
	}
}

// Whole steps of every family on the emulated GPU against the CPU.
func TestArchOnTheEmulatedGPU(t *testing.T) {
	gpu := emulatedGPU(t)
	for _, name := range []string{"qwen2", "qwen3", "gemma2", "gemma3", "phi3_partial", "granite", "olmo3", "smollm3"} {
		t.Run(name, func(t *testing.T) {
			c := cudaCase{name: name, path: archFile(t, name)}
			cpuModel := openOn(t, DeviceOptions{Name: CPU, Threads: 1}, c.path)
			c.vocab = cpuModel.info.Vocab
			want := c.learner(t, cpuModel, F32)
			m := openOn(t, gpu, c.path)
			t.Run("f32", func(t *testing.T) { compareSteps(t, c, want, c.learner(t, m, F32), 2e-5) })
			t.Run("f32, shared beginnings",
				func(t *testing.T) { compareShared(t, c, want, c.learner(t, m, F32), 2e-5) })
		})
	}
}
