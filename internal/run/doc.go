// Package run owns run folders: their files, their lock, the log of metrics, the checkpoints, and the
// results that stages leave in them. Everything that is written into such a folder and read back is
// written and read here.
//
//	folder, err := run.Open("runs/sft", run.Options{Stage: "sft", Name: "sft", Config: cfg})
//	if err != nil { ... }
//	defer folder.Close()
//	c, warnings, err := folder.Latest()
//
// A Folder belongs to one goroutine and one process (it holds a lock); Close releases it. What is on
// disk is whole at every moment: a process can be killed at any point, and the next one goes on from
// the newest intact checkpoint.
//
// It may import what it writes, the learner's state (ggml/lm) and adapters (ggml/adapter), and low
// packages of internal. Above it stand rl/train, whose loop fills a folder, the trainers (rl/sft,
// rewards, rl/ppo), eval, internal/report and the commands.
package run
