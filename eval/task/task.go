package task

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/ordered"
	"steer/internal/pyfunc"
	"steer/rl/data"
)

// Output is what a task asks of a model.
type Output string

// The outputs, by their names in lm-evaluation-harness.
const (
	MultipleChoice Output = "multiple_choice"       // which choice is the likeliest
	LogLikelihood  Output = "loglikelihood"         // how likely is the target
	GenerateUntil  Output = "generate_until"        // does greedy generation give the target
	Rolling        Output = "loglikelihood_rolling" // how likely is a whole text
)

// Task is a task as its file describes it.
type Task struct {
	Name   string
	Alias  string // what the harness's tables call it, "" for none
	Path   string // of the task file
	SHA256 string // of the task file and of those it includes
	Output Output
	// Data is the file of the measured rows; First and Limit choose among them.
	Data         string
	Format       data.Format // "" goes by the file's name
	First, Limit int
	// TargetDelimiter stands before a choice; nil: the evaluation's own.
	TargetDelimiter *string
	NumFewshot      int
	Generation      Generation
	Metrics         []Metric
	Filters         []Filter
	// Results computes the metrics of an item instead; nil: they are those of MetricList.
	Results *pyfunc.Function
	// Ignored are the keys of the file that change nothing here, Notes what a reader of
	// the result should know besides.
	Ignored, Notes []string

	source           *source
	left             []string         // metrics of process_results that are not computed
	process          *pyfunc.Function // of all rows of a file, nil without
	processShots     *pyfunc.Function // of those of the few-shot examples
	included         []string
	splits           splits         // data files that the task names
	shots            string         // data file of the few-shot examples
	samples          []*ordered.Map // few-shot examples written into the task
	indices          []int          // rows that examples are drawn from, nil: all
	sampler          string
	fewshotDelimiter string
	shotsDelimiter   string  // behind an example
	shotsTarget      *string // between an example and its answer; nil: the task's delimiter
	form                     // of the measured rows
	shown            form    // of the few-shot examples
	description      field
	id               field
	hasID            bool
}

// Generation bounds what is generated.
type Generation struct {
	Until     []string // an answer ends before the first of these
	MaxTokens int
}

// file is the form of a task file. Keys that are yaml.Node may be of several kinds.
type file struct {
	Include yaml.Node `yaml:"include"`

	Task       *string   `yaml:"task"`
	OutputType Output    `yaml:"output_type"`
	Data       yaml.Node `yaml:"data"`
	Format     string    `yaml:"format"`
	First      int       `yaml:"first"`
	Limit      int       `yaml:"limit"`
	ID         yaml.Node `yaml:"id"`

	DatasetPath     *string   `yaml:"dataset_path"`
	DatasetKwargs   yaml.Node `yaml:"dataset_kwargs"`
	TrainingSplit   yaml.Node `yaml:"training_split"`
	ValidationSplit yaml.Node `yaml:"validation_split"`
	TestSplit       yaml.Node `yaml:"test_split"`
	FewshotSplit    yaml.Node `yaml:"fewshot_split"`

	Description      yaml.Node `yaml:"description"`
	Text             yaml.Node `yaml:"doc_to_text"`
	Choice           yaml.Node `yaml:"doc_to_choice"`
	Target           yaml.Node `yaml:"doc_to_target"`
	TargetDelimiter  *string   `yaml:"target_delimiter"`
	FewshotDelimiter string    `yaml:"fewshot_delimiter"`
	NumFewshot       yaml.Node `yaml:"num_fewshot"`
	FewshotConfig    yaml.Node `yaml:"fewshot_config"`
	GenerationKwargs yaml.Node `yaml:"generation_kwargs"`
	MetricList       yaml.Node `yaml:"metric_list"`
	FilterList       yaml.Node `yaml:"filter_list"`
	Repeats          int       `yaml:"repeats"`

	ProcessDocs    yaml.Node `yaml:"process_docs"`
	ProcessResults yaml.Node `yaml:"process_results"`
	CustomDataset  yaml.Node `yaml:"custom_dataset"`
	UsePrompt      yaml.Node `yaml:"use_prompt"`
	GenPrefix      yaml.Node `yaml:"gen_prefix"`
	DocToImage     yaml.Node `yaml:"doc_to_image"`
	DocToAudio     yaml.Node `yaml:"doc_to_audio"`

	Tag                  yaml.Node `yaml:"tag"`
	Group                yaml.Node `yaml:"group"`
	TaskAlias            yaml.Node `yaml:"task_alias"`
	DatasetName          yaml.Node `yaml:"dataset_name"`
	Metadata             yaml.Node `yaml:"metadata"`
	ShouldDecontaminate  yaml.Node `yaml:"should_decontaminate"`
	DecontaminationQuery yaml.Node `yaml:"doc_to_decontamination_query"`
	UnsafeCode           yaml.Node `yaml:"unsafe_code"`
}

