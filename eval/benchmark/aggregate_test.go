package benchmark

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
	"steer/eval/task"
	"steer/rl/run"
)

const memberKeys = "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: [a, b]\ndoc_to_target: 0\n" +
	"dataset_path: org/set\ntest_split: test\n"

// groupOf writes a group of three tasks and gives its entries, expanded.
func groupOf(t *testing.T, aggregates string) (Tasks, string) {
	t.Helper()
	files := map[string]string{"g.yaml": "group: g\ntask: [t0, t1, t2]\n" + aggregates, "d.jsonl": `{"q": "x"}` + "\n"}
	for i := range 3 {
		files[fmt.Sprintf("t%d.yaml", i)] = fmt.Sprintf("task: t%d\n", i) + memberKeys
	}
	dir := evaltest.WriteFiles(t, files)
	x := Tasks{{ShortFile: ShortFile{File{Path: filepath.Join(dir, "g.yaml"), Limit: 7}}}}
	require.NoError(t, x.Expand())
	return x, dir
}

// The numbers are those of lm-evaluation-harness 0.4.13: aggregate_subtask_metrics,
// pooled_sample_stderr and unweighted_mean_stderr of its api/metrics.py on these values.
func TestAggregates(t *testing.T) {
	x, _ := groupOf(t, "group_alias: G\naggregate_metric_list: [{metric: acc}, "+
		"{metric: acc_norm, weight_by_size: false}, {metric: brier, filter_list: [none]}]\n")
	set := evaltest.Settings()
	var measured []*run.Measurement
	for i, n := range []int{10, 200, 57} {
		measured = append(measured, &run.Measurement{ID: run.ID{Benchmark: fmt.Sprintf("t%d", i),
			Protocol: eval.ProtocolLogLik, Model: "m"}, N: n, Metrics: map[string]float64{
			"acc": []float64{.3, .55, .421}[i], "acc_stderr": []float64{.1527, .0352, .066}[i],
			"acc_norm": []float64{.4, .5, .6}[i], "acc_norm_stderr": []float64{.16, .035, .065}[i]}})
	}
	got := x.Aggregate(set, measured)
	require.Len(t, got, 1)
	b := got[0]
	require.Equal(t, run.ID{Benchmark: "g", Protocol: eval.ProtocolGroup, Model: "m"}, b.ID)
	require.Equal(t, 267, b.N)
	require.InDelta(t, 0.5130973782771536, b.Metrics["acc"], 1e-12)
	require.InDelta(t, 0.03044069218719114, b.Metrics["acc_stderr"], 1e-12)
	require.InDelta(t, 0.5, b.Metrics["acc_norm"], 1e-12)
	require.InDelta(t, 0.058736700622353655, b.Metrics["acc_norm_stderr"], 1e-12)
	require.InDelta(t, 0.5-1.959963984540054*0.058736700622353655, b.Intervals["acc_norm"][0], 1e-12)
	require.Contains(t, b.Flags, "without_brier")
	require.Equal(t, "G", b.Provenance.Fact("group_alias").String())
	// A metric that a task lacks is the mean of the others, aloud.
	delete(measured[0].Metrics, "acc_norm")
	b = x.Aggregate(set, measured)[0]
	require.InDelta(t, .55, b.Metrics["acc_norm"], 1e-12)
	require.Contains(t, b.Flags, "tasks_without_acc_norm=1")
	require.Empty(t, x.Aggregate(set, measured[1:]), "a group of which a task was not measured has no mean")
}

func TestExpandedGroups(t *testing.T) {
	x, dir := groupOf(t, "")
	require.Len(t, x, 3)
	require.Equal(t, "t1", x[1].Member)
	require.Equal(t, 7, x[1].Limit)
	require.ErrorContains(t, x.loadAll(nil), "tasks[0]: "+filepath.Join(dir, "t0.yaml")+": data: want the file")
	require.ErrorContains(t, x.SetData("t9", "f"), `no task is named "t9": the tasks are t0, t1, t2`)
	require.ErrorContains(t, x.SetData("t1:dev", "f"), `task t1 reads no split "dev"`)
	file := filepath.Join(dir, "d.jsonl")
	require.NoError(t, x.SetData("t1", file))
	require.NoError(t, x.SetData("t0:test", file))
	require.Equal(t, file, x[0].Data.Path)
	// What was not given is asked for, and nothing else.
	asked := ""
	require.NoError(t, x.Find(func(set task.Dataset, split string) (string, error) {
		asked += set.Path + " " + split
		return file, nil
	}))
	require.Equal(t, "org/set test", asked)
	require.NoError(t, x.loadAll(nil))
	require.ErrorContains(t, x.loadAll([]string{"g"}), "the name \"g\" of the group")
	require.Empty(t, x.Aggregate(evaltest.Settings(), nil))
	// Entries as a finished run has them are read by themselves.
	again := Tasks{{ShortFile: x[0].ShortFile, Member: "t2", Data: x[0].Data}}
	require.NoError(t, again.loadAll(nil))
	again[0].Member = "t7"
	require.ErrorContains(t, again.loadAll(nil), `the group g has no task "t7"`)
	again[0].Member = ""
	require.ErrorContains(t, again.loadAll(nil), "a group of tasks, where one task is wanted")
	require.ErrorContains(t, again.Expand(), "is a group of 3 tasks: name the data of each under task_data")
}
