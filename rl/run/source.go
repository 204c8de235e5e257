package run

import (
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Source is which file of a repository a name of the hub was when a run read it. With it the same name
// means the same file when the run goes on, or is done again elsewhere.
type Source struct {
	// Name as it was written: hf:ORG/NAME@REVISION:FILE.
	Name string `yaml:"name" json:"name"`
	// Commit of the repository, and the path in it: of a file, or of a folder ("" for all of it).
	Commit string `yaml:"commit" json:"commit"`
	File   string `yaml:"file,omitempty" json:"file,omitempty"`
	// Licence as the repository's card names it.
	Licence string `yaml:"licence,omitempty" json:"licence,omitempty"`
}

// ReadSources gives the sources that the configuration of a run folder names, by key. A folder without
// a configuration, or with a damaged one, has none.
func ReadSources(dir string) map[string]Source {
	raw, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	var c struct {
		Sources map[string]Source `yaml:"sources"`
	}
	if err != nil || yaml.Unmarshal(raw, &c) != nil {
		return nil
	}
	return c.Sources
}
