// Package run owns run folders and results: the names and versions of files, the lock, the log of
// metrics, the checkpoints, and the typed results that stages leave. What is written into such a
// folder is written and read by the types of this package, in trainers, evaluation, report and
// commands alike.
//
//	folder, err := run.Open("runs/sft", run.Options{Stage: run.StageSFT, Name: "sft", Config: cfg})
//	if err != nil { ... }
//	defer folder.Close()
//	c, warnings, err := folder.Latest() // the checkpoint to go on from
//	...
//	folder.Describe(&result.Record)
//	err = folder.Finish(&result) // a *run.SFT
//
//	result, err := run.ReadResult("runs/sft") // whoever reads it
//
// The files of a folder (docs/files.md and docs/report.md say more):
//
//	file                        type                              read and written by
//	config.yaml                 Options.Config                    Folder (compared on resuming)
//	run.json                    Info                              Folder, ReadInfo
//	lock                        the process that works in it      Open, Lock
//	metrics.jsonl               MetricsRecord, a line             Metrics, ReadMetrics
//	samples.jsonl.zst           a record of the stage's, a line   Folder.Sample, ReadSamples
//	checkpoints/step-NNNNNN/    Checkpoint                        Folder.Checkpoint, Latest, Best
//	checkpoints/best            link to the best of them          Folder.BestStep
//	adapter.gguf, best.gguf     adapter.Adapter                   Folder.SaveAdapter
//	result.json                 SFT, Reward, PPO or Evaluation,   Folder.Finish, ReadResult
//	                            each with a Record
//	items/*.jsonl.zst           Item or Answer, a line            WriteRecords, ReadRecords
//	items/*.json                Outcome, with a Fingerprint   Outcome.Write, ReadOutcome
//	items/*.part                the journal of package eval       JournalFile names it
//
// and, beside the folders of the stages, experiment.yaml: Experiment. A file of another version
// ([ResultVersion] and its like) is refused with a sentence, or measured again where that is
// possible.
//
// A Folder belongs to one goroutine and one process (it holds a lock); Close releases it. What is on
// disk is whole at every moment: a process can be killed at any point, and the next one goes on from
// the newest intact checkpoint.
//
// The package may import what it stores, the learner's state (ggml/lm) and adapters (ggml/adapter),
// and low packages of internal. Above it stand rl/train, whose loop fills a folder, the trainers
// (rl/sft, rewards, rl/ppo, rl/dpo), eval, app/jobs, app/report and the commands.
package run
