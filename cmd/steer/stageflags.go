package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/experiment"
	"steer/app/jobs"
	"steer/app/plan"
	"steer/internal/conf"
	"steer/rl/run"
)

// stageFlags are the flags that the stage commands share. A job file gives the
// configuration, flags that name a key override it, --set any other key.
type stageFlags struct {
	out, preset string
	set         []string
	dry, fresh  bool
	memory      memoryFlags
	keys        []keyFlag
}

func (f *stageFlags) bind(cmd *cobra.Command, m jobs.Method, keys []keyFlag) {
	f.keys = append([]keyFlag{
		{flag: "model", short: "m", key: "model", help: "base model, a GGUF `FILE`", isPath: true},
		{flag: "device", key: "engine.device", help: deviceHelp},
		{flag: "threads", key: "engine.threads", help: "`N` compute threads (0: one for each CPU allowed)"},
		{flag: "precision", key: "engine.precision", help: "arithmetic of the frozen matrices, `NAME`: bf16 or f32"},
	}, keys...)
	flags := cmd.Flags()
	for i := range f.keys {
		k := &f.keys[i]
		switch {
		case k.isBool:
			flags.BoolVar(&k.on, k.flag, false, k.help)
		case k.list, k.isMap:
			flags.StringArrayVar(&k.items, k.flag, nil, k.help)
		default:
			flags.StringVarP(&k.text, k.flag, k.short, "", k.help)
		}
	}
	flags.StringVarP(&f.out, "out", "o", "", "run `FOLDER` (default: runs/<stage>)")
	if presets := m.Presets(); presets != nil {
		flags.StringVar(&f.preset, "preset", "", strings.Join(presets, " or ")+": what to start from")
	}
	flags.StringArrayVar(&f.set, "set", nil, "override a key, `KEY=VALUE`; may be repeated")
	flags.BoolVar(&f.dry, "dry-run", false, "print the resolved configuration and stop")
	flags.BoolVar(&f.fresh, "fresh", false, "forget an earlier run in the folder")
	f.memory.bind(cmd)
}

// fill makes a job of a method: from its preset, then the job file, if there is one, then the flags.
// Paths in the file are relative to dir.
func (f *stageFlags) fill(cmd *cobra.Command, file []string, m jobs.Method) (job jobs.Job, dir string, err error) {
	path := ""
	if len(file) == 1 {
		path = file[0]
	}
	from, err := experiment.ReadJobFile(path)
	if err != nil {
		return nil, "", err
	}
	preset, err := from.Preset(m)
	if err != nil {
		return nil, "", usage(err)
	}
	key := m.PresetKey
	if text, ok := conf.Overridden(f.set, key); ok {
		if f.preset != "" && f.preset != text {
			return nil, "", usagef("--%s %s and --set %s=%s contradict each other: give one of them",
				key, f.preset, key, text)
		}
		preset = text
	}
	if f.preset != "" {
		preset = f.preset
	}
	if job, err = m.New(preset); err != nil {
		return nil, "", usage(err)
	}
	if err := from.Fill(job); err != nil {
		return nil, "", usage(err)
	}
	set := func(overrides []string) error {
		for _, o := range overrides {
			if err := conf.Set(job, o); err != nil {
				return usage(err)
			}
		}
		return nil
	}
	overrides := slices.Clone(f.set)
	if m.PresetKey != "preset" && f.preset != "" {
		overrides = append(overrides, m.PresetKey+"="+f.preset)
	}
	if err := set(overrides); err != nil {
		return nil, "", err
	}
	if err := f.setKeys(cmd, job); err != nil {
		return nil, "", usage(err)
	}
	if err := f.agree(cmd, job, func() error { return set(f.set) }); err != nil {
		return nil, "", err
	}
	return job, from.Dir, f.heeded(cmd, job)
}

// runStage resolves and runs a job in its folder.
func (a *app) runStage(ctx context.Context, f *stageFlags, job jobs.Job, base string) error {
	out := f.out
	if out == "" {
		out = filepath.Join("runs", job.Folder())
	}
	noFetch := ""
	if f.dry {
		noFetch = "--dry-run fetches nothing"
	}
	if err := a.locateJob(ctx, job, out, f.fresh, noFetch); err != nil {
		return err
	}
	if err := job.Resolve(base, a.hashes); err != nil {
		return configError(experiment.WithSources(err))
	}
	if f.dry {
		raw, err := conf.Marshal(job)
		if err != nil {
			return err
		}
		_, err = a.out.Write(raw)
		return err
	}
	done, err := jobs.Finished(out, job)
	if errors.Is(err, run.ErrVersion) && !f.fresh {
		return err
	}
	if err == nil && done && !f.fresh {
		fmt.Fprintf(a.out, "%s: finished already, nothing that goes into it has changed (--fresh runs it again)\n", out)
		return nil
	}
	con := a.console()
	con.Memory = f.memory.MemoryLimit
	if err := plan.Run(ctx, job, con, filepath.Base(out), out, f.fresh, nil); err != nil {
		if errors.Is(err, run.ErrConfigChanged) {
			return fmt.Errorf("%w\nGo back to that configuration, name another folder with --out, "+
				"or start again with --fresh", err)
		}
		return err
	}
	fmt.Fprintf(a.out, "%s: done, see %s\n", job.Folder(), filepath.Join(out, run.ResultFile))
	if job.Kind() == jobs.EvalKind {
		fmt.Fprintf(a.out, "  steer report %s --format text    shows it\n", out)
	}
	return nil
}
