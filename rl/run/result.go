package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrVersion: a file of a run folder is of a version that this program does not read.
var ErrVersion = errors.New("result of another version")

// Result is what a stage leaves: *[SFT], *[Reward], *[PPO], *[DPO] or *[Evaluation].
type Result interface {
	// Common is the record that all results have.
	Common() *Record
	// Check finds what contradicts itself: an interval the wrong way round, a matrix whose rows
	// are not its policies.
	Check() error
}

// ReadResult reads the result of a run folder.
func ReadResult(dir string) (Result, error) {
	path := filepath.Join(dir, ResultFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseResult(path, text)
}

// ParseResult reads the text of a result; path is for errors. Keys that it does not know are let
// be. A result of another version is [ErrVersion].
func ParseResult(path string, text []byte) (Result, error) {
	// The version comes first: the fields of another version may have other types.
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%s: not a JSON object: %w", path, err)
	}
	if head.Version == nil {
		return nil, fmt.Errorf("%s: field %q is missing: want %d (was this file written by steer?): %w",
			path, "version", ResultVersion, ErrVersion)
	}
	if *head.Version != ResultVersion {
		return nil, fmt.Errorf("%s: field %q: want %d, got %d: use the steer that wrote it, or run the stage again: %w",
			path, "version", ResultVersion, *head.Version, ErrVersion)
	}
	var kind struct {
		Stage string `json:"stage"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var r Result
	switch kind.Stage {
	case StageSFT:
		r = &SFT{}
	case StageReward:
		r = &Reward{}
	case StagePPO:
		r = &PPO{}
	case StageGRPO:
		r = &GRPO{}
	case StageDPO:
		r = &DPO{}
	case StageJudge:
		r = &Judge{}
	case StageEval:
		r = &Evaluation{}
	default:
		return nil, fmt.Errorf("%s: field %q: want sft, reward, ppo, grpo, dpo, judge or eval, got %q", path, "stage",
			kind.Stage)
	}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// encodeResult writes keys in the order of their names, whatever the order of fields here: so two
// results can be laid side by side.
func encodeResult(r Result) ([]byte, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var sorted map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // a seed has more digits than a float64
	if err := dec.Decode(&sorted); err != nil {
		return nil, err
	}
	if e, ok := r.(*Evaluation); ok && e.Suite != nil {
		// These alone have always stood in the order of their fields.
		sorted["suite"].(map[string]any)["missing"] = e.Suite.Missing
	}
	data, err := json.MarshalIndent(sorted, "", "  ")
	return append(data, '\n'), err
}
