package export

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/merge"
	"steer/ggml/modelfile"
)

// Format is a form that adapters leave in.
type Format string

// The formats.
const (
	FormatPEFT Format = "peft" // a PEFT folder, for transformers
	FormatGGUF Format = "gguf" // a LoRA GGUF file, for llama.cpp and Ollama
	FormatRank Format = "rank" // a model with the head of a reward model, for llama.cpp
)

// Values lists the formats.
func (Format) Values() []string {
	return []string{string(FormatPEFT), string(FormatGGUF), string(FormatRank)}
}

// One is the adapter of a stack; several are joined.
func (s Stack) One() (*adapter.Adapter, []string, error) {
	if len(s.Paths) == 1 && len(s.Scales) == 0 {
		placed, notes, err := s.Load()
		if err != nil {
			return nil, nil, err
		}
		return placed[0].Adapter, notes, nil
	}
	c, notes, err := s.Combine()
	if err != nil {
		return nil, nil, err
	}
	return c.Adapter, notes, nil
}

// PEFT writes the adapters of a stack as a PEFT folder; see [adapter.ExportPEFT].
func (s Stack) PEFT(dir, baseName string) (a *adapter.Adapter, notes []string, err error) {
	s.alone = len(s.Paths) == 1
	shape, err := modelfile.Shape(s.Model)
	if err != nil {
		return nil, nil, err
	}
	if a, notes, err = s.One(); err != nil {
		return nil, nil, err
	}
	if err := adapter.ExportPEFT(a, dir, shape, baseName); err != nil {
		return nil, nil, err
	}
	if h := a.Head; h != nil && !h.HasBias {
		notes = append(notes, "the head is the score layer of a sequence classifier with num_labels=1, which reads "+
			"the last token that is not padding: set pad_token_id where texts are padded")
		if h.Std != 0 {
			notes = append(notes, "scores there are "+rawText(h))
		}
		if slices.Contains(unclassified, a.Arch) {
			notes = append(notes, fmt.Sprintf("transformers has no sequence classifier for architecture %s (5.23): "+
				"its base model's last hidden state times base_model.model.score.weight is the score", a.Arch))
		}
	}
	if h := a.Head; h != nil && h.HasBias {
		notes = append(notes, "the value head is in v_head.safetensors, as TRL has it: PEFT itself does not read it")
	}
	return a, notes, nil
}

// unclassified are the architectures that transformers has no ...ForSequenceClassification of.
var unclassified = []string{"granite"}

// rawText says how a raw score becomes that of steer.
func rawText(h *adapter.Head) string {
	return fmt.Sprintf("raw: steer's are (raw - %g) / %g", h.Mean, h.Std)
}

// GGUF writes the adapters of a stack as a LoRA GGUF file.
func (s Stack) GGUF(path string) (a *adapter.Adapter, notes []string, err error) {
	s.alone = len(s.Paths) == 1
	if a, notes, err = s.One(); err != nil {
		return nil, nil, err
	}
	if a.Head != nil {
		notes = append(notes, fmt.Sprintf("the %s is kept in keys of steer's own: llama.cpp and Ollama do not read it",
			headName(a.Head)))
	}
	return a, notes, a.Save(path)
}

// The kinds of pooling in llama.cpp (enum llama_pooling_type).
const (
	poolingLast = 3
	poolingRank = 4
)

// ranked are the architectures whose classification head llama.cpp reads (tensor cls.output); of those
// that can be trained here. It takes a softmax over the head's outputs.
var ranked = []string{"qwen3"}

// Rank writes a reward model for llama.cpp: the base with the adapters in its weights, in the type t, and
// the head. Where llama.cpp reads a classification head, the file ranks (pooling type RANK); it takes a
// softmax of the outputs, so the head gets a second output that is always zero, and what llama.cpp gives
// first is σ(raw). Elsewhere the file gives the hidden state of the last token (pooling type LAST), and
// the head lies in its metadata, under steer.head.weight.
func (s Stack) Rank(ctx context.Context, path string, t Type) (notes []string, err error) {
	a, notes, err := s.One()
	if err != nil {
		return nil, err
	}
	h := a.Head
	if h == nil || h.HasBias {
		return nil, fmt.Errorf("%s: want a reward model, whose head scores a text: this adapter has %s",
			strings.Join(s.Paths, ", "), map[bool]string{true: "no head", false: "a value head"}[h == nil])
	}
	f, err := modelfile.Open(s.Model)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := fits(a, f); err != nil {
		return nil, err
	}
	base, err := s.Hashes.Sum(s.Model)
	if err != nil {
		return nil, err
	}
	meta := map[string]string{"steer.merged.base_sha256": base, "steer.merged.adapters": a.ContentSHA256()}
	for k, v := range a.Meta {
		meta["steer.meta."+k] = v
	}
	_, more, err := store(ctx, func(t merge.Type) (*gguf.Writer, *merge.Report, error) {
		w, r, err := merge.Model(f, a, t, meta, a.Arch+".pooling_type", a.Arch+".classifier.output_labels")
		if err == nil {
			addHead(w, a)
		}
		return w, r, err
	}, path, t)
	return append(append(notes, rankNotes(a)...), more...), err
}

// addHead writes the head of a reward model where llama.cpp reads it, or else into the metadata.
func addHead(w *gguf.Writer, a *adapter.Adapter) {
	h := a.Head
	w.SetFloat32("steer.head.mean", h.Mean)
	w.SetFloat32("steer.head.std", h.Std)
	if !slices.Contains(ranked, a.Arch) {
		w.SetUint32(a.Arch+".pooling_type", poolingLast)
		w.SetFloat32s("steer.head.weight", h.Weight)
		return
	}
	w.SetUint32(a.Arch+".pooling_type", poolingRank)
	w.SetStrings(a.Arch+".classifier.output_labels", []string{"score", "zero"})
	w.AddF32("cls.output.weight", []int64{int64(len(h.Weight)), 2},
		append(slices.Clone(h.Weight), make([]float32, len(h.Weight))...))
}

// rankNotes say how the score comes out of llama.cpp.
func rankNotes(a *adapter.Adapter) []string {
	scores := "that score is raw, as steer's"
	if a.Head.Std != 0 {
		scores = "that score is " + rawText(a.Head)
	}
	if slices.Contains(ranked, a.Arch) {
		return []string{"llama.cpp takes a softmax of this architecture's outputs: the first of the two that it " +
			"gives is σ(raw), and raw = log(p / (1 - p))", scores}
	}
	return []string{fmt.Sprintf("llama.cpp reads no classification head of architecture %s (it does of %s): the "+
		"file gives the hidden state of the last token (llama-embedding --pooling last --embd-normalize -1), and "+
		"its product with steer.head.weight is the score", a.Arch, strings.Join(ranked, ", ")), scores}
}

// fits checks that an adapter is one for an open model.
func fits(a *adapter.Adapter, f *gguf.File) error {
	shape, err := adapter.ShapeOf(f)
	if err != nil {
		return err
	}
	return a.Check(shape)
}
