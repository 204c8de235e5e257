package experiment

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"steer/app/jobs"
	"steer/app/source"
	"steer/internal/hub"
)

// Locate puts paths in place of the names of the hub in every run, before any is locked or planned. What
// names were when a run began they are when it goes on, and for its other seeds, unless fresh forgets it.
func (s *Study) Locate(ctx context.Context, f *source.Finder, fresh bool) error {
	pins := make([]jobs.Pins, len(s.Runs))
	for i, e := range s.Runs {
		if fresh {
			break
		}
		pins[i] = jobs.PinsOf(e.folders()...)
	}
	for i, e := range s.Runs {
		known := jobs.Pins{}
		for _, p := range append(slices.Clone(pins[i:]), pins[:i]...) {
			for name, source := range p {
				if _, ok := known[name]; !ok {
					known[name] = source
				}
			}
		}
		var errs []error
		for _, stage := range e.Stages() {
			errs = append(errs, each(jobs.Locate(ctx, stage.Job, f, known))...)
		}
		if err := unique(errs); err != nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		e.Model = e.SFT.Model
	}
	return nil
}

// folders are those of all stages.
func (e *Experiment) folders() (dirs []string) {
	for _, s := range e.Stages() {
		dirs = append(dirs, filepath.Join(e.Out, s.Name))
	}
	return dirs
}

// HubName is a name of the hub in an experiment.
type HubName struct {
	Key, Name string
	Kind      source.Kind
}

// HubNames lists the names of the hub in the study, each once, with the first key that has it.
func (s *Study) HubNames() (names []HubName) {
	for _, e := range s.Runs {
		for _, stage := range e.Stages() {
			for _, n := range stage.Job.Names() {
				seen := slices.ContainsFunc(names, func(h HubName) bool { return h.Name == n.Text && h.Kind == n.Kind })
				if hub.IsName(n.Text) && !seen {
					names = append(names, HubName{fmt.Sprintf("%s.%s", stage.Name, n.Key), n.Text, n.Kind})
				}
			}
		}
	}
	return names
}
