package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"steer/eval/compare"
	"steer/rl/run"
)

// Report is everything that is printed, in the order in which it is printed.
type Report struct {
	Version  int      `json:"version"`
	Title    string   `json:"title"`
	Question string   `json:"question"`
	Verdict  []string `json:"verdict"` // sentences
	// Headline is the one table that carries the answer; nil without an evaluation.
	Headline *Headline `json:"headline,omitempty"`
	Flags    []Flag    `json:"flags"`
	Missing  []string  `json:"missing"` // stages that were expected and not found
	// Runs are the runs of one experiment with different seeds, where several were given.
	Runs []Run `json:"runs,omitempty"`
	// Compared are the two runs of a comparison, A and B.
	Compared []Run `json:"compared,omitempty"`

	Theories []string `json:"theories"`
	// Policies are those that the experiment names beside the ones of its theories, PolicyRows how all were made.
	Policies   []run.ExperimentPolicy `json:"policies,omitempty"`
	PolicyRows []PolicyRow            `json:"policy_rows,omitempty"`
	// Frontier sets trained policies beside best-of-n at equal KL.
	Frontier   []FrontierRow    `json:"frontier,omitempty"`
	Models     []Model          `json:"models"`
	Matrix     *Matrix          `json:"cross_reward,omitempty"`
	Accuracies []PairAccuracy   `json:"pair_accuracies"`
	Heldout    []HeldoutRow     `json:"heldout"`
	Benchmarks []BenchmarkTable `json:"benchmarks"`
	// Tests are the pairwise tests of the benchmarks that hold records of single items.
	Tests []*compare.Family `json:"tests"`
	// Scores are the tests of the cross-reward matrix.
	Scores *compare.Scores `json:"score_tests,omitempty"`
	// Published are the thesis's numbers beside those of this report.
	Published []PublishedTable `json:"published,omitempty"`
	Charts    []Chart          `json:"charts"`
	Samples   []Sample         `json:"samples"`
	// SamplesLeftOut counts the samples of the file that are not in Samples.
	SamplesLeftOut int `json:"samples_left_out"`

	Base   *run.Base `json:"base,omitempty"`
	Stages []Stage   `json:"stages"` // provenance
	// Experiment is the text of experiment.yaml.
	Experiment string `json:"experiment,omitempty"`

	parts    []*Report // the runs that were combined
	records  map[string][]run.Prediction
	untaught bool // the experiment has no theories: no reward model and no policy is expected
	noMargin bool // a result does not say which margin was fixed
}

// Severity orders flags.
type Severity string

// Failure: a result is missing or not what it seems. Caution: read a number with
// care. Note: worth knowing.
const (
	Failure Severity = "failure"
	Caution Severity = "caution"
	Note    Severity = "note"
)

// Flag is one thing to know, in plain words.
type Flag struct {
	Severity Severity `json:"severity"`
	Stage    string   `json:"stage"`
	Text     string   `json:"text"`
}

// Stage is a run folder as it was found.
type Stage struct {
	Kind   string `json:"stage"` // sft | reward | ppo | eval
	Name   string `json:"name"`
	Theory string `json:"theory,omitempty"`
	// Folder is its path as given and joined, not made absolute: a report should
	// not tell where its reader's home is.
	Folder string `json:"folder"`
	// Run names the run it belongs to, where there are several.
	Run    string       `json:"run,omitempty"`
	Result *StageResult `json:"result,omitempty"`
	Config string       `json:"config,omitempty"` // text of config.yaml

	// Opened is how often the run was started; 0: unknown.
	Opened int `json:"opened,omitempty"`

	// dir is the folder as it was opened; Folder may be shortened for showing.
	dir    string
	policy string // its name, where the experiment names it
	log    *metricLog
	eval   *run.Evaluation
}

// Finished tells whether the stage ended and nothing ended it early.
func (s *Stage) Finished() bool {
	return s.Result != nil && (s.Result.Status == "" || s.Result.Status == run.StatusFinished)
}

// Matrix is the cross-reward matrix; Raw[i][j] is policy i under reward j. Either
// view is nil when it cannot be had.
type Matrix struct {
	Policies  []string            `json:"policies"`
	Rewards   []string            `json:"rewards"`
	Reference string              `json:"reference"`
	Prompts   *Data               `json:"prompts,omitempty"`
	Raw       [][]Cell            `json:"raw,omitempty"`
	Norm      [][]Cell            `json:"normalised,omitempty"`
	KL        map[string]Interval `json:"kl,omitempty"`
	Lengths   map[string]Interval `json:"lengths,omitempty"`
	// Own[i] is the column of the reward that policy i was trained with, -1: none.
	Own []int `json:"own"`
	// Summary says what the comparisons outside the policies' own columns give.
	Summary string `json:"summary,omitempty"`
	// Tested tells whether marks stand for tests adjusted for their number, or for
	// intervals, each by itself.
	Tested bool `json:"tested"`
}

// cells returns the view that statements are made from: significance is the same in
// both.
func (m *Matrix) cells() [][]Cell {
	if m.Norm != nil {
		return m.Norm
	}
	return m.Raw
}

