package export

import (
	"context"
	"fmt"
	"strings"

	"steer/ggml/adapter"
	"steer/ggml/gguf"
	"steer/ggml/merge"
	"steer/ggml/modelfile"
)

// MergeResult says what a merge did.
type MergeResult struct {
	*merge.Report
	Adapters int
	Notes    []string
}

// Merge writes the base with the adapters of a stack in its weights to out.
func (s Stack) Merge(ctx context.Context, out string, t Type) (*MergeResult, error) {
	placed, notes, err := s.Load()
	if err != nil {
		return nil, err
	}
	one, err := s.combine(placed)
	if err != nil {
		return nil, err
	}
	if one.HeadFrom >= 0 {
		notes = append(notes, fmt.Sprintf("the %s of %s is left out: a model file for generation has no place for it",
			headName(one.Head), placed[one.HeadFrom].Path))
	}
	r, more, err := s.mergeOne(ctx, one.Adapter, out, t)
	if err != nil {
		return nil, err
	}
	notes = append(notes, more...)
	if name, _ := top(placed).Template(); name != "" {
		notes = append(notes, fmt.Sprintf("the adapters were trained with template %s, which a merged model does not "+
			"remember: name it with --template", name))
	}
	return &MergeResult{Report: r, Adapters: len(placed), Notes: notes}, nil
}

// mergeOne writes the base with one adapter in its weights.
func (s Stack) mergeOne(ctx context.Context, a *adapter.Adapter, out string, t Type) (
	r *merge.Report, notes []string, err error) {
	f, err := modelfile.Open(s.Model)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	base, err := s.Hashes.Sum(s.Model)
	if err != nil {
		return nil, nil, err
	}
	meta := map[string]string{
		"steer.merged.base_sha256": base, "steer.merged.adapters": a.Meta[adapter.MetaCombined],
		"steer.merged.scales": a.Meta[adapter.MetaCombinedScales],
	}
	r, notes, err = store(ctx, func(t merge.Type) (*gguf.Writer, *merge.Report, error) {
		return merge.Model(f, a, t, meta)
	}, out, t)
	if err != nil {
		return nil, nil, fmt.Errorf("merging %s into %s: %w", strings.Join(s.Paths, ", "), s.Model, err)
	}
	return r, notes, nil
}

// top is the adapter above all others.
func top(placed []adapter.Placed) adapter.Placed { return placed[len(placed)-1] }
