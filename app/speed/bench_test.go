package speed

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/lm"
)

// A shape small enough to count by hand: 2 layers, n_embd 4, n_ff 6, 2 heads of 2 over 1
// kv head, 10 tokens. Weights: q 16, k 8, v 8, o 16, gate 24, up 24, down 24: 120 a layer;
// output matrix 40.
var handShape = adapter.Shape{Layers: 2, Embd: 4, FF: 6, Heads: 2, KVHeads: 1, HeadDim: 2}

func TestWorkByHand(t *testing.T) {
	w, err := weightsOf(handShape, 10)
	require.NoError(t, err)
	require.Equal(t, weights{linear: 240, layer: 120, head: 40}, w)
	// 5 tokens, 3 targets: 2*240*5 + 2*40*3
	require.Equal(t, 2640.0, w.forward(5, 3))
	// forward and dX of both
	require.Equal(t, 5280.0, w.train(5, 3, false))
	// and the first layer once more, neither the last nor the output matrix: + 2*120*5
	require.Equal(t, 6480.0, w.train(5, 3, true))
	// 2 episodes of 3+2 tokens, 10 tokens and 4 targets: sampling, policy and reference
	// 3*(2*240*10 + 2*40*4), reward 2*240*10, 2 epochs of 2*5120 + 2*120*10.
	m := measurement{Spec: Spec{Episodes: 2, Prompt: 3, New: 2, Epochs: 2}, weights: w}
	require.Equal(t, 3*5120+4800+2*12640.0, m.ppoWork())
}

func TestSpreadIsMedianAndExtremes(t *testing.T) {
	require.Equal(t, Spread{Median: 2, Min: 1, Max: 9}, spreadOf([]float64{9, 1, 2}))
	require.Equal(t, Spread{Median: 3, Min: 1, Max: 9}, spreadOf([]float64{9, 2, 1, 4}))
	require.Equal(t, Spread{Median: 5, Min: 2.5, Max: 10}, rates(10, []float64{1, 2, 4}))
}

func TestTypesOfTheMix(t *testing.T) {
	s, err := ShapeOf("llama-2-7b")
	require.NoError(t, err)
	var q6 []int
	for layer := range s.Layers {
		require.Equal(t, gguf.TypeQ4K, typeOf(mixQ4KM, gguf.TypeQ4K, s, "attn_q", layer))
		v, down := typeOf(mixQ4KM, gguf.TypeQ4K, s, "attn_v", layer),
			typeOf(mixQ4KM, gguf.TypeQ4K, s, "ffn_down", layer)
		require.Equal(t, v, down)
		if v == gguf.TypeQ6K {
			q6 = append(q6, layer)
		}
	}
	require.Equal(t, []int{0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31}, q6)
	require.Equal(t, gguf.TypeQ6K, typeOf(mixQ4KM, gguf.TypeQ4K, s, "output", 0))
	require.Equal(t, gguf.TypeQ4K, typeOf(mixQ4KM, gguf.TypeQ4K, s, "token_embd", 0))
	// rows of 576 are no super-blocks
	s, err = ShapeOf("smollm2-135m")
	require.NoError(t, err)
	require.Equal(t, gguf.TypeQ5_0, typeOf(mixQ4KM, gguf.TypeQ4K, s, "attn_q", 0))
	require.Equal(t, gguf.TypeQ8_0, typeOf(mixQ4KM, gguf.TypeQ4K, s, "token_embd", 0), "it is the output matrix too")
	require.Equal(t, gguf.TypeQ6K, typeOf(mixQ4KM, gguf.TypeQ4K, s, "ffn_down", 0))
}

// The published llama-2-7b.Q4_K_M.gguf has 4,081,004,224 bytes, 0.7 MB of them vocabulary.
func TestMixHasTheSizeOfThePublishedFile(t *testing.T) {
	s, err := ShapeOf("llama-2-7b")
	require.NoError(t, err)
	var total float64
	add := func(target string, layer, nIn, nOut int) {
		elements, bytes := typeOf(mixQ4KM, gguf.TypeQ4K, s, target, layer).Block()
		total += float64(nIn) * float64(nOut) / float64(elements) * float64(bytes)
	}
	add("token_embd", 0, s.Embd, s.Vocab)
	add("output", 0, s.Embd, s.Vocab)
	for layer := range s.Layers {
		for _, target := range adapter.Targets() {
			nIn, nOut, err := s.adapter().Dims(target)
			require.NoError(t, err)
			add(target, layer, nIn, nOut)
		}
	}
	require.InDelta(t, 4081004224-0.7e6, total+4*float64((2*s.Layers+1)*s.Embd), 0.1e6)
}

