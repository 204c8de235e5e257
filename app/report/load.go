package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/eval/compare"
	"steer/rl/run"
)

// reportVersion is the version of report.json.
const reportVersion = 1

// ErrNoRuns is returned (wrapped) by [Load] for a folder without any run in it.
var ErrNoRuns = errors.New("no run folder found")

// ErrNotRuns is returned (wrapped) by [Load] for folders that hold the same stages and
// cannot be runs of one experiment.
var ErrNotRuns = errors.New("not runs of one experiment")

// Load reads experiment folders or single run folders into one report. Missing
// stages and missing fields are allowed; errors are: a folder that cannot be read
// or holds no run ([ErrNoRuns]), a result of another version ([run.ErrVersion]), and a file
// that contradicts itself.
//
// Folders with the same stages are runs of one experiment with different seeds: each
// must have its evaluation. A folder that holds experiment folders stands for them.
func (l Loader) Load(dirs ...string) (*Report, error) {
	if len(dirs) == 0 {
		return nil, fmt.Errorf("report: no folder given: %w", ErrNoRuns)
	}
	folders, err := l.openAll(dirs)
	if err != nil {
		return nil, err
	}
	twice := repeated(folders)
	if twice == "" {
		r, err := l.assembled(folders)
		if err != nil {
			return nil, err
		}
		r.flagSingleRun()
		r.testBenchmarks()
		r.testScores()
		r.fillPolicies()
		r.fillFrontier()
		r.conclude()
		return r, nil
	}
	var parts []*Report
	var names []string
	for _, f := range folders {
		p, err := l.assembled([]folder{f})
		if err != nil {
			return nil, err
		}
		parts, names = append(parts, p), append(names, f.dir)
	}
	for i, p := range parts {
		if p.evaluation() == nil && !folders[i].isExperiment {
			return nil, fmt.Errorf("report: several folders hold stage %q, which makes them runs of one experiment "+
				"with different seeds, but %s is the folder of one stage: %w", twice, names[i], ErrNotRuns)
		}
	}
	return combineEvaluated(parts, names)
}

// combineEvaluated combines the runs of an experiment of which some may not be through: a
// study is looked at while it goes on. Those without a finished evaluation are left out, aloud,
// as soon as two have one; before that all are shown, as far as they have come.
func combineEvaluated(parts []*Report, names []string) (*Report, error) {
	var done, open []int
	for i, p := range parts {
		if s := p.evaluationStage(); s != nil && s.Finished() {
			done = append(done, i)
		} else {
			open = append(open, i)
		}
	}
	take := func(which []int) (out []*Report, dirs []string) {
		for _, i := range which {
			out, dirs = append(out, parts[i]), append(dirs, names[i])
		}
		return out, dirs
	}
	if len(done) == 1 {
		return nil, fmt.Errorf("report: of the runs only %s has a finished evaluation: give it alone, or wait for "+
			"a second: %w", names[done[0]], ErrNotRuns)
	}
	if len(done) == 0 {
		return combine(parts, names)
	}
	kept, dirs := take(done)
	r, err := combine(kept, dirs)
	if err != nil {
		return nil, err
	}
	for _, i := range open {
		r.flag(Caution, "eval", "%s has no finished evaluation and is left out.", names[i])
	}
	r.sortFlags()
	return r, nil
}

// folder is one given folder as it was read.
type folder struct {
	dir          string
	stages       []Stage
	isExperiment bool
}

// openAll reads the folders; one that holds experiments, and no run itself, is replaced
// by them.
func (l Loader) openAll(dirs []string) ([]folder, error) {
	var out []folder
	for _, dir := range dirs {
		stages, isExperiment, err := l.loadDir(dir)
		if err == nil {
			out = append(out, folder{dir, stages, isExperiment})
			continue
		}
		inner := experimentsIn(dir)
		if !errors.Is(err, ErrNoRuns) || len(inner) == 0 {
			return nil, err
		}
		more, err := l.openAll(inner)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// experimentsIn lists the folders in dir that hold run folders.
func experimentsIn(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the caller has an error to tell already
	}
	var out []string
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		runs, err := os.ReadDir(sub)
		if err == nil && slices.ContainsFunc(runs,
			func(r os.DirEntry) bool { return r.IsDir() && isRun(filepath.Join(sub, r.Name())) }) {
			out = append(out, sub)
		}
	}
	return out
}

