package task

import (
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/hub"
	"steer/rl/data"
)

// splits are the data files of a task by the name of their split; "" is any.
type splits map[string]string

// readSplits reads a file name or a mapping of splits to file names.
func (s *source) readSplits(key string, n *yaml.Node) (splits, error) {
	out := splits{}
	one := func(split string, n *yaml.Node) error {
		names, ok := texts(n)
		if !ok || len(names) != 1 {
			return s.fail(key, n.Line, "want the name of one file for %s", orAll(split))
		}
		out[split] = names[0]
		return nil
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if err := one(n.Content[i].Value, n.Content[i+1]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return out, one("", n)
}

func orAll(split string) string {
	if split == "" {
		return "the data"
	}
	return "split " + split
}

// readSplits reads which files of data a task names.
func (t *Task) readSplits(s *source, f *file) (err error) {
	t.Format = data.Format(f.Format)
	path := data.Format(f.datasetPath()) // "json" stands for both of its forms
	if t.Format == "" && path != data.TableJSON && slices.Contains(data.TableFormats(), path) {
		t.Format = path
	}
	if f := t.Format; f != "" && !slices.Contains(data.TableFormats(), f) {
		return s.fail("format", 0, "want one of %v, got %q", data.TableFormats(), f)
	}
	switch kwargs := mappingValue(&f.DatasetKwargs, "data_files"); {
	case given(&f.Data):
		t.splits, err = s.readSplits("data", &f.Data)
	case kwargs != nil:
		t.splits, err = s.readSplits("dataset_kwargs.data_files", kwargs)
	}
	return err
}

// Files take the place of those that a task names.
type Files struct {
	Data    string // of the measured rows
	Fewshot string // of the few-shot examples
}

// Measured names the split of the measured rows, Fewshot that of the examples; "" where the
// task names none.
func (t *Task) Measured() string {
	f := &t.source.file
	return firstOf(split(&f.TestSplit), split(&f.ValidationSplit))
}

// Fewshot names the split of the few-shot examples.
func (t *Task) Fewshot() string {
	f := &t.source.file
	return firstOf(split(&f.FewshotSplit), split(&f.TrainingSplit), split(&f.ValidationSplit), split(&f.TestSplit))
}

func split(n *yaml.Node) string {
	if given(n) {
		return n.Value
	}
	return ""
}

// Dataset is what a task says of data that are kept elsewhere: a data set of a hub, the
// configuration of it, and a revision.
type Dataset struct{ Path, Name, Revision string }

// Dataset tells which data set of a hub the task is about; its path is empty if none.
func (t *Task) Dataset() Dataset {
	f := &t.source.file
	if slices.Contains([]string{"json", "csv", "parquet", "text"}, f.datasetPath()) {
		return Dataset{} // a reader of files
	}
	d := Dataset{Path: f.datasetPath(), Name: split(&f.DatasetName)}
	if r := mappingValue(&f.DatasetKwargs, "revision"); r != nil {
		d.Revision = r.Value
	}
	return d
}

func (f *file) datasetPath() string {
	if f.DatasetPath == nil {
		return ""
	}
	return *f.DatasetPath
}

// Missing lists the splits for which neither the task nor files name a file.
func (t *Task) Missing(files Files) []string {
	var out []string
	for _, want := range []struct {
		split, file string
		need        bool
	}{{t.Measured(), files.Data, true}, {t.Fewshot(), files.Fewshot, t.NumFewshot > 0 && t.samples == nil}} {
		if want.need && want.file == "" && t.splits.find(want.split) == "" && !slices.Contains(out, want.split) {
			out = append(out, want.split)
		}
	}
	return out
}

// Place finds the data file of the measured rows, and that of the few-shot examples.
func (t *Task) Place(files Files) error {
	s, f := t.source, &t.source.file
	measured, from := t.Measured(), t.Fewshot()
	if t.Data = s.place(t.splits.find(measured)); files.Data != "" {
		t.Data = files.Data
	}
	if t.Data == "" {
		return t.noData(measured)
	}
	if name := t.splits.find(measured); files.Data == "" && hub.IsName(name) {
		return t.atHub(name, measured)
	}
	if t.NumFewshot == 0 || t.samples != nil {
		return nil
	}
	if t.shots = s.place(t.splits.find(from)); files.Fewshot != "" {
		t.shots = files.Fewshot
	}
	if name := t.splits.find(from); files.Fewshot == "" && hub.IsName(name) {
		return t.atHub(name, from)
	}
	if t.shots == "" && (from == measured || len(t.splits) == 0) {
		t.shots = t.Data
	}
	if t.shots == "" {
		return s.fail("num_fewshot", f.NumFewshot.Line, "the examples come from split %q, for which data names no file",
			from)
	}
	switch {
	case t.shots != t.Data:
	case t.ownExcluded():
		t.Notes = append(t.Notes, "few-shot examples are rows of the measured file; a row is never its own example")
	default:
		t.Notes = append(t.Notes, "few-shot examples are rows of the measured file, and a row may be its own example, "+
			"as in lm-evaluation-harness: name a fewshot_split, or test_split as that")
	}
	return nil
}

// atHub says where names of the hub are read: a task file does not know which commit a run had.
func (t *Task) atHub(name, split string) error {
	of := t.Name
	if split != "" {
		of += ":" + split
	}
	return t.source.fail("data", 0, "names of the hub are read where an evaluation names the data: take it out here, "+
		"and give --task-data %s=%s, key task_data: {%q: %q}", of, name, of, name)
}

// noData says how to give the file of the measured rows.
func (t *Task) noData(measured string) error {
	known := ""
	if set := t.Dataset(); set.Path != "" {
		known = " (the data set " + set.Path + " is not fetched)"
	}
	if len(t.splits) > 0 {
		known = " (there is a file for " + strings.Join(t.splits.names(), ", ") + ")"
	}
	return t.source.fail("data", 0,
		"want the file of %s%s: add the line \"data: FILE\" (json, jsonl, csv, tsv or parquet), "+
			"or name it in the evaluation: --task-data %s=FILE, key task_data: {%s: FILE}",
		orAll(measured), known, t.Name, t.Name)
}

// find gives the file of a split: of a plain name whichever is asked for, and the only
// file there is if the task names no split.
func (f splits) find(split string) string {
	if name, ok := f[split]; ok {
		return name
	}
	if name, ok := f[""]; ok {
		return name
	}
	if split == "" && len(f) == 1 {
		for _, name := range f {
			return name
		}
	}
	if split == "" {
		return firstOf(f["test"], f["validation"])
	}
	return ""
}

func (f splits) names() []string {
	var out []string
	for k := range f {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// place makes a path relative to the file that names it.
func (s *source) place(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.path), path)
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// mappingValue gives the value of a key, nil without one.
func mappingValue(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