func TestSyntheticModelLoadsWithTheShapeAsked(t *testing.T) {
	dir := t.TempDir()
	for _, typ := range TypeNames() {
		path, err := Synthetic(dir, "tiny", typ, "llama")
		require.NoError(t, err, typ)
		f, err := gguf.Open(path)
		require.NoError(t, err, typ)
		got, err := adapter.ShapeOf(f)
		require.NoError(t, err, typ)
		shape, err := ShapeOf("tiny")
		require.NoError(t, err)
		require.Equal(t, shape.adapter(), got)
		var elements int64
		for _, info := range f.Tensors() {
			elements += info.Elements()
		}
		w, err := weightsOf(got, shape.Vocab)
		require.NoError(t, err)
		require.EqualValues(t, w.linear+w.head+float64((2*shape.Layers+1)*shape.Embd), elements,
			"weights, head and norms")
		require.NoError(t, f.Close())
		again, err := Synthetic(dir, "tiny", typ, "llama")
		require.NoError(t, err)
		require.Equal(t, path, again)
	}
}

func TestSyntheticModelIsTheSameEveryTime(t *testing.T) {
	shape, err := ShapeOf("tiny")
	require.NoError(t, err)
	var files [2][]byte
	for i := range files {
		w, err := synthesize(shape, "q4_k_m")
		require.NoError(t, err)
		files[i], err = w.Bytes()
		require.NoError(t, err)
	}
	require.Equal(t, files[0], files[1])
}

// spec is a job small enough for a test, on one thread so that a busy machine does not
// make threads wait for each other.
func spec(t testing.TB, job Job) Spec {
	t.Helper()
	path, err := Synthetic(t.TempDir(), "tiny", "q8_0", "llama")
	require.NoError(t, err)
	s := Default(job)
	s.Model, s.Threads, s.Steps = path, 1, 2
	s.Batch, s.Tokens, s.Sequences, s.Prompt, s.New, s.Episodes, s.Epochs = 2, 16, 2, 4, 64, 4, 2
	return s
}

func TestMeasureEveryJob(t *testing.T) {
	report := NewReport("test")
	for _, job := range Job("").Values() {
		s := spec(t, Job(job))
		r, err := Measure(context.Background(), s)
		require.NoError(t, err, job)
		require.Zero(t, ggml.Alive(), job)
		report.Jobs = append(report.Jobs, r)
		require.Positive(t, r.PeakRSS, job)
		require.Positive(t, r.PeakF32GFLOPS, job)
		require.NotEmpty(t, r.Kernel, job)
		if s.Job == JobKernels {
			require.Len(t, r.Linears, 4, "q and output, k and v, gate and up, down")
			for _, l := range r.Linears {
				require.Positive(t, l.Forward)
				require.Positive(t, l.Backward)
			}
			continue
		}
		require.Len(t, r.Seconds, s.Steps, job)
		require.Positive(t, r.TokensPerSecond.Min, job)
		require.LessOrEqual(t, r.TokensPerSecond.Median, r.TokensPerSecond.Max, job)
		require.Positive(t, r.ShareOfPeak, job)
	}
	requireTable(t, report)
	requireGoBench(t, report)
	text, err := json.Marshal(report)
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, report.Jobs[0], back.Jobs[0])
}

// Micro-batches take less memory and compute the same: the loss is of the whole batch.
func TestMicroBatches(t *testing.T) {
	whole, parts := spec(t, JobTrainKeep), spec(t, JobTrainKeep)
	whole.Batch, parts.Batch, parts.MicroBatch = 4, 4, 2
	require.Equal(t, "train-keep 4x16", whole.Label())
	require.Equal(t, "train-keep 4x16/2", parts.Label())
	parts.Job = JobScore
	require.Equal(t, "score 4x16", parts.Label(), "scoring has none")
	parts.Job = JobTrainKeep

	a, err := Measure(context.Background(), whole)
	require.NoError(t, err)
	b, err := Measure(context.Background(), parts)
	require.NoError(t, err)
	require.Equal(t, a.Tokens, b.Tokens)
	require.Equal(t, a.FLOP, b.FLOP)
	require.Less(t, b.ScratchBytes, a.ScratchBytes*3/4)

	m := measurement{Spec: parts}
	batch := make([]lm.Sequence, 4)
	for i := range batch {
		batch[i] = lm.Sequence{Tokens: []int32{int32(i), 0, 0}, Targets: []int32{1, 2}}
	}
	got := m.microBatches(batch)
	require.Len(t, got, 2)
	var sequences []lm.Sequence
	for _, p := range got {
		sequences = append(sequences, p.batch...)
		require.Equal(t, [][]float32{{-0.125, -0.125}, {-0.125, -0.125}}, p.gradient.Logprobs)
	}
	require.Equal(t, batch, sequences)
	m.MicroBatch = 0
	require.Len(t, m.microBatches(batch), 1)
}

