package workspace

import (
	"errors"
	"fmt"

	"steer/ggml"
	"steer/internal/machine"
)

// EngineConfig says how the engine computes.
type EngineConfig struct {
	// Device is where: cpu, cuda (the first GPU), cuda:N, or auto, a GPU if there is one.
	Device ggml.DeviceName `yaml:"device"`
	// Threads is the number of compute threads; 0: one for each CPU that the process has the time of.
	Threads int `yaml:"threads"`
	// Precision of the frozen matrices: bf16 or f32.
	Precision ggml.Precision `yaml:"precision"`
	// KeepActivations switches layer checkpointing off: faster, several times the memory.
	KeepActivations bool `yaml:"keep_activations"`
	// Sequences is how many answers are generated at once.
	Sequences int `yaml:"sequences"`

	CUDA ggml.CUDAOptions `yaml:"-"` // where a GPU's libraries are, for tests
}

// DefaultEngine is what a stage computes with unless told otherwise.
func DefaultEngine() EngineConfig {
	return EngineConfig{Device: ggml.CPU, Precision: ggml.BF16, Sequences: 64}
}

func (e EngineConfig) Validate() error {
	var errs []error
	if err := e.Device.Check(); err != nil {
		errs = append(errs, fmt.Errorf("engine.device: %w", err))
	}
	if e.Threads < 0 || e.Threads > 512 {
		errs = append(errs, fmt.Errorf("engine.threads: want 0 (all CPUs) to 512, got %d", e.Threads))
	}
	if e.Sequences < 1 || e.Sequences > 256 {
		errs = append(errs, fmt.Errorf("engine.sequences: want 1 to 256, got %d", e.Sequences))
	}
	return errors.Join(errs...)
}

// ThreadCount is the number of compute threads.
func (e EngineConfig) ThreadCount() int {
	if e.Threads == 0 {
		return machine.CPUs().Threads()
	}
	return e.Threads
}
