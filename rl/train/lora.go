package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"steer/ggml/adapter"
)

// LoRA configures the adapter a stage trains.
type LoRA struct {
	// Rank of each pair.
	Rank int `yaml:"rank"`
	// Alpha scales the update by alpha/rank, or alpha/sqrt(rank) with RsLoRA.
	Alpha float64 `yaml:"alpha"`
	// Dropout is the probability with which an input of A is zeroed in training.
	Dropout float64 `yaml:"dropout"`
	// RsLoRA is the scaling of Kalajdzievski 2023.
	RsLoRA bool `yaml:"rslora"`
	// Targets are the adapted weights: attn_q attn_k attn_v attn_output ffn_gate
	// ffn_up ffn_down.
	Targets []string `yaml:"targets"`
}

// Validate says which field is out of its range; key is the place of LoRA in the
// configuration ("lora").
func (l LoRA) Validate(key string) error {
	known := strings.Join(adapter.AllTargets(), ", ")
	switch {
	case l.Rank < 1:
		return fmt.Errorf("%s.rank: want at least 1, got %d", key, l.Rank)
	case !(l.Alpha > 0) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("%s.alpha: want more than 0, got %v", key, l.Alpha)
	case !(l.Dropout >= 0 && l.Dropout < 1):
		return fmt.Errorf("%s.dropout: want at least 0 and less than 1, got %v", key, l.Dropout)
	case len(l.Targets) == 0:
		return fmt.Errorf("%s.targets: want at least one of %s", key, known)
	}
	for i, t := range l.Targets {
		if !slices.Contains(adapter.AllTargets(), t) {
			return fmt.Errorf("%s.targets[%d]: want one of %s, got %q", key, i, known, t)
		}
		if slices.Contains(l.Targets[:i], t) {
			return fmt.Errorf("%s.targets[%d]: %q is given twice", key, i, t)
		}
	}
	return nil
}