func requireTable(t *testing.T, p *Report) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, p.WriteTable(&out))
	for _, line := range strings.Split(out.String(), "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), Columns, line)
	}
	for _, r := range p.Jobs {
		if r.Spec.Job != JobKernels {
			require.Contains(t, out.String(), r.Label)
		}
	}
	require.Contains(t, out.String(), "gate up")
	require.Regexp(t, `(?m)^  prompts apart +\d+ \(\d+-\d+\)
  prompts shared +[\d.]+ \([\d.]+-[\d.]+\) times as fast$`, out.String())
}

func requireGoBench(t *testing.T, p *Report) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, p.WriteGoBench(&out))
	require.Equal(t, 2, strings.Count(out.String(), "BenchmarkTrainKeep/2x16-1 1 "), "one line a step: %s",
		out.String())
	require.Contains(t, out.String(), "BenchmarkLinearBack/q8_0-64x32-1 1 ")
	require.Equal(t, 2, strings.Count(out.String(), "BenchmarkGroup/4x8x4+64/apart-1 1 "), out.String())
}

// The widest things a table may hold.
func TestTableKeepsItsWidth(t *testing.T) {
	r := &Result{
		Spec: Default(JobPPO), Label: "ppo 10000x100000+100000", Kernel: "avx512bf16",
		Model: strings.Repeat("llama ", 40), Seconds: []float64{1234567},
		TokensPerSecond: Spread{123456.7, 99999.9, 234567.8}, GFLOPS: Spread{Median: 123456}, ShareOfPeak: 1,
		PeakRSS: 123456789012, PeakBF16GFLOPS: 1234, PeakF32GFLOPS: 1234,
		Linears: []Linear{{Targets: adapter.Targets(), Type: "iq4_nl", NIn: 16384, NOut: 53248, Forward: 1234.5,
			Backward: 1234.5}},
		Ops: []Op{{Op: strings.Repeat("op", 40), Count: 1 << 20, Seconds: 123456}},
	}
	r.Spec.Targets = r.Spec.Targets[:6]
	train := *r
	train.Label = "train-keep 16x1024/4"
	train.Seconds, train.Apart = []float64{0.1, 1}, []float64{123.456, 123456.78}
	p := &Report{CPU: strings.Repeat("CPU ", 40), CPUs: 512, Jobs: []*Result{r, &train}}
	var out bytes.Buffer
	require.NoError(t, p.WriteTable(&out))
	for _, line := range strings.Split(out.String(), "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), Columns, line)
	}
	require.Contains(t, out.String(), "\n"+train.Label+" ", "whole")
}

func TestSpecsThatCannotBeMeasured(t *testing.T) {
	for want, change := range map[string]func(*Spec){
		`job "trian": want one of train`:  func(s *Spec) { s.Job = "trian" },
		"steps: want 1 to 1048576, got 0": func(s *Spec) { s.Steps = 0 },
		"warmup: want 0":                  func(s *Spec) { s.Warmup = -1 },
		"micro_batch: want a divisor of batch (2), or 0 for all of it, got 3": func(s *Spec) {
			s.MicroBatch = 3
		},
		"or 0 for all of it, got -1":             func(s *Spec) { s.MicroBatch = -1 },
		"tokens: want 2":                         func(s *Spec) { s.Tokens = 1 },
		`precision "f16": want one of bf16, f32`: func(s *Spec) { s.Precision = "f16" },
		`targets: "attn_x": want some of attn_q`: func(s *Spec) {
			s.Targets = []string{"attn_x"}
		},
		`targets: "attn_q" is given twice`: func(s *Spec) {
			s.Targets = []string{"attn_q", "attn_q"}
		},
		"targets: want at least one":                func(s *Spec) { s.Targets = nil },
		"sequences: want 1 to 256, got 257":         func(s *Spec) { s.Sequences = 257 },
		`kernel: this CPU or build has no kernels`:  func(s *Spec) { s.Kernel = "sse9" },
		"no such file":                              func(s *Spec) { s.Model = "missing.gguf" },
		"longer than the context":                   func(s *Spec) { s.Job, s.New = JobRollout, 4096 },
		"4096 tokens, the model's context is 512":   func(s *Spec) { s.Tokens = 4096 },
		"rank 65: want 1 to 64, the smallest width": func(s *Spec) { s.Rank = 65 },
	} {
		s := spec(t, JobScore)
		change(&s)
		_, err := Measure(context.Background(), s)
		require.ErrorContains(t, err, want)
		require.Zero(t, ggml.Alive())
	}
}

func TestMeasuredPeak(t *testing.T) {
	one, err := ggml.MeasurePeak(1)
	require.NoError(t, err)
	require.Positive(t, one.F32)
	require.Equal(t, one.F32, one.Of(ggml.F32))
	if one.BF16 > 0 {
		require.Equal(t, one.BF16, one.Of(ggml.BF16))
	}
	_, err = ggml.MeasurePeak(-1)
	require.ErrorContains(t, err, "threads: want 1 or more")
}
