// Package jobs holds what one run does: a job of each method (SFT, reward model, PPO, evaluation) is a
// type whose fields are the keys of its file. It opens the model and the adapters it needs in a
// workspace, reads its data, runs its trainer in its run folder and writes its result. It holds no
// algorithm: those are rl/sft, rewards, rl/ppo, rl/dpo and eval.
//
// A job's resolved configuration carries the SHA-256 of every file that goes in (model, adapters,
// data). Whether a finished run can be skipped, and whether an unfinished one may be resumed, is then
// one comparison of configurations.
//
// [Methods] lists the methods: a new one is a file with its type, and a line there. Above stand
// app/plan, which rehearses jobs, and app/experiment, which makes a pipeline of them.
package jobs
