package task

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree writes files into folders below a folder called tasks, and gives that folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tasks")
	for name, body := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
	}
	return root
}

const choiceKeys = "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: opts\ndoc_to_target: a\n"

// One group with everything that a group may hold.
var groupFiles = map[string]string{
	"mine/all.yaml": `
group: all
group_alias: All of it
task:
  - first
  - tagged
  - task: first_again.yaml
    num_fewshot: 2
  - group: inner
    task: [far]
    target_delimiter: "|"
    aggregate_metric_list: {metric: acc, weight_by_size: false, filter_list: none}
  - outer_group
  - task: written_here
    output_type: loglikelihood
    doc_to_text: q
    doc_to_target: name
aggregate_metric_list:
  - metric: acc
  - {metric: acc_norm, aggregation: mean, weight_by_size: false, filter_list: [none, other]}
metadata: {version: 1}
num_fewshot: 1
`,
	"mine/first.yaml":       "task: first\ntag: unused\n" + choiceKeys,
	"mine/first_again.yaml": "include: first.yaml\ntask: again\n",
	// Quoted keys and a tag from an included file, as harness files have them.
	"mine/sub/_common":     "tag:\n  - tagged\n  - more\n" + choiceKeys,
	"mine/sub/two.yaml":    "\"include\": _common\n\"task\": \"b\"\n",
	"mine/sub/one.yaml":    "include: _common\ntask: a # the first by name\n",
	"other/far.yaml":       "task: far\n" + choiceKeys,
	"other/group.yaml":     "group: outer_group\ntask: deep\ndescription: Read.\n",
	"other/deep.yaml":      "task: deep\nnum_fewshot: 3\n" + choiceKeys,
	"other/z_shadow.yaml":  "task: far\noutput_type: generate_until\n", // the first file of a name counts
	"other/not_valid.yaml": "task: [",
}

func TestGroups(t *testing.T) {
	root := tree(t, groupFiles)
	path := filepath.Join(root, "mine/all.yaml")
	isGroup, err := IsGroup(path)
	require.NoError(t, err)
	require.True(t, isGroup)
	isGroup, err = IsGroup(filepath.Join(root, "mine/sub/two.yaml"))
	require.NoError(t, err)
	require.False(t, isGroup)
	g, err := ReadGroup(path)
	require.NoError(t, err)
	require.Equal(t, "All of it", g.Alias)
	require.Equal(t, []string{"metadata"}, g.Ignored)
	require.Equal(t, []Aggregate{{Metric: "acc", BySize: true},
		{Metric: "acc_norm", Filters: []string{"none", "other"}}}, g.Aggregates)
	var names, groups []string
	shots := map[string]int{}
	for _, k := range g.Tasks() {
		names = append(names, k.Name)
		shots[k.Name] = k.NumFewshot
	}
	require.Equal(t, []string{"first", "a", "b", "again", "far", "deep", "all::written_here"}, names)
	// The keys of a group take the place of those of its tasks, those of an entry that of both.
	require.Equal(t, map[string]int{"first": 1, "a": 1, "b": 1, "again": 2, "far": 1, "deep": 1,
		"all::written_here": 1}, shots)
	for _, in := range g.Groups() {
		groups = append(groups, in.Name)
	}
	require.Equal(t, []string{"all::inner", "outer_group", "all"}, groups)
	far := g.Tasks()[4]
	require.Equal(t, "|", *far.TargetDelimiter)
	require.Equal(t, MultipleChoice, far.Output)
	require.Contains(t, far.source.files, path)
	require.Equal(t, LogLikelihood, g.Tasks()[6].Output)
	alone, err := Read(filepath.Join(root, "other/far.yaml"))
	require.NoError(t, err)
	require.NotEqual(t, alone.SHA256, far.SHA256, "what a group sets belongs to the version")
}

func TestBadGroups(t *testing.T) {
	for _, c := range []struct{ group, want string }{
		{"group: g\ntask: [nobody]\n", `g.yaml:2: task: no task, tag or group below`},
		{"group: g\n", `g.yaml:1: task: group g: want a list of tasks, tags and groups, got nothing`},
		{"group: g\ntask: [g]\n", `task: group g: the groups hold each other: g, g`},
		{"group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, aggregation: sum}]\n",
			`aggregate_metric_list[0].aggregation: want mean, got "sum"`},
		{"group: g\ntask: [a]\naggregate_metric_list: [{weight_by_size: true}]\n", `want the name of a metric`},
		{"group: g\ntask: [a]\naggregate_metric_list: [{metric: acc, weight: 1}]\n", `unknown key`},
		{"group: g\ntask: [a]\naggregate_metric_list: [{metric: !function x.y}]\n", `aggregate_metric_list`},
		{"group: g\ntask: [{name: a}]\n", `want task or group with a name`},
		{"group: g\ntask: [[a]]\n", `want the name of a task, a tag or a group`},
		{"group: g\ntask: [a]\nnum_fewshots: 1\n", `group g: task[0]: `},
		{"group: g\ntask: [a]\nnum_fewshots: 1\n", `num_fewshots: unknown key: did you mean "num_fewshot"?`},
		{"group: g\ntask: [gone.yaml]\n", `gone.yaml: no such file`},
		{"group: a/b\ntask: [a]\n", `want a name without slashes`},
		{"include: g.yaml\ngroup: g\ntask: [a]\n", `the files include each other`},
	} {
		root := tree(t, map[string]string{"g.yaml": c.group, "a.yaml": "task: a\n" + choiceKeys})
		_, err := ReadGroup(filepath.Join(root, "g.yaml"))
		require.ErrorContains(t, err, c.want, c.group)
	}
}

// Python that another file replaces is nobody's business.
func TestReplacedPythonIsNoObstacle(t *testing.T) {
	dir := folder(t, map[string]string{"quiz.jsonl": quizData,
		"a.yaml": "task: null\ndoc_to_text: !function u.f\nprocess_docs: !function u.g\n",
		"b.yaml": "include: a.yaml\ndata: quiz.jsonl\n" + choiceKeys + "process_docs: null\n"})
	tk, err := Load(filepath.Join(dir, "b.yaml"), "")
	require.NoError(t, err)
	require.Equal(t, "b", tk.Name)
}

// Names are found below the folder of the file where no folder is called tasks.
func TestGroupInAnyFolder(t *testing.T) {
	dir := folder(t, map[string]string{"g.yaml": "group: g\ntask: [a]\n", "a.yaml": "task: a\n" + choiceKeys})
	g, err := ReadGroup(filepath.Join(dir, "g.yaml"))
	require.NoError(t, err)
	require.Len(t, g.Tasks(), 1)
	_, err = IsGroup(filepath.Join(dir, "none.yaml"))
	require.ErrorContains(t, err, "none.yaml")
}
