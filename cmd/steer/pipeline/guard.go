package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"steer/ggml"
	"steer/internal/conf"
)

// ErrDoesNotFit: a plan needs more memory than there is.
var ErrDoesNotFit = errors.New("it does not fit")

// ErrNoPlan: the memory of the device cannot be told before it is taken.
var ErrNoPlan = errors.New("no plan of memory")

// unplannable says what is not known of a GPU's memory.
func (b *Bench) unplannable() error {
	return fmt.Errorf("%w on %s: how much of the GPU's memory libllama and the kernels take there is not known beforehand "+
		"(activations, KV cache, workspaces); plans are made for device cpu", ErrNoPlan, b.Device())
}

// MemoryLimit says what a stage may take.
type MemoryLimit struct {
	// Bytes may be resident; 0: what is free when the stage begins.
	Bytes conf.Size
	// Force runs what does not fit.
	Force bool
}

// limit is the memory that this process may come to hold, 0 if it cannot be told.
func (l MemoryLimit) limit() int64 {
	if l.Bytes > 0 {
		return int64(l.Bytes)
	}
	free, err := freeMemory()
	if err != nil {
		return 0
	}
	if p, err := memoryOf(""); err == nil {
		free += p.Own // held already
	}
	return free
}

// judge fills in whether the plan fits, and what would.
func (b *Bench) judge(ctx context.Context, job Job, p *StagePlan, limit int64) (err error) {
	p.Free, p.Fits = limit, limit == 0 || p.Peak <= limit
	if limit > 0 {
		p.Suggestion, err = b.suggest(ctx, job, p, limit)
	}
	return err
}

// Refusal is the error of a plan that does not fit, nil for one that does.
func (p *StagePlan) Refusal() error {
	if p.Fits {
		return nil
	}
	text := fmt.Sprintf("%s needs %s (%d bytes), %s (%d bytes) are free", p.Stage, SizeText(p.Peak), p.Peak, SizeText(p.Free), p.Free)
	if s := p.Suggestion; s != nil {
		var set []string
		for _, x := range s.Settings {
			set = append(set, "--set "+x.String())
		}
		return fmt.Errorf("%s: %w\nWith %s it needs %s. --force runs it all the same", text, ErrDoesNotFit, strings.Join(set, " "), SizeText(s.Peak))
	}
	return fmt.Errorf("%s: %w\nNo smaller batch helps: take a smaller or more strongly quantized model, or shorter sequences. --force runs it all the same", text, ErrDoesNotFit)
}

// Guard plans a job, refuses it if it does not fit, and makes the bench reserve the
// planned memory when the job opens its stacks. To be called right before Job.Run;
// Compare ends what it began. On a GPU there is no plan: it says so and returns nil.
func (b *Bench) Guard(ctx context.Context, job Job, name string, con Console) (*StagePlan, error) {
	if b.dev.OnGPU() {
		con.Progress.Note(fmt.Sprintf("%s: %v", name, b.unplannable()))
		return nil, nil
	}
	p, err := b.plan(ctx, job, name)
	if err != nil {
		return nil, err
	}
	if err := b.judge(ctx, job, p, con.Memory.limit()); err != nil {
		return nil, err
	}
	if refusal := p.Refusal(); refusal != nil {
		if !con.Memory.Force {
			return nil, refusal
		}
		con.Progress.Note(fmt.Sprintf("warning: %s needs %s, %s are free: run because of --force", name, SizeText(p.Peak), SizeText(p.Free)))
	}
	free := ""
	if p.Free > 0 {
		free = fmt.Sprintf(", %s are free", SizeText(p.Free))
	}
	con.Progress.Note(fmt.Sprintf("%s: needs %s of memory%s", name, SizeText(p.Peak), free))
	b.reserved, b.steps = p.reserve, 0
	p.release = holdGo(p.goNeed)
	return p, nil
}

// planTolerance is by how much a stage may exceed its plan without a word.
const planTolerance = 0.05

// Compare warns if a stage took more memory than its plan said, and lets Go's heap go.
// A nil plan has nothing to compare.
func (p *StagePlan) Compare(b *Bench, con Console) {
	if p == nil {
		return
	}
	p.release()
	now, err := memoryOf(b.Model.Info().Path)
	if err != nil || now.Most == 0 || now.Most <= p.mostBefore {
		return // not known, or an earlier stage took more
	}
	if float64(now.Most) > (1+planTolerance)*float64(p.Peak) {
		con.Progress.Note(fmt.Sprintf("warning: %s took %s of memory, its plan said %s", p.Stage, SizeText(now.Most), SizeText(p.Peak)))
	}
}

// reserve obtains the memory of the plan's largest passes on a stack just opened.
func (b *Bench) reserve(s *ggml.Step) error {
	i := b.steps
	b.steps++
	if i >= len(b.reserved) {
		return nil
	}
	var passes []ggml.Pass
	for _, q := range b.reserved[i] {
		if q.reference == 0 {
			passes = append(passes, ggml.Pass{Step: s, Batch: q.batch, Options: q.opt})
		}
	}
	b.reserved[i] = nil
	return b.Model.Reserve(context.Background(), passes)
}

// SizeText writes bytes for people: "312 MB".
func SizeText(n int64) string {
	x, unit := float64(n), "bytes"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if x < 999.5 {
			break
		}
		x, unit = x/1000, u
	}
	switch {
	case unit == "bytes":
		return fmt.Sprintf("%d bytes", n)
	case x < 9.95:
		return fmt.Sprintf("%.1f %s", x, unit)
	}
	return fmt.Sprintf("%.0f %s", x, unit)
}