// repeated names a stage that occurs in two folders, or "".
func repeated(folders []folder) string {
	seen := map[string]bool{}
	for _, f := range folders {
		for _, s := range f.stages {
			if seen[s.Name] {
				return s.Name
			}
			seen[s.Name] = true
		}
	}
	return ""
}

// assembled makes one report of folders without a stage in common.
func (l Loader) assembled(folders []folder) (*Report, error) {
	r := &Report{Version: reportVersion}
	var exp experiment
	whole := false // an experiment folder was given: all its stages are expected
	for _, f := range folders {
		if f.isExperiment {
			whole = true
			if err := exp.read(l, filepath.Join(f.dir, run.ExperimentFile)); err != nil {
				return nil, err
			}
		}
		r.Stages = append(r.Stages, f.stages...)
	}
	r.Experiment = exp.text
	r.assemble(exp, whole)
	return r, nil
}

// experiment is what is read of the experiment.yaml of all folders.
type experiment struct {
	run.ExperimentHead
	text string
}

func (e *experiment) read(l Loader, path string) error {
	b, err := l.file(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	head, err := run.ParseExperimentHead(b)
	if err != nil {
		return fmt.Errorf("report: %s: %w", path, err)
	}
	if e.Name == "" {
		e.Name = head.Name
	}
	e.Theories = append(e.Theories, head.Theories...)
	e.Policies = append(e.Policies, head.Policies...)
	e.NoTheories = (e.NoTheories || head.NoTheories) && len(e.Theories) == 0
	e.text = strings.TrimRight(e.text+"\n"+string(b), "\n")
	e.text = strings.TrimLeft(e.text, "\n")
	return nil
}

// loadDir reads one folder given by the user; isExperiment tells which kind it is.
func (l Loader) loadDir(dir string) (stages []Stage, isExperiment bool, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, false, fmt.Errorf("report: %w", err)
	}
	if !info.IsDir() {
		return nil, false, fmt.Errorf("report: %s: want a run folder or an experiment folder, got a file", dir)
	}
	if isRun(dir) {
		s, err := l.loadStage(dir)
		if err != nil {
			return nil, false, err
		}
		return []Stage{*s}, false, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, fmt.Errorf("report: %w", err)
	}
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if !e.IsDir() || !isRun(sub) {
			continue
		}
		s, err := l.loadStage(sub)
		if err != nil {
			return nil, false, err
		}
		stages = append(stages, *s)
	}
	if len(stages) == 0 {
		return nil, false, fmt.Errorf("report: %s: want result.json, metrics.jsonl or run.json in it, or folders "+
			"with them (sft, reward-<theory>, ppo-<theory>, eval): %w", dir, ErrNoRuns)
	}
	return stages, true, nil
}

