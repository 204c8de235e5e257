package jobs

import (
	"context"

	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/internal/conf"
	"steer/internal/filehash"
	"steer/rl/run"
)

// Kind names a method: what a job does. Run folders know it as their stage.
type Kind string

// The kinds.
const (
	SFTKind    Kind = run.StageSFT
	RewardKind Kind = run.StageReward
	PPOKind    Kind = run.StagePPO
	GRPOKind   Kind = run.StageGRPO
	DPOKind    Kind = run.StageDPO
	JudgeKind  Kind = run.StageJudge
	EvalKind   Kind = run.StageEval
)

// Job is a stage that can be resolved and run.
type Job interface {
	// Base is the model the job needs, and how the engine is to compute.
	Base() (model string, e workspace.EngineConfig)
	// Folder is the usual name of its run folder.
	Folder() string
	// Names lists the places that name files, and From is where it is noted what they were; see
	// [Locate], which comes before Resolve.
	Names() []Name
	From() *Sources
	// Resolve makes paths absolute, relative to dir, and hashes the inputs; hashes remembers those
	// of large files, and may be nil.
	Resolve(dir string, hashes *filehash.Cache) error
	// Kind is the method: what the job does, and how its configuration is read.
	Kind() Kind
	// Read is the SHA-256 of every file that goes in, by role, once the job is resolved.
	Read() Inputs
	// Knobs are its settings that trade memory for speed.
	Knobs() Knobs
	// Clone is a copy whose settings can be changed alone.
	Clone() Job
	// Run does the job in a run folder, or goes on there; with the folder "" nothing is kept.
	Run(ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool) error
}

// Method is a kind of job as commands find it.
type Method struct {
	Kind Kind
	// PresetKey is the key that names what a job starts from.
	PresetKey string
	// New is the job of a preset, "" for the default one.
	New func(preset string) (Job, error)
}

// Methods lists all methods, in the order of a pipeline. A new one is a file with its job, and a
// line here.
func Methods() []Method {
	return []Method{SFTMethod(), RewardMethod(), PPOMethod(), GRPOMethod(), DPOMethod(), JudgeMethod(), EvalMethod()}
}

// Kinds are the names of all methods.
func Kinds() (names []string) {
	for _, m := range Methods() {
		names = append(names, string(m.Kind))
	}
	return names
}

// Presets are the names that a job of the method can start from; nil where another key names that.
func (m Method) Presets() (names []string) {
	if m.PresetKey != "preset" {
		return nil
	}
	job, err := m.New("")
	if err != nil {
		return nil
	}
	for _, k := range conf.Keys(job) {
		if k.Name == m.PresetKey {
			names = k.Values
		}
	}
	return names
}

// Lookup finds a method by its kind.
func Lookup(k Kind) (Method, bool) {
	for _, m := range Methods() {
		if m.Kind == k {
			return m, true
		}
	}
	return Method{}, false
}

// Maker is a job that writes an adapter.
type Maker interface {
	Job
	// NewAdapter is the adapter as training begins.
	NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error)
	// Meta is what the adapter will say of itself; trainedOn names what lies below it.
	Meta(trainedOn string) map[string]string
}

// Knobs are the settings of a job that trade memory for speed, and change no result but for the
// rounding of sums.
type Knobs struct {
	KeepActivations *bool
	Sizes           []Knob
}

// Knob is a size of batches.
type Knob struct {
	Key     string
	Value   *int
	Divisor bool // values have to divide the one given
}

// microBatch is the knob of a trainer that takes micro-batches by number or, 0, by tokens.
func microBatch(size, tokens *int) Knob {
	if *size > 0 {
		return Knob{"micro_batch_size", size, true}
	}
	return Knob{"micro_batch_tokens", tokens, false}
}

// Named is a stage: a job in a run folder.
type Named struct {
	Name string // of the stage and its folder
	Job  Job
}
