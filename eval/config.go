package eval

import (
	"fmt"
	"os"
	"slices"

	"steer/internal/filehash"
	"steer/rl/data"
)

// Config says what is measured. A benchmark without a path is not run.
type Config struct {
	Settings `yaml:",inline"`

	WSC273               File        `yaml:"wsc273"`
	WSC285               File        `yaml:"wsc285"`
	WinoGrande           File        `yaml:"winogrande"`
	ToxiGen              ToxiGenRows `yaml:"toxigen"`
	EthicsDeontology     EthicsRows  `yaml:"ethics_deontology"`
	EthicsUtilitarianism EthicsRows  `yaml:"ethics_utilitarianism"`
	EthicsVirtue         EthicsRows  `yaml:"ethics_virtue"`
	EthicsJustice        EthicsRows  `yaml:"ethics_justice"`
	EthicsCommonsense    EthicsRows  `yaml:"ethics_commonsense"`
	Scruples             Scruples    `yaml:"scruples"`
	CrossReward          CrossConfig `yaml:"cross_reward"`

	// Tasks are tasks of the user's own: paths of their files (docs/tasks.md).
	Tasks []TaskFile `yaml:"tasks,omitempty"`

	Dilemmas   File            `yaml:"dilemmas"`
	HH         File            `yaml:"hh_rlhf"`
	WinoBias   WinoBias        `yaml:"winobias"`
	Winogender WinogenderFiles `yaml:"winogender"`
	CrowSPairs File            `yaml:"crows_pairs"`
	Perplexity TextWindows     `yaml:"perplexity"`
	KL         KLRows          `yaml:"kl"`
	Generated  Continuations   `yaml:"generations"`

	// Template is the one that the policies were trained with; what renders
	// conversations needs it.
	Template *data.Template `yaml:"-"`
}

// File names the rows of a data file that are measured, in file order.
type File struct {
	Path string `yaml:"path"`
	// First is the 0-based row to begin with.
	First int `yaml:"first"`
	// Limit is the number of rows; 0 means all that follow.
	Limit int `yaml:"limit"`

	measured, held int // rows measured and rows in the file, once it is read
}

// partial tells whether a window leaves rows of the file out.
func (f *File) partial() bool { return f.measured < f.held }

// ToxiGenRows configures the annotated statements of ToxiGen.
type ToxiGenRows struct {
	File `yaml:",inline"`
	// Protocols to run: loglik, reward.
	Protocols []Protocol `yaml:"protocols"`
}

// Scruples configures the anecdotes.
type Scruples struct {
	File `yaml:",inline"`
	// Protocols to run: loglik, loglik-5, reward, thesis, paired.
	Protocols []Protocol `yaml:"protocols"`
	// Threshold holds the rows on which the reward threshold is chosen; they must be
	// others than the measured ones.
	Threshold File `yaml:"threshold"`
	// MaxNewTokens bounds an answer of the thesis protocol; 0 is its own bound, 2048
	// tokens for prompt and answer together.
	MaxNewTokens int `yaml:"max_new_tokens"`
	// Batch is the number of stories generated from at once.
	Batch int `yaml:"batch"`
}

// CrossConfig configures the cross-reward matrix.
type CrossConfig struct {
	// Prompts are held-out prompts; without a path there is no matrix.
	Prompts data.Source `yaml:"prompts"`
	// Reference is the policy that the others are compared with.
	Reference string `yaml:"reference"`
	// MaxPromptTokens: longer prompts are left out, and counted.
	MaxPromptTokens int     `yaml:"max_prompt_tokens"`
	MaxNewTokens    int     `yaml:"max_new_tokens"`
	Temperature     float32 `yaml:"temperature"`
	TopK            int     `yaml:"top_k"`
	TopP            float32 `yaml:"top_p"`
	MinP            float32 `yaml:"min_p"`
	Batch           int     `yaml:"batch"`
	// Samples is the number of prompts whose answers go into the result.
	Samples int `yaml:"samples"`
	// Bins of the score histograms.
	Bins int `yaml:"bins"`
}

