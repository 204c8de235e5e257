package speed

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/ggml"
	"steer/ggml/adapter"
)

// Job names what is measured.
type Job string

// The jobs.
const (
	// JobTrain is a training step with layer checkpointing, AdamW included.
	JobTrain Job = "train"
	// JobTrainKeep is a training step that keeps all activations.
	JobTrainKeep Job = "train-keep"
	// JobScore computes the log-probabilities of given tokens, LoRA on.
	JobScore Job = "score"
	// JobRollout samples responses, LoRA on.
	JobRollout Job = "rollout"
	// JobGroup samples groups of responses to one prompt each, LoRA on, with the prompt shared and not.
	JobGroup Job = "group"
	// JobPPO is a PPO iteration: rollout, reward, log-probabilities, updates.
	JobPPO Job = "ppo"
	// JobGRPO is a GRPO iteration: rollout of groups, reward, log-probabilities, updates.
	JobGRPO Job = "grpo"
	// JobDPO is a DPO step: pairs through the policy, loss, gradient, update. The reference's log-probabilities are
	// known, as they are in a run: each is computed once.
	JobDPO Job = "dpo"
	// JobKernels multiplies frozen matrices alone.
	JobKernels Job = "kernels"
)

// Values lists the jobs in the order they are measured.
func (Job) Values() []string {
	return []string{string(JobTrain), string(JobTrainKeep), string(JobScore), string(JobRollout), string(JobGroup),
		string(JobPPO), string(JobGRPO), string(JobDPO), string(JobKernels)}
}

// Trains tells whether a job needs the training graph; the others measure whatever libllama decodes.
func (j Job) Trains() bool { return j != JobScore && j != JobRollout && j != JobGroup }

// Spec is one measurement; the zero value of no field but those named means anything.
type Spec struct {
	Job   Job    `json:"job"`
	Model string `json:"model"` // GGUF file

	Device    ggml.DeviceName `json:"device"`  // "": the CPU
	Threads   int             `json:"threads"` // 0: one for each CPU
	Kernel    string          `json:"kernel"`  // "": the best this CPU has
	Precision ggml.Precision  `json:"precision"`

	Rank    int      `json:"rank"`
	Targets []string `json:"targets"`

	Batch      int `json:"batch"`       // sequences of a training or scoring step
	MicroBatch int `json:"micro_batch"` // of these, how many a training step has in memory at once; 0: all
	Tokens     int `json:"tokens"`      // of each sequence; rows of the kernels job
	Sequences  int `json:"sequences"`   // sampled at once
	Prompt     int `json:"prompt"`      // tokens of a prompt
	New        int `json:"new"`         // tokens of a response
	Episodes   int `json:"episodes"`    // of a PPO iteration; prompts of groups, pairs of a DPO step
	Epochs     int `json:"epochs"`      // of a PPO or GRPO iteration
	Group      int `json:"group"`       // answers to a prompt of groups

	Warmup  int    `json:"warmup"` // steps before the measured ones
	Steps   int    `json:"steps"`
	Seed    uint64 `json:"seed"`
	Profile bool   `json:"profile"`
}

// Default is what is measured unless told otherwise: LoRA of rank 16 on all linears, 4 x 256
// tokens, 32 sequences of 64 + 128 tokens, 8 episodes of 64 + 64 tokens, groups of 8 and 4 epochs.
func Default(job Job) Spec {
	s := Spec{
		Job: job, Precision: ggml.BF16, Rank: 16, Targets: adapter.Targets(),
		Batch: 4, Tokens: 256, Sequences: 32, Prompt: 64, New: 128, Episodes: 8, Epochs: 4, Group: 8,
		Warmup: 1, Steps: 5,
	}
	if job == JobGroup || job == JobPPO || job == JobGRPO || job == JobDPO {
		s.New = 64
	}
	return s
}

