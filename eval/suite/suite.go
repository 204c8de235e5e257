package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/journal"
	"steer/internal/atomicfile"
	"steer/rl/run"
)

// Suite runs the benchmarks of a configuration, each with every model before the next (what
// models share, as the tokens of a text, is then still at hand), and writes into a folder, for
// each measurement,
//
//	items/<benchmark>.<protocol>.<model>.jsonl.zst   a record an item
//	items/<benchmark>.<protocol>.<model>.json        its outcome, and what it depends on
//	items/<benchmark>.<protocol>.<model>.part        while it is not finished: the answers so far
//
// Data files are read once, by New, so that a missing or malformed file shows
// before any model is asked. A suite that is begun again in the folder of one that was
// interrupted takes up what is there.
type Suite struct {
	// Version of the program: what another one measured is measured again.
	Version string
	// Note is told, if set, what is taken up, and what is measured again and why.
	Note func(string)

	cfg   benchmark.Config
	dir   string
	tasks []benchmark.Spec
	sums  map[string]string // SHA-256 of data files, by path
	ids   map[string]string // of language models, by name
	eta   eta
	// tell is the configuration's OnProgress, behind the suite's own.
	tell func(eval.Progress)
	// current is the journal of the measurement that runs, nil without one.
	current *journal.Journal
}

// New validates the configuration and reads the data. max_length must be set.
func New(cfg benchmark.Config, dir string) (*Suite, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.Settings.Validate(); err != nil {
		return nil, err
	}
	s := &Suite{cfg: cfg, dir: dir, sums: map[string]string{}, ids: map[string]string{}, tell: cfg.OnProgress,
		eta: newETA()}
	s.cfg.OnProgress = s.progress
	for _, b := range s.cfg.Specs() {
		if !b.Wanted() {
			continue
		}
		if err := b.Load(); err != nil {
			return nil, fmt.Errorf("eval: %s: %w", b.Inputs[0].Key, err)
		}
		s.tasks = append(s.tasks, b)
	}
	items := filepath.Join(dir, run.ItemsDir)
	if err := errors.Join(os.MkdirAll(items, 0o777), atomicfile.RemoveLeftovers(items)); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return s, nil
}

// Run measures everything: every benchmark of every subject and reward model, then what
// policies and reward models make together: continuations under their judges, and, if there
// are reward models and prompts, the matrix. The results are in the order of the models.
//
// After an interruption the same call goes on where the last whole batch was left and
// ends in the same numbers.
func (s *Suite) Run(
	ctx context.Context, subjects []eval.Subject, rewards []eval.Reward,
) ([]*run.Measurement, *run.CrossReward, error) {
	for _, b := range s.tasks {
		if b.Notes != nil {
			for _, n := range b.Notes() {
				s.note(n)
			}
		}
	}
	s.eta.schedule(s.work(subjects, rewards))
	all, err := s.each(ctx, subjects, rewards)
	if err != nil {
		return all, nil, err
	}
	generated, err := s.Generations(ctx, subjects, rewards)
	all = append(all, generated...)
	if err != nil || len(rewards) == 0 {
		return all, nil, err
	}
	cross, err := s.CrossReward(ctx, subjects, rewards, s.cfg.Template)
	return all, cross, err
}

// Language runs every configured benchmark of a language model.
func (s *Suite) Language(ctx context.Context, m eval.Subject) ([]*run.Measurement, error) {
	return s.each(ctx, []eval.Subject{m}, nil)
}

// Reward runs every configured benchmark of a reward model.
func (s *Suite) Reward(ctx context.Context, r eval.Reward) ([]*run.Measurement, error) {
	return s.each(ctx, nil, []eval.Reward{r})
}

// each runs every benchmark of every model.
func (s *Suite) each(ctx context.Context, subjects []eval.Subject, rewards []eval.Reward) ([]*run.Measurement, error) {
	for _, m := range subjects {
		s.ids[m.Name] = m.ID
	}
	done := make([][]*run.Measurement, len(subjects)+len(rewards))
	for i := range s.tasks {
		task := &s.tasks[i]
		for k, m := range subjects {
			if m.BestOf > 0 || !task.MeasuresSubject(m.Name) {
				continue
			}
			b, err := s.measure(task, m.Name, m.ID, func(j *journal.Journal) (*run.Measurement, []run.Item, error) {
				return task.Language(ctx, j.Subject(m))
			})
			if err != nil {
				return slices.Concat(done...), fmt.Errorf("%s: %w", m.Name, err)
			}
			done[k] = append(done[k], b)
		}
		for k, r := range rewards {
			if !task.MeasuresRewards() {
				continue
			}
			b, err := s.measure(task, r.Name, r.ID, func(j *journal.Journal) (*run.Measurement, []run.Item, error) {
				return task.Reward(ctx, j.Reward(r, s.bytesAtOnce()))
			})
			if err != nil {
				return slices.Concat(done...), fmt.Errorf("reward %s: %w", r.Name, err)
			}
			done[len(subjects)+k] = append(done[len(subjects)+k], b)
		}
	}
	for k := range subjects {
		done[k] = append(done[k], s.cfg.Tasks.Aggregate(s.cfg.Settings, done[k])...)
	}
	return slices.Concat(done...), nil
}

// bytesAtOnce is about how much text is scored between two lines of a journal.
func (s *Suite) bytesAtOnce() int { return s.cfg.BatchTokens * benchmark.BytesPerToken }

// work lists what Run is going to measure.
func (s *Suite) work(subjects []eval.Subject, rewards []eval.Reward) []benchmark.Work {
	var out []benchmark.Work
	for i := range s.tasks {
		t := &s.tasks[i]
		add := func(model string) {
			out = append(out, benchmark.Work{ID: run.ID{Benchmark: t.Name, Protocol: t.Protocol, Model: model},
				Cost: t.Cost()})
		}
		for _, m := range subjects {
			if m.BestOf == 0 && t.MeasuresSubject(m.Name) {
				add(m.Name)
			}
		}
		for _, r := range rewards {
			if t.MeasuresRewards() {
				add(r.Name)
			}
		}
	}
	out = append(out, s.cfg.Generations.Work(subjects, rewards)...)
	return append(out, s.cfg.CrossReward.Work(subjects, rewards)...)
}

// Done says how many measurements of how many are finished.
func (s *Suite) Done() (done, all int) { return s.eta.finished(), len(s.eta.work) }

// progress passes a report on with the suite's own part filled in.
func (s *Suite) progress(r eval.Progress) {
	r = s.eta.step(r, s.current.Replayed())
	if s.tell != nil {
		s.tell(r)
	}
}

func (s *Suite) note(text string) {
	if s.Note != nil {
		s.Note(text)
	}
}
