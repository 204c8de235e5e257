package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"steer/app/workspace"
	"steer/eval/benchmark"
	"steer/experiments"
	"steer/internal/conf"
	"steer/internal/fetch"
	"steer/rl/data"
	"steer/rl/run"
)

// SuiteName names a set of benchmarks with their options (experiments/suites).
type SuiteName string

// suiteData is the file beside the suites that says where data are found.
const suiteData = "data"

// Values lists the suites.
func (SuiteName) Values() []string {
	entries, err := experiments.Suites.ReadDir("suites")
	if err != nil {
		panic(err) // embedded
	}
	var names []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".yaml"); name != suiteData {
			names = append(names, name)
		}
	}
	return names
}

// suiteFile is a file of experiments/suites.
type suiteFile struct {
	About string `yaml:"about"`
	// Data lists keys of an evaluation; "all" stands for every one of the catalogue.
	Data []string `yaml:"data"`
	// Eval holds the options; they are what a job starts from.
	Eval Eval `yaml:"eval"`
}

// dataEntry says where the data of one key are found.
type dataEntry struct {
	Key string `yaml:"key"`
	// Rewards: of use only where there are reward models.
	Rewards bool `yaml:"rewards"`
	// Files are looked for in this order, below the data folder.
	Files []string `yaml:"files"`
	// Set of package fetch's catalogue that they are of.
	Set string `yaml:"set"`
	// Lost is what an evaluation without these data lacks, in words.
	Lost string `yaml:"lost"`
	// Otherwise are the settings of an evaluation without these data: KEY=VALUE, or
	// KEY-=VALUE to take one out of a list.
	Otherwise []string `yaml:"otherwise"`
}

// MissingData are data of a suite that were not found, as the job says; results say the same.
type MissingData struct {
	Key   string   `yaml:"key"`
	Files []string `yaml:"files"` // any one of these, below the data folder
	From  string   `yaml:"from"`
	Lost  string   `yaml:"lost"` // what there is no result of, in words
}

// NewEvalSuite is what an evaluation of a suite starts from; "" names none.
func NewEvalSuite(name SuiteName) (Eval, error) {
	if name == "" {
		return NewEval(), nil
	}
	s, err := loadSuite(name)
	s.Eval.Suite = name
	return s.Eval, err
}

func loadSuite(name SuiteName) (suiteFile, error) {
	s := suiteFile{Eval: NewEval()}
	if !slices.Contains(name.Values(), string(name)) {
		return s, fmt.Errorf("suite: want one of %s, got %q", strings.Join(name.Values(), ", "), name)
	}
	return s, parseEmbedded(string(name), &s)
}

// catalogue lists the data of all suites.
func catalogue() ([]dataEntry, error) {
	var c struct {
		Data []dataEntry `yaml:"data"`
	}
	err := parseEmbedded(suiteData, &c)
	return c.Data, err
}

func parseEmbedded(name string, into any) error {
	file := path.Join("suites", name+".yaml")
	raw, err := experiments.Suites.ReadFile(file)
	if err != nil {
		return err
	}
	return conf.Parse(file, raw, into)
}

