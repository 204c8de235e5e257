package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A user's own tasks from the built program: measured, taken up again, measured again
// when their data have changed, and refused with the place of the mistake.
func TestTasksOfTheUser(t *testing.T) {
	_, assets := e2e(t)
	dir := t.TempDir()
	rows := `{"q": "Is the cat big?", "a": 1}` + "\n" + `{"q": "Is the dog big?", "a": 0}` + "\n" +
		`{"q": "Is the sun big?", "a": 1}` + "\n"
	put(t, dir, "tasks/quiz.jsonl", rows)
	put(t, dir, "tasks/quiz.yaml", "data: quiz.jsonl\noutput_type: multiple_choice\ndoc_to_text: "+
		"\"{{q}}\"\ndoc_to_choice: ['no', 'yes']\ndoc_to_target: a\nmetadata: {version: 1}\n")
	put(t, dir, "tasks/say.yaml", "task: say\noutput_type: generate_until\ndoc_to_text: q\ndoc_to_target: "+
		"\"{{a}}\"\ngeneration_kwargs: {until: [\"\\n\"], max_gen_toks: 4}\n")
	put(t, dir, "job.yaml", "model: "+assets.Model+"\nengine: {threads: 1}\nresamples: 50\ntasks:\n- "+
		"tasks/quiz.yaml\n- {path: tasks/say.yaml, data: tasks/quiz.jsonl, limit: 2}\n")
	args := []string{"eval", "job.yaml", "-o", "run"}
	_, said := mustSteer(t, dir, args...)
	require.Contains(t, said, "task quiz: keys that change nothing here: metadata")
	read := func() (all map[string]map[string]any) {
		var result struct{ Benchmarks []map[string]any }
		require.NoError(t, json.Unmarshal(get(t, dir, "run", "result.json"), &result))
		all = map[string]map[string]any{}
		for _, b := range result.Benchmarks {
			all[b["benchmark"].(string)+" "+b["protocol"].(string)] = b
		}
		return all
	}
	got := read()
	require.Len(t, got, 2)
	require.EqualValues(t, 3, got["quiz loglik"]["n"])
	require.Contains(t, got["quiz loglik"]["metrics"], "mcc")
	require.EqualValues(t, 2, got["say generate"]["n"])
	require.Contains(t, got["say generate"]["metrics"], "exact_match")
	require.Equal(t, filepath.Join(dir, "tasks", "quiz.jsonl"),
		got["say generate"]["provenance"].(map[string]any)["data"])

	out, _ := mustSteer(t, dir, args...)
	require.Contains(t, out, "finished already")
	// One more row: all is measured again that reads it.
	put(t, dir, "tasks/quiz.jsonl", rows+`{"q": "Is the pea big?", "a": 0}`+"\n")
	mustSteer(t, dir, args...)
	require.EqualValues(t, 4, read()["quiz loglik"]["n"])

	// By flags, and only one.
	mustSteer(t, dir, "eval", "--model", assets.Model, "--threads", "1", "--task", "tasks/quiz.yaml", "--set",
		"resamples=50", "-o", "one")

	// Data named beside the task: by a flag, by the job; what names no task is refused.
	bare := []string{"eval", "--model", assets.Model, "--threads", "1", "--task", "tasks/say.yaml", "--set",
		"resamples=50", "-o", "bare"}
	code, _, said := steerIn(t, dir, bare...)
	require.Equal(t, exitUsage, code, said)
	require.Contains(t, said, "name it in the evaluation: --task-data say=FILE, key task_data: {say: FILE}")
	mustSteer(t, dir, append(bare, "--task-data", "say=tasks/quiz.jsonl")...)
	put(t, dir, "named.yaml",
		"model: "+assets.Model+"\nengine: {threads: 1}\nresamples: 50\ntasks: [tasks/say.yaml]\ntask_data: {say: "+
			"tasks/quiz.jsonl}\n")
	out, _ = mustSteer(t, dir, "eval", "named.yaml", "-o", "bare")
	require.Contains(t, out, "finished already", "the same evaluation")
	code, _, said = steerIn(t, dir, append(bare, "--task-data", "quiz=tasks/quiz.jsonl")...)
	require.Equal(t, exitUsage, code, said)
	require.Contains(t, said, `task_data: no task is named "quiz": the tasks are say`)

	put(t, dir, "tasks/bad.yaml", "data: quiz.jsonl\noutput_type: multiple_choice\ndoc_to_text: "+
		"\"{{quest\"\ndoc_to_choice: ['no', 'yes']\ndoc_to_target: a\n")
	put(t, dir, "tasks/field.yaml", "data: quiz.jsonl\noutput_type: multiple_choice\ndoc_to_text: "+
		"question\ndoc_to_choice: ['no', 'yes']\ndoc_to_target: a\n")
	put(t, dir, "tasks/label.yaml", "data: quiz.jsonl\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: "+
		"['no', 'yes']\ndoc_to_target: q\n")
	call := func(file string) []string {
		return []string{"eval", "--model", assets.Model, "--task", file, "-o", "out"}
	}
	for _, b := range []bad{
		{"template", call("tasks/bad.yaml"), 2, []string{"tasks/bad.yaml:3: doc_to_text: template line 1"}},
		{"field", call("tasks/field.yaml"), 1,
			[]string{"tasks/field.yaml:3: doc_to_text: on quiz.jsonl line 1", "the fields are a, q"}},
		{"label", call("tasks/label.yaml"), 1,
			[]string{`label "Is the cat big?" is outside the set: want one of the choices ["no" "yes"]`}},
		{"no file", call("tasks/none.yaml"), 1, []string{"tasks/none.yaml", "no such file"}},
		{"one name twice", append(call("tasks/quiz.yaml"), "--task", "tasks/quiz.yaml"), 2,
			[]string{`the name "quiz" is that of`}},
	} {
		b.run(t, dir)
	}
}
