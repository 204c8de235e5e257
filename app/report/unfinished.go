package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"steer/rl/run"
)

// An evaluation that is not through has no result.json, but the outcome of each measurement that
// is: items/<benchmark>.<protocol>.<model>.json. A report shows those.

// measurement is one of them.
type measurement struct {
	*run.Outcome
	terms   string // what its numbers depend on, but for the models, which differ
	written time.Time
}

// unfinished assembles the measurements in the folder of an evaluation; nil, nil if there are none.
func (l Loader) unfinished(dir string) (run.Result, error) {
	all, err := l.measurements(dir)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	ev := &run.Evaluation{}
	if ev.Models, err = l.subjects(filepath.Join(dir, run.ConfigFile)); err != nil {
		return nil, err
	}
	kept, stale := ofTheNewestTerms(all)
	for _, m := range kept {
		switch {
		case m.CrossReward != nil:
			ev.CrossReward, ev.Samples = m.CrossReward, m.Samples
		case m.Benchmark != nil:
			ev.Benchmarks = append(ev.Benchmarks, m.Benchmark)
		}
	}
	order := map[string]int{}
	for i, m := range ev.Models {
		order[m.Name] = i - len(ev.Models) // before reward models
	}
	slices.SortStableFunc(ev.Benchmarks, func(a, b *run.Measurement) int {
		return cmp.Compare(order[a.Model], order[b.Model])
	})
	reason := plural(len(kept), "measurement is finished", "measurements are finished")
	if stale > 0 {
		reason += fmt.Sprintf("; %d more, of other terms than the newest of their kind, are left out", stale)
	}
	ev.Record = run.Record{
		Stage: run.StageEval, Name: "eval", Version: run.ResultVersion, Status: run.StatusInterrupted, Reason: reason,
	}
	if err := ev.Check(); err != nil {
		return nil, fmt.Errorf("report: %s: %w", filepath.Join(dir, run.ItemsDir), err)
	}
	return ev, nil
}

// measurements reads those that are finished, in the order of their names.
func (l Loader) measurements(dir string) ([]measurement, error) {
	entries, err := os.ReadDir(filepath.Join(dir, run.ItemsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var out []measurement
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, run.ItemsDir, e.Name())
		text, err := l.file(path)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		m := measurement{}
		if m.Outcome, err = run.ParseOutcome(text); err != nil {
			return nil, fmt.Errorf("report: %s: %w", path, err)
		}
		m.terms = m.Fingerprint.WithoutModels().String()
		if info, err := e.Info(); err == nil {
			m.written = info.ModTime()
		}
		out = append(out, m)
	}
	return out, nil
}

// ofTheNewestTerms leaves out what was measured under other terms (limits, data, versions) than
// the newest measurement of the same benchmark and protocol: an evaluation whose configuration
// was changed has not come to those again yet.
func ofTheNewestTerms(all []measurement) (kept []measurement, stale int) {
	kind := func(m measurement) string {
		if m.Benchmark == nil {
			return ""
		}
		return m.Benchmark.Benchmark + " " + m.Benchmark.Protocol
	}
	newest := map[string]measurement{}
	for _, m := range all {
		if n, seen := newest[kind(m)]; !seen || m.written.After(n.written) {
			newest[kind(m)] = m
		}
	}
	for _, m := range all {
		if m.terms == newest[kind(m)].terms {
			kept = append(kept, m)
		} else {
			stale++
		}
	}
	return kept, stale
}

// subjects are the models of an evaluation's configuration, the base before them.
func (l Loader) subjects(path string) ([]run.Model, error) {
	text, err := l.file(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var config struct {
		Subjects []run.Model `yaml:"subjects"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	return append([]run.Model{{Name: "base", Role: "base", Adapters: []string{}}}, config.Subjects...), nil
}
