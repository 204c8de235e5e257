// Package train is what the trainers share: the run folder with its checkpoints, the
// loop around an optimizer step, schedules, seeds, progress and the graceful stop. It
// knows no loss; each trainer (rl/sft, rewards, rl/ppo) brings its own as a Trainer and
// is driven by Loop.
//
//	run, err := train.OpenRun("runs/sft", train.RunOptions{Stage: "sft", Name: "sft", Config: cfg})
//	if err != nil { ... }
//	defer run.Close()
//	err = train.Loop(ctx, train.Deps{Learner: l, Run: run, ...}, train.LoopOptions{...}, trainer)
//	if errors.Is(err, train.ErrInterrupted) { os.Exit(train.ExitInterrupted) }
//
// A run can be killed at any point: the same command goes on from the newest intact
// checkpoint, and on a deterministic Learner ends with the same bits as an unbroken
// run, because all randomness comes from internal/seed and everything else is saved.
//
// A Run belongs to one goroutine and one process (it holds a lock); Close releases it.
package train