// Values lists the outputs, for configuration checks.
func (Output) Values() []string {
	return []string{string(MultipleChoice), string(LogLikelihood), string(Rolling), string(GenerateUntil)}
}

// Load reads a task file. dataFile, if given, takes the place of the data file that it
// names, so that a file of lm-evaluation-harness can stay as it is.
func Load(path, dataFile string) (*Task, error) {
	t, err := Read(path)
	if err != nil {
		return nil, err
	}
	return t, t.Place(Files{Data: dataFile})
}

// Read reads a task file, but for its data: [Task.Place] finds them.
func Read(path string) (*Task, error) {
	s := newSource(path)
	if err := s.readFile(path, nil); err != nil {
		return nil, err
	}
	return s.task(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
}

// task checks what was read; name is what a task without one is called.
func (s *source) task(name string) (*Task, error) {
	f := &s.file
	if err := s.python(); err != nil {
		return nil, err
	}
	t := &Task{Name: name, Path: s.path, Output: f.OutputType,
		First: f.First, Limit: f.Limit, TargetDelimiter: f.TargetDelimiter, source: s}
	t.Alias = split(&f.TaskAlias)
	if f.Task != nil && *f.Task != "" {
		t.Name = *f.Task
	}
	for _, step := range []func(*source, *file) error{
		t.refuse, t.readFunctions, t.readFields, t.readFewshot, t.readGeneration, t.readMetrics, t.readFilters,
		t.readSplits,
	} {
		if err := step(s, f); err != nil {
			return nil, err
		}
	}
	for _, f := range s.files {
		if f != s.path && !slices.Contains(t.included, f) {
			t.included = append(t.included, f)
		}
	}
	sum := sha256.Sum256(s.hash)
	t.SHA256 = hex.EncodeToString(sum[:])
	t.ignore(f)
	if t.Output == Rolling {
		t.rolls(f)
	}
	return t, nil
}

// texts reads a text, or a list of texts.
func texts(n *yaml.Node) ([]string, bool) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		return []string{n.Value}, true
	case n.Kind == yaml.SequenceNode:
		var out []string
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode || c.Tag == "!!null" {
				return nil, false
			}
			out = append(out, c.Value)
		}
		return out, true
	}
	return nil, false
}

// given says that a key is there and not null, false or empty.
func given(n *yaml.Node) bool {
	switch n.Kind {
	case 0:
		return false
	case yaml.ScalarNode:
		return n.Tag != "!!null" && n.Value != "" && !(n.Tag == "!!bool" && strings.EqualFold(n.Value, "false"))
	}
	return len(n.Content) > 0
}

// refuse stops at what would change the measurement and is not done here.
func (t *Task) refuse(s *source, f *file) error {
	for _, k := range []struct {
		key, mend string
		n         *yaml.Node
	}{
		{"custom_dataset", "write the rows into a file and name it under data", &f.CustomDataset},
		{"use_prompt", "write the prompt into doc_to_text", &f.UsePrompt},
		{"doc_to_image", "only text is measured", &f.DocToImage},
		{"doc_to_audio", "only text is measured", &f.DocToAudio},
	} {
		if given(k.n) {
			return s.fail(k.key, k.n.Line, "not supported: %s", k.mend)
		}
	}
	switch {
	case f.Repeats != 1:
		return s.fail("repeats", 0, "want 1, got %d: one greedy answer an item is measured", f.Repeats)
	case t.First < 0 || t.Limit < 0:
		return s.fail("first", 0, "first and limit: want 0 or more, got %d and %d", t.First, t.Limit)
	case strings.ContainsAny(t.Name, "/\\\n") || strings.TrimSpace(t.Name) == "":
		return s.fail("task", 0, "want a name without slashes and line ends, got %q", t.Name)
	}
	return nil
}

// rolls leaves out what a text that is scored as a whole has no place for.
func (t *Task) rolls(f *file) {
	for _, k := range []struct {
		key string
		n   *yaml.Node
	}{
		{"description", &f.Description}, {"num_fewshot", &f.NumFewshot}, {"fewshot_config", &f.FewshotConfig},
		{"fewshot_split", &f.FewshotSplit}, {"gen_prefix", &f.GenPrefix}, {"doc_to_text", &f.Text},
		{"doc_to_choice", &f.Choice},
	} {
		if given(k.n) && k.n.Value != "0" {
			t.Ignored = append(t.Ignored, k.key)
		}
	}
	t.NumFewshot = 0
}

// ignore lists the keys that change nothing here.
func (t *Task) ignore(f *file) {
	for _, k := range []struct {
		key string
		n   *yaml.Node
	}{
		{"tag", &f.Tag}, {"group", &f.Group},
		{"dataset_name", &f.DatasetName}, {"metadata", &f.Metadata},
		{"should_decontaminate", &f.ShouldDecontaminate},
		{"doc_to_decontamination_query", &f.DecontaminationQuery}, {"unsafe_code", &f.UnsafeCode},
	} {
		if given(k.n) {
			t.Ignored = append(t.Ignored, k.key)
		}
	}
}