// FindData fills in the paths of the suite's data that the job does not name itself,
// lists those that are not there, and applies Limit.
func (j *Eval) FindData(dir string) error {
	j.Missing = nil
	if j.Limit < 0 {
		return fmt.Errorf("eval: limit: want 0 (all items) or more, got %d", j.Limit)
	}
	if j.Suite == "" {
		if j.Data != "" {
			return errors.New("eval: data: names the data folder of a suite: want suite, too")
		}
		j.limitAll()
		return nil
	}
	j.Data = workspace.Abs(dir, j.Data)
	var noFolder error
	if j.Data != "" {
		if info, err := os.Stat(j.Data); errors.Is(err, fs.ErrNotExist) {
			noFolder = err // said when it is known what would be in it
		} else if err != nil {
			return fmt.Errorf("eval: data: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("eval: data: %s is no folder", j.Data)
		}
	}
	s, err := loadSuite(j.Suite)
	if err != nil {
		return err
	}
	entries, err := catalogue()
	if err != nil {
		return err
	}
	found := 0
	var otherwise []string
	for _, e := range entries {
		if !slices.Contains(s.Data, e.Key) && !slices.Contains(s.Data, "all") {
			continue
		}
		ok, err := j.findEntry(e)
		if err != nil {
			return err
		}
		if ok {
			found++
		} else {
			otherwise = append(otherwise, e.Otherwise...)
		}
	}
	for _, o := range otherwise {
		if err := j.apply(o); err != nil {
			return err
		}
	}
	j.limitAll()
	j.refer()
	switch {
	case noFolder != nil:
		return &NoDataError{fmt.Errorf("eval: data: %w: \"steer fetch data\" lays it out", noFolder)}
	case found == 0:
		return &NoDataError{fmt.Errorf("eval: suite %s: none of its data are in %q: name their folder with data "+
			"(--data), laid out as in docs/eval.md and by \"steer fetch data\"", j.Suite, j.Data)}
	}
	return nil
}

// NoDataError: a suite has no data to measure on.
type NoDataError struct{ err error }

// Error implements error.
func (e *NoDataError) Error() string { return e.err.Error() }

// Unwrap gives the reason.
func (e *NoDataError) Unwrap() error { return e.err }

// findEntry looks for the data of one key.
func (j *Eval) findEntry(e dataEntry) (found bool, err error) {
	files := j.DataFiles()
	i := slices.IndexFunc(files, func(f benchmark.DataFile) bool { return f.Key == e.Key })
	if i < 0 {
		return false, fmt.Errorf("suites/%s.yaml: %s: no evaluation reads such data", suiteData, e.Key)
	}
	if *files[i].Path != "" {
		return true, nil
	}
	if !e.Rewards || len(j.Rewards) > 0 {
		if j.Data != "" {
			for _, f := range e.Files {
				file := filepath.Join(j.Data, filepath.FromSlash(f))
				if _, err := data.Resolve(file); err == nil {
					*files[i].Path = file
					return true, nil
				} else if !errors.Is(err, fs.ErrNotExist) {
					return false, fmt.Errorf("eval: %s: %w", e.Key, err)
				}
			}
		}
		set, ok := fetch.Known().Lookup(e.Set)
		if !ok {
			return false, fmt.Errorf("suites/%s.yaml: %s: set %q is not in the catalogue", suiteData, e.Key, e.Set)
		}
		lost := cmp.Or(e.Lost, e.Key+" is not measured")
		j.Missing = append(j.Missing, MissingData{Key: e.Key, Files: e.Files, From: set.Page, Lost: lost})
	}
	return false, nil
}

// apply makes a setting of the catalogue.
func (j *Eval) apply(setting string) error {
	key, drop, ok := strings.Cut(setting, "-=")
	if !ok {
		return conf.Set(j, setting)
	}
	raw, err := conf.Marshal(j)
	if err != nil {
		return err
	}
	values, err := conf.List(raw, key)
	if err != nil {
		return err
	}
	values = slices.DeleteFunc(values, func(v string) bool { return v == drop })
	return conf.SetList(j, key, values)
}

// limitAll cuts the window of every data file to Limit rows.
func (j *Eval) limitAll() {
	if j.Limit == 0 {
		return
	}
	for _, f := range j.DataFiles() {
		if *f.Path != "" && f.Limit != nil && (*f.Limit == 0 || *f.Limit > j.Limit) {
			*f.Limit = j.Limit
		}
	}
}

// refer takes the base for the reference where the suite's is not among the models.
func (j *Eval) refer() {
	has := func(name string) bool {
		return slices.ContainsFunc(j.Subjects, func(s Subject) bool { return s.Name == name })
	}
	for _, r := range j.References() {
		if !has(*r) {
			*r = "base"
		}
	}
}

// String says what is missing, where it comes from and what fetches it.
func (m MissingData) String() string {
	text := fmt.Sprintf("%s: %s is not in the data folder; it comes from %s", m.Lost, strings.Join(m.Files, " or "),
		m.From)
	if command := m.command(); command != "" {
		text += fmt.Sprintf(" (%s)", command)
	}
	return text
}

// command fetches what is missing, "" where nothing does.
func (m MissingData) command() string {
	if set, _, _, ok := fetch.Known().Find(m.Files[0]); ok {
		return set.Command()
	}
	return ""
}

// tellMissing says aloud what cannot be measured.
func (j *Eval) tellMissing(note func(string)) {
	for _, m := range j.Missing {
		note("warning: missing: " + m.String())
	}
	if j.Limit > 0 {
		note(fmt.Sprintf("a quick look: the first %d items of every benchmark (results are flagged partial)", j.Limit))
	}
}

// recordSuite puts the suite, and what of it could not be measured, into the result.
func (j *Eval) recordSuite(result *run.Evaluation) {
	result.Limit = j.Limit
	if j.Suite == "" {
		return
	}
	result.Suite = &run.Suite{Name: string(j.Suite), Data: j.Data, Missing: []run.MissingData{}}
	for _, m := range j.Missing {
		result.Suite.Missing = append(result.Suite.Missing, run.MissingData(m))
		result.Warnings = append(result.Warnings, "suite "+string(j.Suite)+": "+m.String())
	}
}

// ParseSubject reads NAME=FILE[,FILE]: a model under test by the files of its adapters,
// from the lowest up.
func ParseSubject(text string) (Subject, error) {
	name, files, err := namedFiles(text)
	role := "policy"
	if name == "sft" {
		role = "sft"
	}
	return Subject{Name: name, Role: role, Adapters: files}, err
}

// ParseReward reads NAME=[FILE,...]FILE: a reward model by the adapters below it, from
// the lowest up, and the adapter with its head.
func ParseReward(text string) (RewardModel, error) {
	name, files, err := namedFiles(text)
	if err != nil {
		return RewardModel{}, err
	}
	last := len(files) - 1
	return RewardModel{Name: name, Below: files[:last:last], Adapter: files[last]}, nil
}

// ParseTaskData reads NAME=FILE: the data file of a task of the user's own.
func ParseTaskData(text string) (name, file string, err error) {
	name, file, ok := strings.Cut(text, "=")
	if !ok || name == "" || file == "" {
		return "", "", fmt.Errorf("want NAME=FILE, got %q", text)
	}
	file, err = absolute(file)
	return name, file, err
}

// absolute is the path of a file that a flag names; a name of the hub stays one.
func absolute(file string) (string, error) {
	dir, err := os.Getwd()
	return workspace.Abs(dir, file), err
}

func namedFiles(text string) (name string, files []string, err error) {
	name, list, ok := strings.Cut(text, "=")
	files = strings.Split(list, ",")
	if !ok || name == "" || slices.Contains(files, "") {
		return "", nil, fmt.Errorf("want NAME=FILE[,FILE], got %q", text)
	}
	for i := range files {
		if files[i], err = absolute(files[i]); err != nil {
			return "", nil, err
		}
	}
	return name, files, nil
}
