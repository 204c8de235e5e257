package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// An evaluation that is not through has no result.json, but a piece for each measurement that
// is: items/<benchmark>.<protocol>.<model>.json (eval/piece.go). A report shows those.

// piece is what is read of one.
type piece struct {
	Fingerprint string       `json:"fingerprint"` // YAML: what the numbers depend on
	Benchmark   *Benchmark   `json:"benchmark"`
	CrossReward *crossReward `json:"cross_reward"`
	Samples     []Sample     `json:"samples"`
	written     time.Time
}

// unfinished assembles the pieces in the folder of an evaluation; nil, nil, nil if there are none.
func (l Loader) unfinished(dir string) (*StageResult, *evalResult, error) {
	pieces, err := l.pieces(dir)
	if err != nil || len(pieces) == 0 {
		return nil, nil, err
	}
	ev := &evalResult{}
	if ev.Models, err = l.subjects(filepath.Join(dir, "config.yaml")); err != nil {
		return nil, nil, err
	}
	kept, stale := ofTheNewestTerms(pieces)
	for _, p := range kept {
		switch {
		case p.CrossReward != nil:
			ev.CrossReward, ev.Samples = p.CrossReward, p.Samples
		case p.Benchmark != nil:
			ev.Benchmarks = append(ev.Benchmarks, *p.Benchmark)
		}
	}
	order := map[string]int{}
	for i, m := range ev.Models {
		order[m.Name] = i - len(ev.Models) // before reward models
	}
	slices.SortStableFunc(ev.Benchmarks, func(a, b Benchmark) int { return cmp.Compare(order[a.Model], order[b.Model]) })
	if err := ev.check(); err != nil {
		return nil, nil, fmt.Errorf("report: %s: %w", filepath.Join(dir, "items"), err)
	}
	reason := plural(len(kept), "measurement is finished", "measurements are finished")
	if stale > 0 {
		reason += fmt.Sprintf("; %d more, of other terms than the newest of their kind, are left out", stale)
	}
	return &StageResult{Stage: "eval", Name: "eval", Version: ResultVersion, Status: "interrupted", Reason: reason}, ev, nil
}

// pieces reads the finished measurements, in the order of their names.
func (l Loader) pieces(dir string) ([]piece, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "items"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var out []piece
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, "items", e.Name())
		text, err := l.file(path)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		var p piece
		if err := decodeExact(text, &p); err != nil {
			return nil, fmt.Errorf("report: %s: %w", path, err)
		}
		if info, err := e.Info(); err == nil {
			p.written = info.ModTime()
		}
		out = append(out, p)
	}
	return out, nil
}

// ofTheNewestTerms leaves out what was measured under other terms (limits, data, versions) than
// the newest measurement of the same benchmark and protocol: an evaluation whose configuration
// was changed has not come to those again yet.
func ofTheNewestTerms(pieces []piece) (kept []piece, stale int) {
	kind := func(p *piece) string {
		if p.Benchmark == nil {
			return ""
		}
		return p.Benchmark.Benchmark + " " + p.Benchmark.Protocol
	}
	newest := map[string]*piece{}
	for i := range pieces {
		p := &pieces[i]
		if n := newest[kind(p)]; n == nil || p.written.After(n.written) {
			newest[kind(p)] = p
		}
	}
	for _, p := range pieces {
		if terms(p.Fingerprint) == terms(newest[kind(&p)].Fingerprint) {
			kept = append(kept, p)
		} else {
			stale++
		}
	}
	return kept, stale
}

// terms is a fingerprint without the models, which differ.
func terms(fingerprint string) string {
	before, rest, found := strings.Cut(fingerprint, "models:\n")
	for found && (strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "-")) {
		_, rest, found = strings.Cut(rest, "\n")
	}
	return before + rest
}

// subjects are the models of an evaluation's configuration, the base before them.
func (l Loader) subjects(path string) ([]Model, error) {
	text, err := l.file(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var config struct {
		Subjects []Model `yaml:"subjects"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	return append([]Model{{Name: "base", Role: "base", Adapters: []string{}}}, config.Subjects...), nil
}