// Expand lays a spec out as one measurement a job, rollouts one a number of sequences. Where New is 0 or
// Targets are nil, they are those of [Default].
func (s Spec) Expand(jobs []Job, sequences []int) []Spec {
	var out []Spec
	for _, s.Job = range jobs {
		one := s
		if one.New == 0 {
			one.New = Default(one.Job).New
		}
		if one.Targets == nil {
			one.Targets = Default(one.Job).Targets
		}
		if one.Job != JobRollout {
			out = append(out, one)
			continue
		}
		for _, one.Sequences = range sequences {
			out = append(out, one)
		}
	}
	return out
}

// Validate reports every field that cannot be used.
func (s *Spec) Validate() error {
	var errs []error
	if !slices.Contains(s.Job.Values(), string(s.Job)) {
		errs = append(errs, fmt.Errorf("job %q: want one of %s", s.Job, strings.Join(s.Job.Values(), ", ")))
	}
	if !slices.Contains(s.Precision.Values(), string(s.Precision)) {
		errs = append(errs,
			fmt.Errorf("precision %q: want one of %s", s.Precision, strings.Join(s.Precision.Values(), ", ")))
	}
	if err := s.Device.Check(); err != nil {
		errs = append(errs, fmt.Errorf("device: %w", err))
	}
	for _, f := range []struct {
		name           string
		value, min, to int
	}{
		{"threads", s.Threads, 0, 512}, {"rank", s.Rank, 1, 1 << 16},
		{"batch", s.Batch, 1, 1 << 16}, {"tokens", s.Tokens, 2, 1 << 24},
		{"sequences", s.Sequences, 1, 256}, {"prompt", s.Prompt, 1, 1 << 24}, {"new", s.New, 2, 1 << 24},
		{"episodes", s.Episodes, 2, 1 << 16}, {"epochs", s.Epochs, 1, 1000}, {"group", s.Group, 2, 1 << 10},
		{"warmup", s.Warmup, 0, 1 << 20}, {"steps", s.Steps, 1, 1 << 20},
	} {
		if f.value < f.min || f.value > f.to {
			errs = append(errs, fmt.Errorf("%s: want %d to %d, got %d", f.name, f.min, f.to, f.value))
		}
	}
	if s.MicroBatch < 0 || s.MicroBatch > 0 && s.Batch%s.MicroBatch != 0 {
		errs = append(errs,
			fmt.Errorf("micro_batch: want a divisor of batch (%d), or 0 for all of it, got %d", s.Batch, s.MicroBatch))
	}
	if len(s.Targets) == 0 {
		errs = append(errs, errors.New("targets: want at least one"))
	}
	for i, t := range s.Targets {
		if !slices.Contains(adapter.AllTargets(), t) {
			errs = append(errs, fmt.Errorf("targets: %q: want some of %s", t, strings.Join(adapter.AllTargets(), ", ")))
		}
		if slices.Contains(s.Targets[:i], t) {
			errs = append(errs, fmt.Errorf("targets: %q is given twice", t))
		}
	}
	return errors.Join(errs...)
}

// Label names a measurement in a table: the job and the sizes that belong to it, "train 8x1024/2"
// where micro-batches are of 2.
func (s *Spec) Label() string {
	switch s.Job {
	case JobRollout:
		return fmt.Sprintf("%s %d", s.Job, s.Sequences)
	case JobGroup, JobGRPO:
		return fmt.Sprintf("%s %dx%dx%d+%d", s.Job, s.Episodes, s.Group, s.Prompt, s.New)
	case JobPPO, JobDPO:
		return fmt.Sprintf("%s %dx%d+%d", s.Job, s.Episodes, s.Prompt, s.New)
	case JobKernels:
		return string(s.Job)
	}
	label := fmt.Sprintf("%s %dx%d", s.Job, s.Batch, s.Tokens)
	if s.MicroBatch > 0 && s.Job != JobScore {
		label += fmt.Sprintf("/%d", s.MicroBatch)
	}
	return label
}
