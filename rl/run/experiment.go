package run

import (
	"go.yaml.in/yaml/v3"
)

// Experiment is experiment.yaml, which an experiment writes beside the folders of its stages.
type Experiment struct {
	Name     string   `yaml:"name"`
	Theories []string `yaml:"theories"`
	Judges   []string `yaml:"judges,omitempty"`
	Model    string   `yaml:"model"`
	Template string   `yaml:"template"`
	Seed     uint64   `yaml:"seed"`
	Preset   string   `yaml:"preset"`
	// Policies are those beside the ones of the theories.
	Policies []ExperimentPolicy `yaml:"policies,omitempty"`
}

// ExperimentPolicy says how a policy was made.
type ExperimentPolicy struct {
	Name   string `yaml:"name" json:"name"`
	Method string `yaml:"method" json:"method"` // ppo | grpo | dpo | best_of_n
	// Stage is the folder of its training; "" where nothing was trained.
	Stage   string `yaml:"stage,omitempty" json:"stage,omitempty"`
	Preset  string `yaml:"preset,omitempty" json:"preset,omitempty"`
	Theory  string `yaml:"theory,omitempty" json:"theory,omitempty"` // whose pairs it learned from
	BestOf  int    `yaml:"best_of,omitempty" json:"best_of,omitempty"`
	Combine string `yaml:"combine,omitempty" json:"combine,omitempty"`
	// Rewards steered it, under Constraints: "harmlessness at least 0".
	Rewards     []RewardUse `yaml:"rewards,omitempty" json:"rewards,omitempty"`
	Constraints []string    `yaml:"constraints,omitempty" json:"constraints,omitempty"`
}

// ExperimentHead is what is read of experiment.yaml, whoever wrote it: its name, and the theories
// whose reward models and policies belong to it.
type ExperimentHead struct {
	Name     string
	Theories []string
	// NoTheories: it says that it has none.
	NoTheories bool
	// Policies are those beside the ones of the theories.
	Policies []ExperimentPolicy
}

// ParseExperimentHead looks the two keys up. Anything else, or another type, is let be.
func ParseExperimentHead(text []byte) (ExperimentHead, error) {
	var h ExperimentHead
	var root map[string]yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return h, err
	}
	if n, ok := root["name"]; ok {
		_ = n.Decode(&h.Name) // not a string: no name
	}
	if n, ok := root["theories"]; ok {
		if n.Decode(&h.Theories) != nil {
			h.Theories = nil
		} else {
			h.NoTheories = len(h.Theories) == 0
		}
	}
	if n, ok := root["policies"]; ok && n.Decode(&h.Policies) != nil {
		h.Policies = nil
	}
	return h, nil
}
