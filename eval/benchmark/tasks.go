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
	"steer/rl/data"
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
	// Member is the task that is meant, where the file describes a group of them.
	Member string `yaml:"member,omitempty"`
	// Data takes the place of the data file that the task names, Fewshot of that with the
	// few-shot examples.
	Data    ShortFile `yaml:"data,omitempty"`
	Fewshot ShortFile `yaml:"fewshot,omitempty"`

	group  *task.Group // of the file, read once for all its members
	read   *task.Task  // without its data
	task   *task.Task  // with those of loaded
	loaded [4]string
}

// Tasks are tasks of the user's own.
type Tasks []TaskFile

// Expand puts the members of group files in their place, so that every entry is one task. The
// paths of the files have to be in place.
func (x *Tasks) Expand() error {
	var out Tasks
	for i := range *x {
		f := (*x)[i]
		if f.Path == "" || f.Member != "" {
			out = append(out, f)
			continue
		}
		isGroup, err := task.IsGroup(f.Path)
		if err != nil || !isGroup {
			out = append(out, f) // loading it says what is wrong
			continue
		}
		g, err := task.ReadGroup(f.Path)
		if err != nil {
			return fmt.Errorf("eval: tasks[%d]: %w", i, err)
		}
		if f.Data.Path != "" || f.Fewshot.Path != "" {
			return fmt.Errorf("eval: tasks[%d]: %s is a group of %d tasks: name the data of each under task_data "+
				"({%s: FILE, ...})", i, f.Path, len(g.Tasks()), g.Tasks()[0].Name)
		}
		for _, t := range g.Tasks() {
			if slices.ContainsFunc(out, func(o TaskFile) bool { return o.Path == f.Path && o.Member == t.Name }) {
				continue
			}
			m := f
			m.Member, m.group, m.read = t.Name, g, t
			out = append(out, m)
		}
	}
	*x = out
	return nil
}

// readGroup reads the group file of an entry, or takes it from another entry of the same file.
func (x Tasks) readGroup(f *TaskFile) error {
	for i := range x {
		if x[i].Path == f.Path && x[i].group != nil {
			f.group = x[i].group
			return nil
		}
	}
	var err error
	f.group, err = task.ReadGroup(f.Path)
	return err
}

// readTask reads the file of an entry, but for its data.
func (x Tasks) readTask(f *TaskFile) error {
	if f.read != nil && f.loaded[0] == f.Path && f.loaded[1] == f.Member {
		return nil
	}
	f.task, f.loaded = nil, [4]string{f.Path, f.Member}
	if f.Member == "" {
		isGroup, err := task.IsGroup(f.Path)
		if err != nil {
			return err
		}
		if isGroup {
			return fmt.Errorf("%s: a group of tasks, where one task is wanted: name its member (key member)", f.Path)
		}
		f.read, err = task.Read(f.Path)
		return err
	}
	if f.read != nil && f.read.Name == f.Member { // just expanded
		return nil
	}
	if err := x.readGroup(f); err != nil {
		return err
	}
	all := f.group.Tasks()
	i := slices.IndexFunc(all, func(t *task.Task) bool { return t.Name == f.Member })
	if i < 0 {
		return fmt.Errorf("%s: member: the group %s has no task %q", f.Path, f.group.Name, f.Member)
	}
	f.read = all[i]
	return nil
}

// open reads the task of an entry and finds its data, once as long as nothing about it changes.
func (x Tasks) open(f *TaskFile) (*task.Task, error) {
	if err := x.readTask(f); err != nil {
		return nil, err
	}
	now := [4]string{f.Path, f.Member, f.Data.Path, f.Fewshot.Path}
	if f.task == nil || f.loaded != now {
		t := *f.read
		t.Notes = slices.Clone(t.Notes)
		if err := t.Place(task.Files{Data: f.Data.Path, Fewshot: f.Fewshot.Path}); err != nil {
			return nil, err
		}
		f.task, f.loaded = &t, now
	}
	t := *f.task
	if f.First > 0 || f.Limit > 0 {
		t.First, t.Limit = f.First, f.Limit
	}
	return &t, nil
}

// loadAll reads the task files. taken are names that they cannot have.
func (x Tasks) loadAll(taken []string) error {
	for i := range x {
		if _, err := x.load(i, taken); err != nil {
			return fmt.Errorf("eval: tasks[%d]: %w", i, err)
		}
	}
	for _, g := range x.groups() {
		if slices.Contains(taken, g.Name) || slices.ContainsFunc(x, func(f TaskFile) bool {
			return f.task != nil && f.task.Name == g.Name
		}) {
			return fmt.Errorf("eval: tasks: %s: the name %q of the group is that of a task or benchmark too: give it "+
				"another one (key group)", g.Path, g.Name)
		}
	}
	return nil
}

