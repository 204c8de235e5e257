package experiment

import (
	"fmt"
	"os"
	"path/filepath"

	"steer/app/jobs"
	"steer/internal/conf"
)

// JobFile is the file of the job of one stage, or, with no path, the job of a command line alone.
type JobFile struct {
	// Dir is the folder that paths in the job are relative to: that of the file, or the working folder.
	Dir  string
	path string
	raw  []byte // nil: no file
}

// ReadJobFile reads the file of a job; "" is none.
func ReadJobFile(path string) (f JobFile, err error) {
	if path == "" {
		f.Dir, err = os.Getwd()
		return f, err
	}
	f.path = path
	if f.raw, err = os.ReadFile(path); err != nil {
		return f, err
	}
	f.Dir, err = filepath.Abs(filepath.Dir(path))
	return f, err
}

// Preset is what the file says under a method's key of presets, "" if it says nothing.
func (f JobFile) Preset(m jobs.Method) (string, error) {
	if f.raw == nil {
		return "", nil
	}
	preset, _, err := conf.Lookup(f.path, f.raw, m.PresetKey)
	return preset, err
}

// Fill puts the keys of the file into a job. A file of a whole experiment is told what runs it.
func (f JobFile) Fill(job jobs.Job) error {
	if f.raw == nil {
		return nil
	}
	err := conf.Parse(f.path, f.raw, job)
	if err == nil {
		return nil
	}
	if section := sectionOf(f.path, f.raw); section != "" {
		return fmt.Errorf("%s: this is an experiment, not the job of one stage (it has the section %q): "+
			"\"steer run %s\" runs all of its stages, and \"steer run %s --dry-run\" prints the job of each",
			f.path, section, f.path, f.path)
	}
	return err
}