// Direction of a difference: +1 or -1 where it is shown, else 0. With a test, that is
// where p < 0.05 after Holm's correction over the matrix; without one, where the 95 %
// interval excludes 0.
func (c Cell) Direction() int {
	switch {
	case c.Holm != nil && (*c.Holm >= alpha || c.Diff == nil):
		return 0
	case c.Holm != nil && *c.Diff > 0:
		return 1
	case c.Holm != nil:
		return -1
	case c.DiffLo == nil || c.DiffHi == nil:
		return 0
	case *c.DiffLo > 0:
		return 1
	case *c.DiffHi < 0:
		return -1
	}
	return 0
}

// alpha is the level of all statements.
const alpha = 0.05

// tested tells whether the difference has an interval.
func (c Cell) tested() bool { return c.DiffLo != nil && c.DiffHi != nil }

// chance is the pair accuracy of a reward model that knows nothing.
const chance = 0.5

// side tells on which side of chance the whole interval lies: 1 above, -1 below, 0 neither, or
// not known. A claim needs its interval to exclude chance.
func (a PairAccuracy) side() int {
	switch v := a.Accuracy; {
	case v.known() && *v.Lo > chance:
		return 1
	case v.known() && *v.Hi < chance:
		return -1
	}
	return 0
}

// PairAccuracy is a reward model's share of held-out pairs with chosen above
// rejected.
type PairAccuracy struct {
	Theory   string   `json:"theory"`
	Run      string   `json:"run,omitempty"`
	Recipe   string   `json:"recipe,omitempty"`
	Accuracy Interval `json:"accuracy"`
}

// Span is the accuracy for the template, which takes pointers.
func (a PairAccuracy) Span() *Interval { return &a.Accuracy }

// HeldoutRow is a policy measured by its own trainer, before and after, under the
// reward it was trained with.
type HeldoutRow struct {
	Policy string   `json:"policy"`
	Run    string   `json:"run,omitempty"`
	First  *Heldout `json:"first,omitempty"`
	Last   *Heldout `json:"last"`
}

// BenchmarkTable is one benchmark under one protocol; Values[i] of a row belongs to
// Columns[i] and is nil where that model has no such number.
type BenchmarkTable struct {
	Benchmark string         `json:"benchmark"`
	Protocol  string         `json:"protocol,omitempty"`
	Columns   []string       `json:"columns"`
	Rows      []BenchmarkRow `json:"rows"`
	// Scale says what the numbers can be: the larger class, the ceiling of noisy
	// labels. "" where the file does not say.
	Scale string `json:"scale,omitempty"`
	// OfRewards: the rows are reward models and not language models.
	OfRewards bool `json:"of_rewards,omitempty"`
	// Majority is the accuracy of always answering the larger class, Ceiling the MCC of an
	// oracle against noisy labels; nil where unknown.
	Majority *float64 `json:"majority_acc,omitempty"`
	Ceiling  *float64 `json:"ceiling_mcc,omitempty"`
	// Measured says how: what the first row's result holds as provenance.
	Measured []string `json:"measured,omitempty"`
	// Hidden are metrics that the results hold and the table does not show.
	Hidden []string `json:"hidden,omitempty"`
}

func benchmarkKey(benchmark, protocol string) string { return benchmark + "/" + protocol }

// key tells tables apart.
func (t *BenchmarkTable) key() string { return benchmarkKey(t.Benchmark, t.Protocol) }

// Rowhead is the heading over the names of the rows.
func (t BenchmarkTable) Rowhead() string {
	if t.OfRewards {
		return "reward model"
	}
	return "model"
}

// rewardProtocols are those in which a reward model is measured: its "model" is the
// name of a reward, which may also be the name of a policy.
var rewardProtocols = map[string]bool{"reward": true, "paired": true}

// BenchmarkRow is one model.
type BenchmarkRow struct {
	Model  string      `json:"model"`
	N      int         `json:"n"`
	Values []*Interval `json:"values"`
	Flags  []string    `json:"flags,omitempty"` // as in the file
}

// canonical is the order in which the four theories of the thesis are shown.
var canonical = []string{"deontology", "utilitarianism", "virtue", "harmlessness"}

// orderTheories sorts names: the canonical four first, then the others by name.
func orderTheories(names []string) []string {
	rank := func(n string) int {
		if i := slices.Index(canonical, n); i >= 0 {
			return i
		}
		return len(canonical)
	}
	out := slices.Clone(names)
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	return slices.Compact(out)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// theoryOf is the theory a model was trained with.
func (m Model) theoryOf() string {
	if m.Theory != "" {
		return m.Theory
	}
	if m.role() != "policy" {
		return ""
	}
	return strings.TrimPrefix(m.Name, "ppo-")
}

func (m Model) role() string {
	switch {
	case m.Role != "":
		return m.Role
	case m.Name == "base" || m.Name == "sft":
		return m.Name
	}
	return "policy"
}

// Key tells tables apart on a page.
func (t BenchmarkTable) Key() string { return t.key() }