// load loads one task and makes sure that its name is its own.
func (x Tasks) load(i int, taken []string) (*task.Task, error) {
	t, err := x.open(&x[i])
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
		if other, err := x.open(&x[k]); err == nil && other.Name == t.Name {
			return fail(other.Path)
		}
	}
	return t, nil
}

// SetData gives the task of this name another data file. NAME:SPLIT is a split of it: that of
// the measured rows, or that of the few-shot examples. The paths of task files have to be in place.
func (x Tasks) SetData(name, file string) error {
	var names []string
	var errs []error
	for i := range x {
		if err := x.readTask(&x[i]); err != nil {
			errs = append(errs, err)
			continue
		}
		t := x[i].read
		split, ofSplit := strings.CutPrefix(name, t.Name+":")
		switch {
		case t.Name == name:
			x[i].Data.Path = file
			return nil
		case ofSplit && (split == t.Measured() || split == t.Fewshot()):
			if split == t.Measured() {
				x[i].Data.Path = file
			}
			if split == t.Fewshot() {
				x[i].Fewshot.Path = file
			}
			return nil
		case ofSplit:
			return fmt.Errorf("eval: task_data: task %s reads no split %q: it measures %q and takes few-shot examples "+
				"from %q", t.Name, split, t.Measured(), t.Fewshot())
		}
		names = append(names, t.Name)
	}
	if len(x) == 0 {
		names = []string{"(none)"}
	}
	if more := len(names) - 20; more > 0 {
		names = append(names[:20], fmt.Sprintf("and %d more", more))
	}
	return errors.Join(append([]error{fmt.Errorf("eval: task_data: no task is named %q: the tasks are %s", name,
		strings.Join(names, ", "))}, errs...)...)
}

// Finder gives the file of a split of a data set, or says how to give it.
type Finder func(set task.Dataset, split string) (file string, err error)

// Find asks for the files of all tasks that neither name their data nor were given them.
func (x Tasks) Find(find Finder) error {
	for i := range x {
		f := &x[i]
		if err := x.readTask(f); err != nil {
			return fmt.Errorf("eval: tasks[%d]: %w", i, err)
		}
		set := f.read.Dataset()
		if set.Path == "" {
			continue
		}
		for _, split := range f.read.Missing(task.Files{Data: f.Data.Path, Fewshot: f.Fewshot.Path}) {
			file, err := find(set, split)
			if err != nil {
				return fmt.Errorf("eval: tasks[%d]: task %s: split %q of the data set %s: %w", i, f.read.Name, split,
					set.Path, err)
			}
			if split == f.read.Measured() && f.Data.Path == "" {
				f.Data.Path = file
			}
			if split == f.read.Fewshot() && f.read.NumFewshot > 0 && f.Fewshot.Path == "" {
				f.Fewshot.Path = file
			}
		}
	}
	return nil
}

// Notes say what the reader of a result should know of the tasks: what of their
// files was left out.
func (x Tasks) Notes() []string {
	var out []string
	for i := range x {
		t, err := x.open(&x[i])
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
	for _, b := range x.specs(eval.Settings{}, TaskPrompts{}, nil, nil) {
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
func (x Tasks) specs(set eval.Settings, how TaskPrompts, tpl *data.Template, taken []string) []Spec {
	var out []Spec
	for i := range x {
		f, key := &x[i], fmt.Sprintf("tasks[%d]", i)
		b := Spec{
			Name: strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path)), Protocol: eval.ProtocolLogLik,
			Rendered: how.ApplyChatTemplate, options: taskPromptKeys,
			Inputs: []Input{{Key: key, File: &f.File, SelfDescribed: true},
				{Key: key + ".data", File: &f.Data.File, whole: true, SelfDescribed: true},
				{Key: key + ".fewshot", File: &f.Fewshot.File, whole: true, SelfDescribed: true}},
		}
		if f.Member != "" {
			b.Name = f.Member
		}
		if t, err := x.open(f); err == nil {
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
				_, err = t.Items(how.asking(set))
			}
			return err
		}
		b.Language = func(ctx context.Context, s eval.Subject) (*run.Measurement, []run.Item, error) {
			t, err := x.open(f)
			if err != nil {
				return nil, nil, fmt.Errorf("eval: %w", err)
			}
			return UserTask(ctx, s, set, t, how, tpl)
		}
		out = append(out, b)
	}
	return out
}
