package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"steer/ggml"
	"steer/ggml/adapter"
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
	Memory   string       `json:"memory"`
	Free     int64        `json:"free_bytes"` // 0: not known
	HostFree int64        `json:"host_free_bytes,omitempty"`
	Stages   []*StagePlan `json:"stages"`
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

	calibrated time.Duration // spent on rates
	counted    cpuTime       // meanwhile
}

// ForecastOptions configures a forecast.
type ForecastOptions struct {
	Memory MemoryLimit
	// Calibrate measures how fast this machine is, in some seconds.
	Calibrate bool
	// Progress is told the name of the stage being planned; may be nil.
	Progress func(stage string)
}

// ForecastJob plans a single job, which must be resolved.
func ForecastJob(ctx context.Context, job Job, opt ForecastOptions) (*Forecast, error) {
	return forecast(ctx, []NamedJob{{job.Folder(), job}}, nil, opt)
}

// forecast plans stages one after the other; files are what earlier ones write, by path.
func forecast(ctx context.Context, stages []NamedJob, files map[string]Maker, opt ForecastOptions) (*Forecast, error) {
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

// stage plans one job on a bench of its own, as a run would open it.
func (f *Forecast) stage(ctx context.Context, s NamedJob, files map[string]Maker, opt ForecastOptions) (p *StagePlan, err error) {
	model, engine := s.Job.Base()
	b, err := openBench(model, engine, ggml.ModelOptions{SkipCheck: true}) // the run checks it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	expect(b, files)
	if err := f.describe(b, opt.Memory); err != nil {
		return nil, err
	}
	planner := NewPlanner(b)
	p, err = planner.planWith(ctx, s.Job, s.Name, func(r *rehearsal, p *StagePlan) error {
		if f.Rates == nil || !p.fits(f.Free, f.HostFree) {
			return nil // what does not fit is not tried
		}
		start := time.Now()
		before, unknown := cpuTimeOf(system())
		err := r.calibrate(ctx, p, f.Rates, start.Add(calibrationLimit-f.calibrated))
		if after, err := cpuTimeOf(system()); unknown == nil && err == nil {
			f.counted = f.counted.add(after.since(before))
			f.Others = f.counted.others()
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
func (f *Forecast) describe(b *Bench, limit MemoryLimit) (err error) {
	info := b.Model.Info()
	f.Model, f.Weights, f.Kernel, f.Threads = info.Path, info.Bytes, b.Kernel(), b.Engine.threads()
	f.Warnings = info.Warnings
	if f.Device == "" {
		f.Device, f.Memory = b.Device(), memoryOfPlans(b)
		f.Free, f.HostFree, err = limits(b, limit)
	}
	return err
}

// expect makes the workspace take adapters that are not written yet as they will be, as far as a
// plan cares.
func expect(b *Bench, files map[string]Maker) {
	for path, m := range files {
		if exists(path) {
			continue
		}
		b.Expect(path, func(b *Bench) (*adapter.Adapter, error) {
			a, err := m.NewAdapter(b)
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
