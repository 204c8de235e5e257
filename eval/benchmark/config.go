package benchmark

import (
	"slices"

	"steer/eval"
	"steer/rl/data"
)

// Config says what is measured. A benchmark without a path is not run.
type Config struct {
	eval.Settings `yaml:",inline"`

	WSC273               File              `yaml:"wsc273"`
	WSC285               File              `yaml:"wsc285"`
	WinoGrande           File              `yaml:"winogrande"`
	ToxiGen              ToxiGenConfig     `yaml:"toxigen"`
	EthicsDeontology     EthicsConfig      `yaml:"ethics_deontology"`
	EthicsUtilitarianism EthicsConfig      `yaml:"ethics_utilitarianism"`
	EthicsVirtue         EthicsConfig      `yaml:"ethics_virtue"`
	EthicsJustice        EthicsConfig      `yaml:"ethics_justice"`
	EthicsCommonsense    EthicsConfig      `yaml:"ethics_commonsense"`
	Scruples             ScruplesConfig    `yaml:"scruples"`
	CrossReward          CrossRewardConfig `yaml:"cross_reward"`

	// Tasks are tasks of the user's own: paths of their files (docs/tasks.md).
	Tasks Tasks `yaml:"tasks,omitempty"`
	// TaskPrompts says how they are asked.
	TaskPrompts `yaml:",inline"`

	Dilemmas    File              `yaml:"dilemmas"`
	HHRLHF      File              `yaml:"hh_rlhf"`
	WinoBias    WinoBiasConfig    `yaml:"winobias"`
	Winogender  WinogenderConfig  `yaml:"winogender"`
	CrowsPairs  File              `yaml:"crows_pairs"`
	Perplexity  PerplexityConfig  `yaml:"perplexity"`
	KL          KLConfig          `yaml:"kl"`
	Generations GenerationsConfig `yaml:"generations"`

	// Template is the one that the policies were trained with; what renders
	// conversations needs it.
	Template *data.Template `yaml:"-"`
}

// DefaultConfig measures nothing yet, with sensible options. max_length 0 stands for
// what the model can hold and has to be filled in before a benchmark runs: the
// context less one, since the last token of a sequence is a target only but takes a
// place.
func DefaultConfig() Config {
	ethics := EthicsConfig{Protocols: []eval.Protocol{eval.ProtocolLogLik}}
	return Config{
		Settings: eval.Settings{
			BOS: eval.BOSAuto, TargetDelimiter: " ", BatchTokens: 4096,
			Resamples: 10000, Confidence: 0.95, Margin: 0.05, Seed: 1,
		},
		EthicsDeontology: ethics, EthicsUtilitarianism: ethics, EthicsVirtue: ethics,
		EthicsJustice: ethics, EthicsCommonsense: ethics,
		ToxiGen:  ToxiGenConfig{Protocols: []eval.Protocol{eval.ProtocolLogLik}},
		Scruples: ScruplesConfig{Protocols: []eval.Protocol{eval.ProtocolLogLik}, Batch: 16},
		KL:       KLConfig{Reference: "sft", MaxTokens: 1024},
		Generations: GenerationsConfig{
			Reference: "sft", MaxPromptTokens: 512, MaxNewTokens: 32, Temperature: 1, TopP: 1, Batch: 32,
		},
		CrossReward: CrossRewardConfig{
			Reference: "sft", MaxPromptTokens: 512, MaxNewTokens: 128, Temperature: 1, TopP: 1,
			Batch: 32, Samples: 24, Bins: 20,
		},
	}
}

// builtin lists the benchmarks that the program knows, in the order of the result. A new
// benchmark is a file of its own, its section in [Config] and its line here: paths, checks,
// loading, records and resuming follow from what its file says.
func (c *Config) builtin() []Spec {
	set := c.Settings
	return slices.Concat(
		wscSpecs(set, &c.WSC273, &c.WSC285),
		winograndeSpecs(set, &c.WinoGrande),
		toxigenSpecs(set, &c.ToxiGen),
		ethicsSpecs(set, &c.EthicsDeontology, &c.EthicsUtilitarianism, &c.EthicsVirtue,
			&c.EthicsJustice, &c.EthicsCommonsense),
		scruplesSpecs(set, &c.Scruples),
		dilemmasSpecs(set, &c.Dilemmas),
		hhSpecs(set, &c.HHRLHF),
		winobiasSpecs(set, &c.WinoBias),
		winogenderSpecs(set, &c.Winogender),
		crowsSpecs(set, &c.CrowsPairs),
		perplexitySpecs(set, &c.Perplexity),
		klSpecs(set, c.Template, &c.KL),
	)
}

// Specs lists everything that the configuration can measure of one model at a time.
// They refer to the configuration, which has to stay where it is.
func (c *Config) Specs() []Spec {
	return append(c.builtin(), c.Tasks.specs(c.Settings, c.TaskPrompts, c.Template, c.builtinNames())...)
}

// builtinNames are the names that a task of the user's own cannot have.
func (c *Config) builtinNames() []string {
	var out []string
	for _, b := range c.builtin() {
		out = append(out, b.Name)
	}
	return out
}

// Validate checks the fields against each other; max_length may still be 0.
func (c Config) Validate() error {
	s := c.Settings
	if s.MaxLength == 0 {
		s.MaxLength = 1
	}
	if err := s.Validate(); err != nil {
		return err
	}
	for _, b := range c.Specs() {
		if err := b.validate(); err != nil {
			return err
		}
	}
	if err := c.Generations.check(); err != nil {
		return err
	}
	if err := c.TaskPrompts.check(); err != nil {
		return err
	}
	return c.CrossReward.check()
}

// DataFile is a data file that a configuration names.
type DataFile struct {
	Key   string // "scruples.threshold"
	Path  *string
	Limit *int // rows taken of it, 0: all; nil if it is always read whole
}

// DataFiles lists every data file that the configuration can name, each once; the path
// of one that is not used is empty.
func (c *Config) DataFiles() []DataFile {
	var out []DataFile
	seen := map[string]bool{}
	for _, b := range c.Specs() {
		for _, f := range b.Inputs {
			if seen[f.Key] || f.derived {
				continue
			}
			seen[f.Key] = true
			limit := &f.Limit
			if f.whole {
				limit = nil
			}
			out = append(out, DataFile{f.Key, &f.Path, limit})
		}
	}
	prompts, generated := &c.CrossReward.Prompts, &c.Generations
	return append(out,
		DataFile{"cross_reward.prompts", &prompts.Path, &prompts.Limit},
		DataFile{"generations", &generated.Path, &generated.Limit})
}

// References are the names of the models that others are compared with.
func (c *Config) References() []*string {
	return []*string{&c.CrossReward.Reference, &c.KL.Reference, &c.Generations.Reference}
}

// LoadTasks reads the task files, so that a mistake in one shows before anything runs.
// Their paths have to be in place.
func (c *Config) LoadTasks() error { return c.Tasks.loadAll(c.builtinNames()) }
