package run

import (
	"fmt"
	"slices"
)

// The stages: the kinds of run folders.
const (
	StageSFT    = "sft"
	StageReward = "reward"
	StagePPO    = "ppo"
	StageGRPO   = "grpo"
	StageJudge  = "judge"
	StageDPO    = "dpo"
	StageEval   = "eval" // whose parts are kept, or measured again, one by one
)

// IsStage tells whether there is such a stage.
func IsStage(kind string) bool {
	return slices.Contains([]string{StageSFT, StageReward, StagePPO, StageGRPO, StageDPO, StageJudge, StageEval}, kind)
}

// How a run ended. A result without a status is finished.
const (
	StatusFinished    = "finished"
	StatusStopped     = "stopped" // a guard ended it
	StatusInterrupted = "interrupted"
)

// Record is what result.json says of every stage (docs/report.md): what ran, from what, by what,
// and how long. Results of the stages embed it.
type Record struct {
	Stage   string `json:"stage"`
	Name    string `json:"name"`
	Version int    `json:"version"` // ResultVersion
	Status  string `json:"status"`
	// Reason is one sentence, where the run did not finish.
	Reason string `json:"reason,omitempty"`
	// Warnings are sentences for people. None that is looked for is [], not absent.
	Warnings []string `json:"warnings,omitzero"`

	// Seconds is the sum of Sittings: of each time that the run was worked on.
	Seconds  float64   `json:"seconds"`
	Sittings []float64 `json:"sittings"`
	Resumed  int       `json:"resumed"` // times
	Seed     *uint64   `json:"seed,omitempty"`

	Base *Base `json:"base,omitempty"`
	// Device, Precision and Kernel say what it was computed on, and how.
	Device    string            `json:"device"`
	Precision string            `json:"precision"`
	Kernel    string            `json:"kernel"`
	Versions  map[string]string `json:"versions"` // of program, Go, llama.cpp by name
	Command   []string          `json:"command"`
	// Inputs holds the SHA-256 of every file that went in, by its role.
	Inputs map[string]string `json:"inputs_sha256"`
	// Sources says of those that came from a hub which file of which commit they are, by key.
	Sources map[string]Source `json:"sources,omitempty"`
	// Data are the files of examples, pairs or prompts that were read.
	Data []DataFile `json:"data,omitempty"`
	// Adapter is what the stage trained; nil: nothing.
	Adapter *Adapter `json:"adapter,omitempty"`
}

// Common is the record itself: what all results have.
func (r *Record) Common() *Record { return r }

func (r *Record) check() error {
	switch r.Status {
	case "", StatusFinished, StatusStopped, StatusInterrupted:
		return nil
	}
	return fmt.Errorf("field %q: want finished, stopped or interrupted, got %q", "status", r.Status)
}

// Base is the quantized model that everything is trained on.
type Base struct {
	Path         string `json:"path,omitempty"`
	SHA256       string `json:"sha256,omitempty"`
	Name         string `json:"name,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Quantization string `json:"quantization,omitempty"`
	Parameters   int64  `json:"parameters,omitempty"`
}

// Adapter is the file of a trained adapter; Path is relative to the run folder.
type Adapter struct {
	Path   string `json:"path,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// DataFile is a file of examples, pairs or prompts: Rows are in it, Used of them were used.
type DataFile struct {
	Path   string `json:"path"`
	Role   string `json:"role,omitempty"` // train, held-out, prompts
	SHA256 string `json:"sha256,omitempty"`
	Rows   int    `json:"rows"`
	Used   int    `json:"used"`
	// Dropped are longer than allowed; nil where nothing is dropped for that.
	Dropped *int `json:"dropped,omitempty"`
	// NoQuestion conversations have no user message before the first answer and were left out.
	NoQuestion int `json:"no_question,omitempty"`
	// Refused conversations are those that the model's own chat template does not take.
	Refused   int `json:"refused,omitempty"`
	Truncated int `json:"truncated,omitempty"`
	// Notes say what was odd about the file: keys that are not read, and the like.
	Notes []string `json:"notes,omitempty"`
}
