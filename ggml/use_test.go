package ggml

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
)

// split writes a model as n parts, as llama-gguf-split does, and returns their paths.
func split(t testing.TB, from string, n int) (paths []string) {
	t.Helper()
	f, err := gguf.Open(from)
	require.NoError(t, err)
	defer f.Close()
	dir := t.TempDir()
	for i := range n {
		w := gguf.NewWriter()
		if i == 0 {
			for _, key := range f.Keys() {
				w.SetValue(key, f.Value(key))
			}
		}
		w.SetValue("split.no", uint16(i))
		w.SetValue("split.count", uint16(n))
		w.SetValue("split.tensors.count", int32(len(f.Tensors())))
		for k, info := range f.Tensors() {
			if k*n/len(f.Tensors()) == i {
				data, err := f.TensorData(info.Name)
				require.NoError(t, err)
				w.AddRaw(info.Name, info.Type, info.Dims, data)
			}
		}
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("tiny-%05d-of-%05d.gguf", i+1, n)))
		require.NoError(t, w.Save(paths[i]))
	}
	return paths
}

// A split model is the whole one, whichever part is given.
func TestSplitModels(t *testing.T) {
	whole := tiny(t, tinyShape, gguftest.Options{})
	parts := split(t, whole, 3)
	batch := raggedBatch(3, tinyShape.Vocab, false, 20, 5)
	want := forward(t, step(t, openTiny(t, whole), StepOptions{Precision: F32}), batch, lm.Options{})
	for _, p := range parts {
		m := openTiny(t, p)
		require.Equal(t, parts[0], m.Info().Path)
		require.Equal(t, want, forward(t, step(t, m, StepOptions{Precision: F32}), batch, lm.Options{}))
	}

	sum := func(path string) (string, error) { return filepath.Base(path), nil }
	hash, err := modelfile.SHA256(parts[0], sum)
	require.NoError(t, err)
	for _, p := range parts[1:] {
		same, err := modelfile.SHA256(p, sum)
		require.NoError(t, err)
		require.Equal(t, hash, same)
	}

	require.NoError(t, os.Rename(parts[2], parts[2]+".away"))
	require.ErrorContains(t, mustRefuse(t, parts[0]), "tiny-00003-of-00003.gguf: part 3 of 3 is missing")
	require.NoError(t, os.Rename(parts[1], parts[2]))
	require.NoError(t, os.Link(parts[2], parts[1]))
	require.ErrorContains(t, mustRefuse(t, parts[0]),
		"it says that it is part 2 of 3: the parts do not belong together")
	elsewhere := filepath.Join(t.TempDir(), "model.gguf")
	require.NoError(t, os.Link(parts[0], elsewhere))
	require.ErrorContains(t, mustRefuse(t, elsewhere), `its name must end in "-00001-of-00003.gguf"`)
}

// What libllama's decoding answers is what the training graph does.
func TestDecoderEqualsStep(t *testing.T) {
	eachArch(t, func(t *testing.T, path string) {
		m := openTiny(t, path)
		batch := raggedBatch(3, m.info.Vocab, false, 40, 7)
		for _, opt := range []lm.Options{{Entropy: true, Greedy: true}, {Temperature: 0.7, Entropy: true}} {
			want := forward(t, step(t, m, StepOptions{Precision: F32}), batch, opt)
			got, err := m.NewDecoder().Forward(context.Background(), batch, opt)
			require.NoError(t, err)
			require.Equal(t, want.Greedy, got.Greedy)
			for i := range batch {
				largest, _ := maxMean(got.Logprobs[i], want.Logprobs[i])
				require.LessOrEqual(t, largest, 5*decodeTol)
				largest, _ = maxMean(got.Entropy[i], want.Entropy[i])
				require.LessOrEqual(t, largest, 5*decodeTol)
			}
		}
	})
	// longer than one native call
	long := tinyShape
	long.Ctx = 1200
	m := openTiny(t, tiny(t, long, gguftest.Options{}))
	batch := raggedBatch(3, long.Vocab, false, 1100)
	want := forward(t, step(t, m, StepOptions{Precision: F32}), batch, lm.Options{})
	got, err := m.NewDecoder().Forward(context.Background(), batch, lm.Options{})
	require.NoError(t, err)
	largest, _ := maxMean(got.Logprobs[0], want.Logprobs[0])
	require.LessOrEqual(t, largest, 5*decodeTol)
}

// What cannot be trained can be decoded where that is asked for; training it is refused with the reason.
func TestModelsThatAreOnlyDecoded(t *testing.T) {
	path := tiny(t, tinyShape, gguftest.Options{Experts: 4})
	require.ErrorIs(t, mustRefuse(t, path), ErrUnsupportedModel)

	dev, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, dev.Close()) }()
	m, err := LoadModel(dev, path, ModelOptions{Decode: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.ErrorContains(t, m.Untrainable(), "a mixture of experts")
	_, err = m.NewStep(StepOptions{})
	require.ErrorContains(t, err, "can be decoded, not trained or scored: blk.0.ffn_gate_inp.weight: a mixture of "+
		"experts")
	_, err = m.NewAdapter(&adapter.Adapter{Arch: "llama", Alpha: 1}, true)
	require.ErrorIs(t, err, ErrUnsupportedModel)

	s, err := m.NewSession(SessionOptions{Sequences: 2, Context: 64})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	reqs := []lm.Request{{Prompt: []int32{5, 6, 7}, MaxNew: 8}, {Prompt: []int32{9}, MaxNew: 3}}
	together, err := s.Generate(context.Background(), reqs, lm.Sampling{})
	require.NoError(t, err)
	alone, err := s.Generate(context.Background(), reqs[1:], lm.Sampling{})
	require.NoError(t, err)
	require.Equal(t, together[1].Tokens, alone[0].Tokens)

	// what answers cost is what libllama's logits say
	batch := raggedBatch(3, tinyShape.Vocab, false, 20, 5)
	opt := lm.Options{Entropy: true, Greedy: true, Temperature: 0.8}
	out, err := m.NewDecoder().Forward(context.Background(), batch, opt)
	require.NoError(t, err)
	again, err := m.NewDecoder().Forward(context.Background(), batch[1:], opt)
	require.NoError(t, err)
	require.Equal(t, out.Logprobs[1:], again.Logprobs)
	_, err = m.NewDecoder().Forward(context.Background(), batch, lm.Options{Gradient: true})
	require.ErrorIs(t, err, ErrUnsupportedModel)

	// one that can be trained is loaded as ever
	m2, err := LoadModel(dev, tiny(t, tinyShape, gguftest.Options{}), ModelOptions{Decode: true})
	require.NoError(t, err)
	require.NoError(t, m2.Untrainable())
	require.NoError(t, m2.Close())
	// damage is never decoded
	damaged := edited(t, path, edit{keys: map[string]any{"llama.context_length": uint32(0)}})
	_, err = LoadModel(dev, damaged, ModelOptions{Decode: true})
	require.Error(t, err)
}
