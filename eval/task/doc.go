// Package task reads a user's own evaluation task: one YAML file that names a data file, a
// prompt template, choices and a target, in the terms of lm-evaluation-harness, whose
// task files load as they are where they need no Python (docs/tasks.md).
//
// [Load] reads and checks the file, [Task.Items] reads the data and renders every row.
// It knows no model: eval/benchmark turns items into requests and metrics.
//
//	t, err := task.Load("quiz.yaml", "")
//	items, err := t.Items(" ")
//
// Every error names the file, the line and key of the task, and for a row of the data
// its file, line and what was expected.
//
// It may import the readers of tables (rl/data), templates (internal/jinja) and low packages of
// internal.
package task
