package experiment

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/internal/conf"
	"steer/rl/dpo"
	"steer/rl/grpo"
	"steer/rl/train"
)

// layer is one of the files that make up an experiment.
type layer struct {
	path string
	raw  []byte
}

// layers reads an experiment and what it extends, the lowest first.
func layers(path string) ([]layer, error) {
	var out []layer
	for {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, layer{path, raw})
		below, _, err := conf.Lookup(path, raw, "extends")
		if err != nil || below == "" {
			slices.Reverse(out)
			return out, err
		}
		wrong := func(format string, args ...any) ([]layer, error) {
			return nil, &conf.Error{File: path, Key: "extends", Msg: fmt.Sprintf(format, args...)}
		}
		if below != filepath.Base(below) {
			return wrong("want the name of a file in the same folder (paths in both are relative to it), got %q", below)
		}
		next := filepath.Join(filepath.Dir(path), below)
		if slices.ContainsFunc(out, func(l layer) bool { return l.path == next }) {
			return wrong("%s extends itself, by way of %s", below, filepath.Base(path))
		}
		if _, err := os.Stat(next); errors.Is(err, fs.ErrNotExist) {
			return wrong("there is no %s in %s", below, filepath.Dir(path))
		}
		path = next
	}
}

// sectionOf gives a section of an experiment that a file holds at its top, "" if it holds none. A
// job of one stage has neither theories nor judges, and no mapping under the name of a stage.
func sectionOf(path string, raw []byte) string {
	for _, key := range []string{"sft", "reward", "ppo", "grpo", "dpo", "each", "policies", "theories", "judges"} {
		switch kind := conf.Kind(path, raw, key); {
		case kind == "a mapping", kind != "" && (key == "theories" || key == "judges"):
			return key
		}
	}
	return ""
}

// lookup finds the text of a key: of the last file that has it.
func lookup(files []layer, key string) (value string, err error) {
	for _, f := range files {
		v, found, err := conf.Lookup(f.path, f.raw, key)
		if err != nil {
			return "", err
		}
		if found {
			value = v
		}
	}
	return value, nil
}

// LoadExperiment reads the file of a single run; see [LoadStudy].
func LoadExperiment(path string, overrides []string) (*Experiment, error) {
	s, err := LoadStudy(path, overrides)
	if err != nil {
		return nil, err
	}
	if len(s.Runs) != 1 {
		return nil, &conf.Error{File: path, Key: "seeds", Msg: fmt.Sprintf("want one run, got %d seeds", len(s.Runs))}
	}
	return s.Runs[0], nil
}

// load makes an experiment of its files. A stage starts from the preset, then takes the
// top-level settings, then its own section, then (for reward and ppo) each.<theory>;
// overrides are applied to the files' keys first ("ppo.kl_coef=0.1"), last adjust.
func load(files []layer, overrides []string, adjust func(*Experiment)) (*Experiment, error) {
	e, err := newExperiment(files, overrides)
	if err != nil {
		return nil, err
	}
	parse := func() error { return e.parse(files, overrides, adjust) }
	// Passes over the same files: each fills in what the next starts from.
	shares := []func() error{
		func() error { e.toSections(); return nil },
		func() error { e.toTheories(); return e.toPolicies(files, overrides, adjust) },
		func() error { e.toMoreModels(); return nil },
	}
	for _, share := range shares {
		if err := parse(); err != nil {
			return nil, err
		}
		if err := share(); err != nil {
			return nil, err
		}
	}
	if err := parse(); err != nil {
		return nil, err
	}
	e.file = files[len(files)-1].path
	dir, err := filepath.Abs(filepath.Dir(files[0].path))
	if err != nil {
		return nil, err
	}
	return e, e.resolve(dir)
}

// parse puts the keys of files and overrides into the experiment.
func (e *Experiment) parse(files []layer, overrides []string, adjust func(*Experiment)) error {
	for _, f := range files {
		if err := conf.Parse(f.path, f.raw, e); err != nil {
			return err
		}
	}
	for _, o := range overrides {
		if err := conf.Set(e, o); err != nil {
			return err
		}
	}
	adjust(e)
	return nil
}

func newExperiment(files []layer, overrides []string) (*Experiment, error) {
	if _, ok := conf.Overridden(overrides, "extends"); ok {
		return nil, &conf.Error{Key: "extends",
			Msg: "cannot be overridden: it says which files are read; write it into the file"}
	}
	// What a key says: --set, else the last file that has it, else other.
	says := func(key, other string) (string, error) {
		if text, ok := conf.Overridden(overrides, key); ok {
			return text, nil
		}
		text, err := lookup(files, key)
		return cmp.Or(text, other), err
	}
	preset, err := says("preset", "")
	if err != nil {
		return nil, err
	}
	suite, err := says("eval.suite", "")
	if err != nil {
		return nil, err
	}
	of := map[string]string{}
	for _, section := range []string{"sft", "reward", "ppo", "grpo", "dpo"} {
		other := preset
		if section == "grpo" || section == "dpo" {
			other = "" // they have presets of their own
		}
		if of[section], err = says(section+".preset", other); err != nil {
			return nil, err
		}
	}
	e := &Experiment{Engine: workspace.DefaultEngine(), Preset: preset, Out: "runs", Each: map[string]*Theory{}}
	var errs [6]error
	e.SFT, errs[0] = jobs.NewSFT(train.Preset(of["sft"]))
	e.Reward, errs[1] = jobs.NewReward(train.Preset(of["reward"]))
	e.PPO, errs[2] = jobs.NewPPO(train.Preset(of["ppo"]))
	e.GRPO, errs[4] = jobs.NewGRPO(grpo.Preset(of["grpo"]))
	e.DPO, errs[5] = jobs.NewDPO(dpo.Preset(of["dpo"]))
	e.Eval, errs[3] = jobs.NewEvalSuite(jobs.SuiteName(suite))
	return e, errors.Join(errs[:]...)
}
