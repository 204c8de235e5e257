// Package train is what the trainers share: the loop around an optimizer step with its
// checkpoints, schedules, seeds, progress and the graceful stop; the run folder that the loop
// fills is package rl/run. It knows no loss; each trainer (rl/sft, rewards, rl/ppo) brings
// its own as a Trainer and is driven by Loop.
//
//	folder, err := run.Open("runs/sft", run.Options{Stage: "sft", Name: "sft", Config: cfg})
//	if err != nil { ... }
//	defer folder.Close()
//	err = train.Loop(ctx, train.Deps{Learner: l, Run: folder, ...}, train.LoopOptions{...}, trainer)
//	if errors.Is(err, train.ErrInterrupted) { os.Exit(train.ExitInterrupted) }
//
// A run can be killed at any point: the same command goes on from the newest intact
// checkpoint, and on a deterministic Learner ends with the same bits as an unbroken
// run, because all randomness comes from internal/seed and everything else is saved.
package train
