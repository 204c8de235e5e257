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
}

// ExperimentHead is what is read of experiment.yaml, whoever wrote it: its name, and the theories
// whose reward models and policies belong to it.
type ExperimentHead struct {
	Name     string
	Theories []string
	// NoTheories: it says that it has none.
	NoTheories bool
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
	return h, nil
}