// DefaultConfig measures nothing yet, with sensible options. max_length 0 stands for
// what the model can hold and has to be filled in before a benchmark runs: the
// context less one, since the last token of a sequence is a target only but takes a
// place.
func DefaultConfig() Config {
	ethics := EthicsRows{Protocols: []Protocol{ProtocolLogLik}}
	return Config{
		Settings: Settings{
			BOS: BOSAuto, TargetDelimiter: " ", BatchTokens: 4096,
			Resamples: 10000, Confidence: 0.95, Margin: 0.05, Seed: 1,
		},
		EthicsDeontology: ethics, EthicsUtilitarianism: ethics, EthicsVirtue: ethics, EthicsJustice: ethics, EthicsCommonsense: ethics,
		KL:        KLRows{Reference: "sft", MaxTokens: 1024},
		Generated: Continuations{Reference: "sft", MaxPromptTokens: 512, MaxNewTokens: 32, Temperature: 1, TopP: 1, Batch: 32},
		ToxiGen:   ToxiGenRows{Protocols: []Protocol{ProtocolLogLik}},
		Scruples:  Scruples{Protocols: []Protocol{ProtocolLogLik}, Batch: 16},
		CrossReward: CrossConfig{
			Reference: "sft", MaxPromptTokens: 512, MaxNewTokens: 128, Temperature: 1, TopP: 1,
			Batch: 32, Samples: 24, Bins: 20,
		},
	}
}

// Validate checks the fields against each other; max_length may still be 0.
func (c Config) Validate() error {
	s := c.Settings
	if s.MaxLength == 0 {
		s.MaxLength = 1
	}
	if err := s.check(); err != nil {
		return err
	}
	for _, b := range benchmarks(&c) {
		if err := b.validate(); err != nil {
			return err
		}
	}
	if err := c.Generated.check(); err != nil {
		return err
	}
	if x := c.CrossReward; x.Prompts.Path != "" {
		if err := x.Prompts.Validate(); err != nil {
			return fmt.Errorf("eval: cross_reward.prompts: %w", err)
		}
		if x.MaxNewTokens < 1 || x.Batch < 1 || x.MaxPromptTokens < 1 {
			return fmt.Errorf("eval: cross_reward: want max_new_tokens, max_prompt_tokens and batch of at least 1, got %d, %d, %d", x.MaxNewTokens, x.MaxPromptTokens, x.Batch)
		}
	}
	return nil
}

// window cuts the rows that a File asks for: a copy, lest the others stay in memory.
func window[T any](f File, rows []T) ([]T, error) {
	if f.First >= len(rows) {
		return nil, fmt.Errorf("%s: first row is %d, the file holds %d: %w", f.Path, f.First, len(rows), ErrNoItems)
	}
	rows = rows[f.First:]
	if f.Limit > 0 {
		rows = rows[:min(f.Limit, len(rows))]
	}
	return slices.Clone(rows), nil
}

// spread is window for rows that are not measured themselves: of more than Limit it takes as many
// at equal distances. Files are sorted, by class or by story, and their first rows are like
// one another.
func spread[T any](f File, rows []T) ([]T, error) {
	limit := f.Limit
	f.Limit = 0
	rows, err := window(f, rows)
	if err != nil || limit == 0 || limit >= len(rows) {
		return rows, err
	}
	out := make([]T, limit)
	for i := range out {
		out[i] = rows[i*len(rows)/limit]
	}
	return out, nil
}

// provenance describes a data file in a result; one that is not given, by nothing.
func (f File) provenance(b *Measurement, prefix string) error {
	if f.Path == "" {
		return nil
	}
	path, sum, err := FileSHA256(f.Path)
	if err != nil {
		return err
	}
	b.Provenance[prefix+"data"] = path
	b.Provenance[prefix+"data_sha256"] = sum
	b.Provenance[prefix+"first"] = f.First
	b.Provenance[prefix+"limit"] = f.Limit
	return nil
}

// fileSize is the size of a data file as stored.
func fileSize(path string) (int64, error) {
	found, err := data.Resolve(path)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(found)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// FileSHA256 finds a data file as the readers do and hashes its bytes as stored.
func FileSHA256(path string) (found, sum string, err error) {
	if found, err = data.Resolve(path); err != nil {
		return "", "", err
	}
	if sum, err = filehash.Sum(found); err != nil {
		return "", "", fmt.Errorf("eval: %w", err)
	}
	return found, sum, nil
}
