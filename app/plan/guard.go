package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/lm"
	"steer/internal/bytesize"
	"steer/internal/machine"
	"steer/rl/train"
)

// ErrDoesNotFit: a plan needs more memory than there is.
var ErrDoesNotFit = errors.New("it does not fit")

// fits tells whether the plan stays within both memories; 0 is no limit.
func (p *Stage) fits(free, hostFree int64) bool {
	return (free == 0 || p.Peak <= free) && (hostFree == 0 || p.HostPeak <= hostFree)
}

// judge fills in whether the plan fits, and what would; host is the limit of the host's memory
// where the plan is of a GPU's.
func (pl *Planner) judge(ctx context.Context, job jobs.Job, p *Stage, limit, host int64) (err error) {
	p.Free, p.HostFree, p.Fits = limit, host, p.fits(limit, host)
	if limit > 0 {
		p.Suggestion, err = pl.suggest(ctx, job, p)
	}
	return err
}

// needs says what is needed and what is free of each memory that the plan counts, those that do
// not suffice only where any does not.
func (p *Stage) needs(exactly bool) string {
	var parts []string
	say := func(need, free int64, of string) {
		if !p.Fits && (free == 0 || need <= free) {
			return
		}
		bytes := func(n int64) string {
			if exactly {
				return fmt.Sprintf("%s (%d bytes)", bytesize.Text(n), n)
			}
			return bytesize.Text(n)
		}
		text := bytes(need) + of
		if free > 0 {
			text += ", " + bytes(free) + " are free"
		}
		parts = append(parts, text)
	}
	switch {
	case p.onGPU():
		say(p.Peak, p.Free, " of "+p.Memory)
		say(p.HostPeak, p.HostFree, " of the host's memory")
	case exactly:
		say(p.Peak, p.Free, "")
	default:
		say(p.Peak, p.Free, " of memory")
	}
	return strings.Join(parts, "; ")
}

// Refusal is the error of a plan that does not fit, nil for one that does.
func (p *Stage) Refusal() error {
	if p.Fits {
		return nil
	}
	text := fmt.Sprintf("%s needs %s", p.Stage, p.needs(true))
	if s := p.Suggestion; s != nil {
		var set []string
		for _, x := range s.Settings {
			set = append(set, "--set "+x.String())
		}
		return fmt.Errorf("%s: %w\nWith %s it needs %s. --force runs it all the same", text, ErrDoesNotFit,
			strings.Join(set, " "), bytesize.Text(s.Peak))
	}
	return fmt.Errorf("%s: %w\nNo smaller batch helps: take a smaller or more strongly quantized model, or shorter "+
		"sequences. --force runs it all the same", text, ErrDoesNotFit)
}

// Guard plans a job, refuses it if it does not fit, and makes the workspace reserve the
// planned memory when the job opens its stacks. To be called right before Job.Run;
// Compare ends what it began.
func Guard(ctx context.Context, w *workspace.Workspace, job jobs.Job, name string, con jobs.Console) (*Stage, error) {
	pl := NewPlanner(w)
	p, err := pl.Plan(ctx, job, name)
	if err != nil {
		return nil, err
	}
	limit, host, err := limits(w, con.Memory)
	if err != nil {
		return nil, err
	}
	if err := pl.judge(ctx, job, p, limit, host); err != nil {
		return nil, err
	}
	if refusal := p.Refusal(); refusal != nil {
		if !con.Memory.Force {
			return nil, refusal
		}
		con.Progress.Note(fmt.Sprintf("warning: %s needs %s: run because of --force", name, p.needs(false)))
	}
	con.Progress.Note(fmt.Sprintf("%s: needs %s", name, p.needs(false)))
	detail(w, job, p, con.Progress)
	w.OnStep(reserving(w.Model, p.reserve))
	p.release = machine.HoldGo(p.goNeed)
	return p, nil
}

// planTolerance is by how much a stage may exceed its plan without a word. PlanSlack bytes of the
// host's memory it may always: when Go's collector runs moves the peak of a small process by as much.
const (
	planTolerance = 0.05
	PlanSlack     = 8_000_000
)

// PlanFloor is the peak, in bytes, below which PlanSlack is more than planTolerance.
const PlanFloor = PlanSlack * 20 // 1/planTolerance

// detail says what a stage computes with, on and in.
func detail(w *workspace.Workspace, job jobs.Job, p *Stage, to train.Progress) {
	train.Detail(to, "%s: computing on %s, %d threads, kernels %s, precision %s", p.Stage, w.Device(), w.Threads(),
		w.Kernel(), w.Engine.Precision)
	inputs := job.Read()
	for _, role := range slices.Sorted(maps.Keys(inputs)) {
		train.Detail(to, "%s: reads %s, SHA-256 %s", p.Stage, role, inputs[role])
	}
	for _, x := range p.Buffers {
		train.Detail(to, "%s: %s of %s: %s", p.Stage, bytesize.Text(x.Bytes), x.Memory, x.Name)
	}
	n := p.Tokens
	train.Detail(to, "%s: %d tokens to train on, %d to score, %d to read and at most %d to generate", p.Stage, n.Train,
		n.Score, n.Prompt, n.Generated)
}

// Compare warns if a stage took more memory than its plan said, and lets Go's heap go.
func (p *Stage) Compare(w *workspace.Workspace, con jobs.Console) {
	p.release()
	warn := func(took, planned, slack int64, of, but string) {
		if float64(took) > float64(planned)+max(planTolerance*float64(planned), float64(slack)) {
			con.Progress.Note(fmt.Sprintf("warning: %s took %s of %s, its plan said %s%s", p.Stage, bytesize.Text(took),
				of, bytesize.Text(planned), but))
		}
	}
	resident := p.Peak
	if p.onGPU() {
		resident = p.HostPeak
		if mem, err := w.DeviceMemory(); err == nil {
			warn(mem.Most, p.Peak, 0, p.Memory, " (what other programs have taken of it meanwhile counts, too)")
		}
	}
	now, err := machine.MemoryOf(w.Model.Info().Path)
	if err == nil && now.Most > p.mostBefore { // else it is not known, or an earlier stage took more
		warn(now.Most, resident, PlanSlack, "memory", "")
	}
}

// reserving obtains, for each stack that is opened, the memory of the plan's largest passes on it;
// planned lists these by the order in which stacks are opened.
func reserving(m *ggml.Model, planned [][]recorded) func(lm.Learner) error {
	opened := 0
	return func(stack lm.Learner) error {
		i := opened
		opened++
		if i >= len(planned) {
			return nil
		}
		var passes []ggml.Pass
		for _, q := range planned[i] {
			if q.reference == 0 {
				passes = append(passes, ggml.Pass{Step: stack.(*ggml.Step), Batch: q.batch, Options: q.opt})
			}
		}
		planned[i] = nil
		return m.Reserve(context.Background(), passes)
	}
}
