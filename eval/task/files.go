package task

import (
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

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

// readData finds the data file of the measured rows, and that of the few-shot examples.
func (t *Task) readData(s *source, f *file, override string) error {
	t.Format = data.Format(f.Format)
	path := data.Format(f.DatasetPath) // "json" stands for both of its forms
	if t.Format == "" && path != data.TableJSON && slices.Contains(data.TableFormats(), path) {
		t.Format = path
	}
	if f := t.Format; f != "" && !slices.Contains(data.TableFormats(), f) {
		return s.fail("format", 0, "want one of %v, got %q", data.TableFormats(), f)
	}
	var files splits
	var err error
	switch kwargs := mappingValue(&f.DatasetKwargs, "data_files"); {
	case given(&f.Data):
		files, err = s.readSplits("data", &f.Data)
	case kwargs != nil:
		files, err = s.readSplits("dataset_kwargs.data_files", kwargs)
	}
	if err != nil {
		return err
	}
	split := func(n *yaml.Node) string {
		if given(n) {
			return n.Value
		}
		return ""
	}
	train, validation, test := split(&f.TrainingSplit), split(&f.ValidationSplit), split(&f.TestSplit)
	measured := firstOf(test, validation)
	if t.Data = s.place(files.find(measured)); override != "" {
		t.Data = override
	}
	if t.Data == "" {
		known := ""
		if f.DatasetPath != "" {
			known = " (the data set " + f.DatasetPath + " is not fetched)"
		}
		if len(files) > 0 {
			known = " (there is a file for " + strings.Join(files.names(), ", ") + ")"
		}
		return s.fail("data", 0,
			"want the file of %s%s: add the line \"data: FILE\" (json, jsonl, csv, tsv or parquet), "+
				"or name it in the evaluation: --task-data %s=FILE, key task_data: {%s: FILE}",
			orAll(measured), known, t.Name, t.Name)
	}
	if t.NumFewshot == 0 || t.samples != nil {
		return nil
	}
	from := firstOf(split(&f.FewshotSplit), train, validation, test)
	if t.shots = s.place(files.find(from)); t.shots == "" && (from == measured || len(files) == 0) {
		t.shots = t.Data
	}
	if t.shots == "" {
		return s.fail("num_fewshot", f.NumFewshot.Line, "the examples come from split %q, for which data names no file",
			from)
	}
	if t.shots == t.Data {
		t.Notes = append(t.Notes, "few-shot examples are rows of the measured file; a row is never its own example")
	}
	return nil
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
