// Package plan says what a job will take before it starts: memory, buffer by buffer, tokens and time;
// whether that fits; and what to change if it does not.
//
// A plan is made by rehearsal: the job's own code runs on an engine that answers at once and keeps
// what was asked (rehearsal.go). The largest batches are then laid out without memory (plan.go, gpu.go
// for what only a trial on a GPU tells), short passes measure the speed (calibrate.go), [Guard] refuses
// what does not fit and reserves the rest. It may import jobs, workspaces and the machine's limits;
// experiments and commands import it.
package plan
