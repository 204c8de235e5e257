package benchmark

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"steer/eval"
	"steer/eval/task"
	"steer/rl/run"
)

// ShortFile is a File that may be written as its path alone.
type ShortFile struct {
	File `yaml:",inline"`
}

// UnmarshalText reads the short form.
func (f *ShortFile) UnmarshalText(text []byte) error {
	f.Path = string(text)
	return nil
}

// TaskFile names a task of the user's own (docs/tasks.md). Its window takes the place of
// the task's.
type TaskFile struct {
	ShortFile `yaml:",inline"`
	// Data takes the place of the data file that the task names.
	Data ShortFile `yaml:"data,omitempty"`

	task   *task.Task // loaded from these paths
	loaded [2]string
}

// load reads the task file, once as long as nothing about it changes.
func (f *TaskFile) load() (*task.Task, error) {
	now := [2]string{f.Path, f.Data.Path}
	if f.task == nil || f.loaded != now {
		t, err := task.Load(f.Path, f.Data.Path)
		if err != nil {
			return nil, err
		}
		f.task, f.loaded = t, now
	}
	t := *f.task
	if f.First > 0 || f.Limit > 0 {
		t.First, t.Limit = f.First, f.Limit
	}
	return &t, nil
}

// Tasks are tasks of the user's own.
type Tasks []TaskFile

// loadAll reads the task files. taken are names that they cannot have.
func (x Tasks) loadAll(taken []string) error {
	for i := range x {
		if _, err := x.load(i, taken); err != nil {
			return fmt.Errorf("eval: tasks[%d]: %w", i, err)
		}
	}
	return nil
}

// load loads one task and makes sure that its name is its own.
func (x Tasks) load(i int, taken []string) (*task.Task, error) {
	t, err := x[i].load()
	if err != nil {
		return nil, err
	}
	fail := func(other string) (*task.Task, error) {
		return nil, fmt.Errorf("%s: the name %q is that of %s too: give the task another one (key task)",
			t.Path, t.Name, other)
	}
	if slices.Contains(taken, t.Name) {
		return fail("a benchmark of the suite")
	}
	for k := range x[:i] {
		if other, err := x[k].load(); err == nil && other.Name == t.Name {
			return fail(other.Path)
		}
	}
	return t, nil
}

// SetData gives the task of this name another data file. The paths of task files have to be
// in place.
func (x Tasks) SetData(name, file string) error {
	var names []string
	var errs []error
	for i := range x {
		t, err := task.Load(x[i].Path, file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if t.Name == name {
			x[i].Data.Path = file
			return nil
		}
		names = append(names, t.Name)
	}
	if len(x) == 0 {
		names = []string{"(none)"}
	}
	return errors.Join(append([]error{fmt.Errorf("eval: task_data: no task is named %q: the tasks are %s", name,
		strings.Join(names, ", "))}, errs...)...)
}

// Notes say what the reader of a result should know of the tasks: what of their
// files was left out.
func (x Tasks) Notes() []string {
	var out []string
	for i := range x {
		t, err := x[i].load()
		if err != nil {
			continue
		}
		if len(t.Ignored) > 0 {
			out = append(out, fmt.Sprintf("task %s: keys that change nothing here: %s",
				t.Name, strings.Join(t.Ignored, ", ")))
		}
		for _, note := range t.Notes {
			out = append(out, fmt.Sprintf("task %s: %s", t.Name, note))
		}
	}
	return out
}

// Inputs are the files that task files name, and include, by a name for each; tasks
// that cannot be loaded have none.
func (x Tasks) Inputs() map[string]string {
	out := map[string]string{}
	for _, b := range x.specs(eval.Settings{}, nil) {
		for _, f := range b.Inputs {
			if f.derived {
				out[f.Key] = f.Path
			}
		}
	}
	return out
}

// specs describe the tasks. One that cannot be loaded goes by the name of its file, until
// load says why.
func (x Tasks) specs(set eval.Settings, taken []string) []Spec {
	var out []Spec
	for i := range x {
		f, key := &x[i], fmt.Sprintf("tasks[%d]", i)
		b := Spec{
			Name: strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path)), Protocol: eval.ProtocolLogLik,
			Inputs: []Input{{Key: key, File: &f.File, SelfDescribed: true},
				{Key: key + ".data", File: &f.Data.File, whole: true, SelfDescribed: true}},
		}
		if t, err := f.load(); err == nil {
			b.Name = t.Name
			if t.Output == task.GenerateUntil {
				b.Protocol = eval.ProtocolGenerate
			}
			for k, path := range t.Files() {
				b.Inputs = append(b.Inputs, Input{Key: fmt.Sprintf("%s.file%d", key, k), File: &File{Path: path},
					whole: true, SelfDescribed: true, derived: true})
			}
		}
		b.Load = func() error {
			t, err := x.load(i, taken)
			if err == nil {
				_, err = t.Items(set.TargetDelimiter)
			}
			return err
		}
		b.Language = func(ctx context.Context, s eval.Subject) (*run.Measurement, []run.Item, error) {
			t, err := f.load()
			if err != nil {
				return nil, nil, fmt.Errorf("eval: %w", err)
			}
			return UserTask(ctx, s, set, t)
		}
		out = append(out, b)
	}
	return out
}
