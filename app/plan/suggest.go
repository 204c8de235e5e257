package plan

import (
	"context"
	"fmt"

	"steer/app/jobs"
)

// Suggestion is a change of settings that leaves what comes out as it is, up to the
// rounding of sums.
type Suggestion struct {
	Settings []Setting `json:"settings"`
	Peak     int64     `json:"peak_bytes"` // with them
	Why      string    `json:"why"`
}

// Setting is a key of a job's file and its value.
type Setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

// String is how the setting is written for --set.
func (s Setting) String() string { return fmt.Sprintf("%s=%v", s.Key, s.Value) }

// most tries of smaller batches before giving up.
const suggestTries = 12

// suggest looks for settings with which a job fits into what is free: first checkpointing,
// then smaller micro-batches. For one that fits it looks whether it would still, kept
// activations making it faster. Nil: nothing to suggest.
func (pl *Planner) suggest(ctx context.Context, job jobs.Job, p *Stage) (*Suggestion, error) {
	const faster = "faster, no layer is computed twice"
	if p.Fits {
		if p.OtherPeak > 0 && !p.KeepActivations && p.OtherPeak <= p.Free {
			keep := []Setting{{"engine.keep_activations", true}}
			return &Suggestion{Settings: keep, Peak: p.OtherPeak, Why: faster}, nil
		}
		return nil, nil
	}
	s := &Suggestion{Why: "fits"}
	job = job.Clone()
	if k := job.Knobs(); p.KeepActivations {
		*k.KeepActivations = false
		s.Settings, s.Peak = append(s.Settings, Setting{"engine.keep_activations", false}), p.OtherPeak
		if p.OtherPeak <= p.Free && p.fits(0, p.HostFree) {
			return s, nil
		}
	}
	best := p.Peak
	for range suggestTries {
		if !shrink(job) {
			return nil, nil
		}
		smaller, err := pl.Plan(ctx, job, p.Stage)
		if err != nil {
			return nil, err
		}
		if smaller.fits(p.Free, p.HostFree) {
			s.Peak = smaller.Peak
			for _, k := range job.Knobs().Sizes {
				s.Settings = append(s.Settings, Setting{k.Key, *k.Value})
			}
			return s, nil
		}
		if smaller.Peak >= best && smaller.LargestBatch <= smaller.Longest {
			return nil, nil // single sequences are the least that can be computed
		}
		best = min(best, smaller.Peak)
	}
	return nil, nil
}

// shrink halves every batch size of a job, to the next divisor where it has to be one;
// false if none can be made smaller.
func shrink(job jobs.Job) bool {
	any := false
	for _, k := range job.Knobs().Sizes {
		n := *k.Value / 2
		for k.Divisor && n > 1 && *k.Value%n != 0 {
			n--
		}
		if n >= 1 {
			*k.Value, any = n, true
		}
	}
	return any
}