func isRun(dir string) bool {
	for _, f := range []string{run.ResultFile, run.MetricsFile, run.InfoFile} {
		if info, err := os.Stat(filepath.Join(dir, f)); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

func (l Loader) loadStage(dir string) (*Stage, error) {
	s := &Stage{dir: dir, Name: filepath.Base(filepath.Clean(dir)),
		Folder: string(l.shorten([]byte(filepath.ToSlash(filepath.Clean(dir)))))}
	result, err := l.readResult(dir)
	if err != nil {
		return nil, err
	}
	if s.log, err = readMetrics(filepath.Join(dir, run.MetricsFile)); err != nil {
		return nil, err
	}
	if b, err := l.file(filepath.Join(dir, run.ConfigFile)); err == nil {
		s.Config = strings.TrimRight(string(b), "\n")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("report: %w", err)
	}
	// run.json is there from the start; a damaged one costs a count of starts.
	info := run.ReadInfo(dir)
	s.Opened = len(info.Opened)
	if info.Name != "" {
		s.Name = info.Name
	}
	s.Kind, s.Theory, _ = strings.Cut(s.Name, "-")
	if run.IsStage(info.Stage) {
		s.Kind = info.Stage
	}
	if result == nil && s.Kind == run.StageEval {
		if result, err = l.unfinished(dir); err != nil {
			return nil, err
		}
	}
	if result != nil {
		s.Result = resultOf(result)
		s.eval, _ = result.(*run.Evaluation)
		s.Kind = s.Result.Stage
		if s.Result.Name != "" {
			s.Name = s.Result.Name
		}
		if s.Result.Theory != "" {
			s.Theory = s.Result.Theory
		}
	}
	if !run.IsStage(s.Kind) {
		return nil, fmt.Errorf("report: %s: cannot tell which stage this is: want a result.json, or a folder named "+
			"sft, reward-<theory>, ppo-<theory> or eval", dir)
	}
	return s, nil
}

// readResult reads the result of a run folder, nil if there is none yet.
func (l Loader) readResult(dir string) (run.Result, error) {
	path := filepath.Join(dir, run.ResultFile)
	text, err := l.file(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	result, err := run.ParseResult(path, text)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := result.Check(); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	return result, nil
}

// assemble fills the report from its stages.
func (r *Report) assemble(exp experiment, whole bool) {
	r.Theories, r.Policies = r.findTheories(exp), exp.Policies
	r.namePolicies()
	order := map[string]int{"sft": 0, "reward": 1, "ppo": 2, "grpo": 3, "dpo": 4, "eval": 5}
	slices.SortStableFunc(r.Stages, func(a, b Stage) int {
		return cmp.Or(
			cmp.Compare(order[a.Kind], order[b.Kind]),
			cmp.Compare(slices.Index(r.Theories, a.Theory), slices.Index(r.Theories, b.Theory)),
			strings.Compare(a.Name, b.Name))
	})
	r.untaught = exp.NoTheories && len(r.Theories) == 0
	r.Title = "Steering a language model with ethical theories"
	if exp.Name != "" {
		r.Title += ": " + exp.Name
	}
	r.Question = r.question()
	for i := range r.Stages {
		if res := r.Stages[i].Result; r.Base == nil && res != nil && res.Base != nil {
			r.Base = res.Base
		}
	}
	if whole {
		r.Missing = r.findMissing()
	}
	r.fillAccuracies()
	r.fillHeldout()
	if ev := r.evaluation(); ev != nil {
		r.fillModels(ev)
		r.fillMatrix(ev)
		r.fillBenchmarks(ev)
		r.fillSamples(ev)
	}
	r.fillCharts()
	r.fillFlags()
}

// conclude draws what rests on tests: they are made once, of the whole report.
func (r *Report) conclude() {
	if r.noMargin {
		r.flag(Note, "eval", "The results do not say which margin of equivalence was fixed beforehand: %g was used.",
			compare.DefaultOptions().Margin)
	}
	if pairs := r.allPairs(); len(pairs) > 0 && len(r.Runs) > 1 { // of one run the tests are exact
		r.flagFloor("between models", len(pairs), pairs[0].f.Resamples)
	}
	r.fillBenchmarkCharts()
	r.fillVerdict()
	r.fillHeadline()
	r.fillPublished()
	r.sortFlags()
}

func (r *Report) evaluation() *run.Evaluation {
	for i := range r.Stages {
		if r.Stages[i].eval != nil {
			return r.Stages[i].eval
		}
	}
	return nil
}

func (r *Report) findTheories(exp experiment) []string {
	if len(exp.Theories) > 0 {
		seen := map[string]bool{}
		return slices.DeleteFunc(slices.Clone(exp.Theories), func(t string) bool {
			dup := seen[t]
			seen[t] = true
			return dup
		})
	}
	var names []string
	for i := range r.Stages {
		if s := &r.Stages[i]; s.Theory != "" && slices.Contains([]string{"reward", "ppo", "grpo", "dpo"}, s.Kind) {
			names = append(names, s.Theory)
		}
	}
	if ev := r.evaluation(); ev != nil && ev.CrossReward != nil {
		names = append(names, ev.CrossReward.Rewards...)
	}
	return orderTheories(names)
}

// findMissing names the stages an experiment should have and has not.
func (r *Report) findMissing() []string {
	have := map[string]bool{}
	for i := range r.Stages {
		have[r.Stages[i].Kind+"-"+r.Stages[i].Theory] = true
	}
	var missing []string
	want := func(kind, theory, name string) {
		if !have[kind+"-"+theory] {
			missing = append(missing, name)
		}
	}
	want("sft", "", "sft")
	for _, kind := range []string{"reward", "ppo"} {
		if len(r.Theories) == 0 && !r.untaught {
			missing = append(missing, kind+"-<theory>")
		}
		for _, t := range r.Theories {
			want(kind, t, kind+"-"+t)
		}
	}
	want("eval", "", "eval")
	return missing
}
