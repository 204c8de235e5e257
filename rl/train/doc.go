// Package train is what all trainers share. It knows no loss: a method (rl/sft, rewards, rl/ppo, rl/dpo)
// is a loss, a configuration made of the parts below, and a [Trainer] whose rounds [Loop] drives.
//
//	what                                           where
//	settings: batches, optimizer, LoRA, presets    Batches, Optim, LRSchedule, LoRA, Preset, Checks
//	in which order items are taken                 Order, Batches.Positions
//	what goes through the model at once            Batches.Split, Micro, MicroByTokens
//	an update                                      MiniBatch.Accumulate, Update, CheckFinite
//	held-out items                                 Evaluate, Every, Deps.Pass, Measurer, Forecaster
//	resuming, checkpoints, metrics, stopping       Loop, Stopper, Outcome.Alarm
//	what a trainer is given                        Deps
//	progress lines and the time left               Progress, Meter
//
// A round of a supervised method reads:
//
//	// 1. The items of this step.
//	for _, i := range order.Span(cfg.Positions(round, n, cfg.Epochs)) { items = append(items, all[i]) }
//	batch := train.MiniBatch[tally]{Items: items, Split: cfg.Split, Gradient: gradient, ...} // gradient: the loss
//	// 2. Forward and backward.
//	counted, err := batch.Accumulate(ctx, deps.Learner)
//	// 3. The update.
//	norm, err := train.Update(deps.Learner, cfg.Optim.At(round, steps), round+1, "grad_norm")
//	// 4. What is to be known of it.
//	return train.Outcome{Step: round + 1, Metrics: ...}, nil
//
// and is run by
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
//
// The package may import the learner's contract (ggml/lm), adapters (ggml/adapter), run folders
// (rl/run) and internal. Package traintest has a model for tests.
package train
