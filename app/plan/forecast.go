package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/internal/machine"
)

// Forecast is what jobs will take, stage by stage.
type Forecast struct {
	Model   string `json:"model"`
	Weights int64  `json:"model_bytes"`
	Device  string `json:"device"` // "cpu", "cuda:0"
	Kernel  string `json:"kernel"`
	Threads int    `json:"threads"`
	// Memory is whose Free and Peak are, HostFree and HostPeak those of the host where that is
	// a GPU's: see StagePlan.
	Memory   string   `json:"memory"`
	Free     int64    `json:"free_bytes"` // 0: not known
	HostFree int64    `json:"host_free_bytes,omitempty"`
	Stages   []*Stage `json:"stages"`
	// Peak is the largest of the stages: one runs at a time.
	Peak     int64 `json:"peak_bytes"`
	HostPeak int64 `json:"host_peak_bytes,omitempty"`
	Fits     bool  `json:"fits"`
	// Runs is how many seeds a study has; one runs at a time.
	Runs int `json:"runs"`
	// Seconds is the estimated time of all stages of all runs, Rates what it is made from; 0 and nil
	// without a calibration.
	Seconds float64 `json:"seconds,omitempty"`
	Rates   *Rates  `json:"tokens_per_second,omitempty"`

	// Warnings are what every use of the model says.
	Warnings []string `json:"warnings,omitempty"`
	// Others is the share of the CPUs' time that other programs took while the rates were
	// measured; 0 where that is little or not known.
	Others float64 `json:"others_cpu_share,omitempty"`

	calibrated time.Duration   // spent on rates
	counted    machine.CPUTime // meanwhile
}

// ForecastOptions configures a forecast.
type ForecastOptions struct {
	Memory machine.MemoryLimit
	// Calibrate measures how fast this machine is, in some seconds.
	Calibrate bool
	// Progress is told the name of the stage being planned; may be nil.
	Progress func(stage string)
}

// ForecastJob plans a single job, which must be resolved.
func Job(ctx context.Context, job jobs.Job, opt ForecastOptions) (*Forecast, error) {
	return Stages(ctx, []jobs.Named{{Name: job.Folder(), Job: job}}, nil, opt)
}

// forecast plans stages one after the other; files are what earlier ones write, by path.
func Stages(
	ctx context.Context, stages []jobs.Named, files map[string]jobs.Maker, opt ForecastOptions,
) (*Forecast, error) {
	f := &Forecast{Fits: true, Runs: 1}
	if opt.Calibrate {
		f.Rates = &Rates{}
	}
	for _, s := range stages {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if opt.Progress != nil {
			opt.Progress(s.Name)
		}
		p, err := f.stage(ctx, s, files, opt)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		f.Stages = append(f.Stages, p)
		f.Peak, f.HostPeak, f.Fits = max(f.Peak, p.Peak), max(f.HostPeak, p.HostPeak), f.Fits && p.Fits
		f.Seconds += p.Seconds
	}
	return f, nil
}

// stage plans one job on a workspace of its own, as a run would open it.
func (f *Forecast) stage(
	ctx context.Context, s jobs.Named, files map[string]jobs.Maker, opt ForecastOptions,
) (p *Stage, err error) {
	model, engine := s.Job.Base()
	w, err := workspace.OpenWith(model, engine, ggml.ModelOptions{SkipCheck: true}) // the run checks it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	expect(w, files)
	if err := f.describe(w, opt.Memory); err != nil {
		return nil, err
	}
	planner := NewPlanner(w)
	p, err = planner.planWith(ctx, s.Job, s.Name, func(r *rehearsal, p *Stage) error {
		if f.Rates == nil || !p.fits(f.Free, f.HostFree) {
			return nil // what does not fit is not tried
		}
		start := time.Now()
		before, unknown := machine.ReadCPUTime(machine.System())
		err := r.calibrate(ctx, p, f.Rates, start.Add(calibrationLimit-f.calibrated))
		if after, err := machine.ReadCPUTime(machine.System()); unknown == nil && err == nil {
			f.counted = f.counted.Add(after.Since(before))
			f.Others = f.counted.Others()
		}
		if f.calibrated += time.Since(start); err != nil {
			return fmt.Errorf("calibration: %w", err)
		}
		if seconds, ok := f.Rates.Seconds(p.Tokens); ok {
			p.Seconds = seconds
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.reserve = nil // nothing is run
	return p, planner.judge(ctx, s.Job, p, f.Free, f.HostFree)
}

// describe fills in model, device and, before the first stage, what is free.
func (f *Forecast) describe(w *workspace.Workspace, limit machine.MemoryLimit) (err error) {
	info := w.Model.Info()
	f.Model, f.Weights, f.Kernel, f.Threads = info.Path, info.Bytes, w.Kernel(), w.Engine.ThreadCount()
	f.Warnings = info.Warnings
	if f.Device == "" {
		f.Device, f.Memory = w.Device(), memoryOfPlans(w)
		f.Free, f.HostFree, err = limits(w, limit)
	}
	return err
}

// expect makes the workspace take adapters that are not written yet as they will be, as far as a
// plan cares.
func expect(w *workspace.Workspace, files map[string]jobs.Maker) {
	for path, m := range files {
		if jobs.Exists(path) {
			continue
		}
		w.Expect(path, func(w *workspace.Workspace) (*adapter.Adapter, error) {
			a, err := m.NewAdapter(w)
			if err != nil {
				return nil, err
			}
			meta := m.Meta("")
			delete(meta, adapter.MetaTrainedOn) // what is not there yet has no content
			a.Describe(meta)
			return a, nil
		})
	}
}
