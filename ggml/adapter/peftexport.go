package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"steer/ggml/adapter/safetensors"
	"steer/internal/atomicfile"
)

// ExportPEFT writes a as a PEFT folder for transformers, creating dir if needed.
// baseName becomes base_model_name_or_path; it may be empty.
//
// A head without bias is written as the score layer of
// LlamaForSequenceClassification, one with bias as TRL's v_head. Its normalisation
// and Meta are kept in the safetensors metadata, which PEFT skips.
func ExportPEFT(a *Adapter, dir string, shape Shape, baseName string) error {
	if err := a.Check(shape); err != nil {
		return err
	}
	config, err := json.MarshalIndent(peftConfigOf(a, baseName), "", "  ")
	if err != nil {
		return fmt.Errorf("adapter: %s: %w", configFile, err)
	}
	weights, err := safetensors.Bytes(peftTensors(a, shape), peftMetadata(a))
	if err != nil {
		return fmt.Errorf("adapter: %w", err)
	}
	var head []byte
	if h := a.Head; h != nil && h.HasBias {
		head, err = safetensors.Bytes([]safetensors.Tensor{
			{Name: vHeadWeight, Shape: []int64{1, int64(len(h.Weight))}, Data: h.Weight},
			{Name: vHeadBias, Shape: []int64{1}, Data: []float32{h.Bias}},
		}, nil)
		if err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
	}
	return writeFolder(dir, append(config, '\n'), weights, head)
}

// writeFolder writes the config last, so that an interrupted export into a fresh
// folder is not taken for an adapter.
func writeFolder(dir string, config, weights, head []byte) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("adapter: %w", err)
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, weightsFile), weights, 0o644); err != nil {
		return err
	}
	if head != nil {
		if err := atomicfile.WriteFile(filepath.Join(dir, headFile), head, 0o644); err != nil {
			return err
		}
	} else if err := os.Remove(filepath.Join(dir, headFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("adapter: removing the head of an earlier export: %w", err)
	}
	return atomicfile.WriteFile(filepath.Join(dir, configFile), config, 0o644)
}

func peftTensors(a *Adapter, shape Shape) []safetensors.Tensor {
	var out []safetensors.Tensor
	for _, p := range a.Pairs {
		layer, target, _ := parseName(p.Name) // a was checked
		b := p.B
		if heads := permutedHeads(target, shape); heads > 0 {
			b = toHFRows(b, heads, shape.HeadDim, p.Rank)
		}
		name := peftPrefix + shape.moduleName(layer, target)
		out = append(out,
			safetensors.Tensor{Name: name + ".lora_A.weight", Shape: []int64{int64(p.Rank), int64(p.NIn)}, Data: p.A},
			safetensors.Tensor{Name: name + ".lora_B.weight", Shape: []int64{int64(p.NOut), int64(p.Rank)}, Data: b})
	}
	if h := a.Head; h != nil && !h.HasBias {
		out = append(out, safetensors.Tensor{Name: scoreName, Shape: []int64{1, int64(len(h.Weight))}, Data: h.Weight})
	}
	return out
}

func peftMetadata(a *Adapter) map[string]string {
	m := map[string]string{"format": "pt"} // transformers wants it
	for k, v := range a.Meta {
		m[prefixedMeta+k] = v
	}
	if h := a.Head; h != nil && (h.Mean != 0 || h.Std != 0) {
		m[metaMean] = strconv.FormatFloat(float64(h.Mean), 'g', -1, 32)
		m[metaStd] = strconv.FormatFloat(float64(h.Std), 'g', -1, 32)
	}
	return m
}
