package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/experiment"
	"steer/app/jobs"
	"steer/app/plan"
	"steer/ggml"
	"steer/internal/conf"
	"steer/internal/filehash"
	"steer/internal/hub"
)

// planOptions are the options of "steer plan".
type planOptions struct {
	memory        memoryFlags
	set           []string
	job, device   string
	noCalibration bool
	asJSON        bool
	details       bool
	hashes        *filehash.Cache
}

func newPlanCommand(a *app) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use: "plan FILE.yaml", GroupID: "pipeline", Short: "Say what memory and time an experiment will take",
		Long: `Reads the data, makes the batches and opens the model as a run would, without
computing anything, and prints the memory of every stage, its tokens, and the
time it will take on this machine (from some seconds of trying). Says which
settings would fit where a stage does not; that is exit code 1.

FILE is an experiment, or with --job the file of one stage. Responses are taken
to be as long as they may be: shorter ones need less.

On a GPU the plan is of its memory first (--memory bounds that), and of the
host's besides. What no layout tells is measured by a short trial on the GPU.`,
		Example: `  steer plan experiments/smollm2.yaml
  steer plan experiments/thesis-13b.yaml --memory 24GB --no-calibration
  steer plan experiments/thesis-13b.yaml --device cuda
  steer plan --job sft sft.yaml --set micro_batch_tokens=4096 --details`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error { return o.run(cmd, a, file) },
	}
	flags := cmd.Flags()
	o.memory.bind(cmd)
	flags.StringArrayVar(&o.set, "set", nil, "override a key of the file, `KEY=VALUE`; may be repeated")
	flags.StringVar(&o.job, "job", "", "FILE is that of one stage, `KIND`: "+strings.Join(jobs.Kinds(), ", "))
	flags.StringVar(&o.device, "device", "", deviceHelp+" (default: what FILE says)")
	flags.BoolVar(&o.noCalibration, "no-calibration", false, "leave the times out")
	flags.BoolVar(&o.details, "details", false, "print every buffer of every stage")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func (o *planOptions) run(cmd *cobra.Command, a *app, file []string) error {
	if cmd.Flags().Changed("device") {
		if err := ggml.DeviceName(o.device).Check(); err != nil {
			return usagef("--device: %v", err)
		}
		if text, ok := conf.Overridden(o.set, "engine.device"); ok && text != o.device {
			return usagef("--device %s and --set engine.device=%s contradict each other: give one of them", o.device,
				text)
		}
		o.set = append(o.set, "engine.device="+o.device)
	}
	o.hashes = a.hashes
	opt := plan.ForecastOptions{Memory: o.memory.MemoryLimit, Calibrate: !o.noCalibration}
	progress := a.console().Progress
	opt.Progress = func(stage string) { progress.Note("planning " + stage) }
	ctx, cancel := a.cancellable(cmd.Context())
	defer cancel()
	forecast, err := o.forecast(ctx, a, cmd, file, opt)
	if err != nil {
		return err
	}
	if o.asJSON {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(forecast)
	} else {
		err = printForecast(a.headed(), forecast, o.details || o.job != "")
	}
	if err != nil || forecast.Fits || o.memory.Force {
		return err
	}
	var errs []error
	for _, p := range forecast.Stages {
		errs = append(errs, p.Refusal())
	}
	return errors.Join(errs...)
}

// noPlanFetch is why a plan fetches nothing: it may be of what does not fit.
const noPlanFetch = "a plan fetches nothing"

// forecast plans what the file holds.
func (o *planOptions) forecast(
	ctx context.Context, a *app, cmd *cobra.Command, file []string, opt plan.ForecastOptions,
) (*plan.Forecast, error) {
	if o.job == "" {
		e, err := experiment.LoadStudy(file[0], o.set)
		if err != nil {
			return nil, fmt.Errorf("%w\n(A file of one stage is planned with --job, see \"steer plan --help\".)",
				configError(err))
		}
		if err := e.Validate(); err != nil {
			return nil, usage(err)
		}
		if err := a.locateStudy(ctx, e, false, noPlanFetch); errors.As(err, new(*hub.OfflineError)) {
			return nil, fmt.Errorf("%w\n(All of them: steer fetch --for %s)", err, file[0])
		} else if err != nil {
			return nil, err
		}
		return e.Forecast(ctx, opt)
	}
	m, ok := jobs.Lookup(jobs.Kind(o.job))
	if !ok {
		return nil, usagef("--job: want one of %s, got %q", strings.Join(jobs.Kinds(), ", "), o.job)
	}
	f := stageFlags{set: o.set}
	job, dir, err := f.fill(cmd, file, m)
	if err != nil {
		return nil, err
	}
	if err := a.locateJob(ctx, job, "", false, noPlanFetch); err != nil {
		return nil, err
	}
	if err := job.Resolve(dir, o.hashes); err != nil {
		return nil, configError(experiment.WithSources(err))
	}
	return plan.Job(ctx, job, opt)
}
