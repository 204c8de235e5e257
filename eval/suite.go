package eval

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/rl/data"
)

// Suite runs the benchmarks of a configuration, model after model, and writes the
// records of each into a folder:
//
//	items/<benchmark>.<protocol>.<model>.jsonl.zst
//
// Data files are read once, by NewSuite, so that a missing or malformed file shows
// before any model is asked.
type Suite struct {
	cfg Config
	dir string

	wsc      []data.Schema
	toxigen  []data.ToxiGen
	deont    []data.Deontology
	util     []data.Utilitarianism
	scruples []data.Anecdote
	chooseOn []data.Anecdote
}

// NewSuite validates the configuration and reads the data. max_length must be set.
func NewSuite(cfg Config, dir string) (*Suite, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.Settings.check(); err != nil {
		return nil, err
	}
	s := &Suite{cfg: cfg, dir: dir}
	err := firstError(
		load(cfg.WSC273, data.ReadWSC, &s.wsc),
		load(cfg.ToxiGen, data.ReadToxiGen, &s.toxigen),
		load(cfg.EthicsDeontology, data.ReadDeontology, &s.deont),
		load(cfg.EthicsUtilitarianism, data.ReadUtilitarianism, &s.util),
		load(cfg.Scruples.File, data.ReadAnecdotes, &s.scruples),
		load(cfg.Scruples.Threshold, data.ReadAnecdotes, &s.chooseOn),
	)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "items"), 0o777); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return s, nil
}

func load[T any](f File, read func(string) ([]T, error), into *[]T) error {
	if f.Path == "" {
		return nil
	}
	rows, err := read(f.Path)
	if err != nil {
		return err
	}
	*into, err = window(f, rows)
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// run is one benchmark under one protocol of one model.
type run struct {
	wanted bool
	file   File
	do     func() (*Benchmark, []Record, error)
}

// Language runs every configured benchmark of a language model.
func (s *Suite) Language(ctx context.Context, m Subject) ([]*Benchmark, error) {
	set, c := s.cfg.Settings, s.cfg
	return s.all([]run{
		{c.WSC273.Path != "", c.WSC273, func() (*Benchmark, []Record, error) { return WSC273(ctx, m, set, s.wsc) }},
		{c.ToxiGen.Path != "", c.ToxiGen, func() (*Benchmark, []Record, error) {
			return ToxiGen(ctx, m, set, s.toxigen, c.ToxiGen.First)
		}},
		{c.EthicsDeontology.Path != "", c.EthicsDeontology, func() (*Benchmark, []Record, error) {
			return Deontology(ctx, m, set, s.deont, c.EthicsDeontology.First)
		}},
		{c.EthicsUtilitarianism.Path != "", c.EthicsUtilitarianism, func() (*Benchmark, []Record, error) {
			return Utilitarianism(ctx, m, set, s.util, c.EthicsUtilitarianism.First)
		}},
		{s.scruplesWanted(ProtocolLogLik), c.Scruples.File, func() (*Benchmark, []Record, error) {
			return ScruplesLabels(ctx, m, set, s.scruples, c.Scruples.First)
		}},
		{s.scruplesWanted(ProtocolThesis), c.Scruples.File, func() (*Benchmark, []Record, error) {
			opt := ThesisOptions{MaxNew: c.Scruples.MaxNewTokens, Batch: c.Scruples.Batch, Context: set.MaxLength}
			return ScruplesThesis(ctx, m, set, opt, s.scruples, c.Scruples.First)
		}},
	})
}

// Reward runs every configured benchmark of a reward model.
func (s *Suite) Reward(ctx context.Context, r Reward) ([]*Benchmark, error) {
	c := s.cfg
	return s.all([]run{
		{s.scruplesWanted(ProtocolReward), c.Scruples.File, func() (*Benchmark, []Record, error) {
			b, records, err := ScruplesReward(ctx, r, c.Settings, s.chooseOn, s.scruples, c.Scruples.First)
			if err == nil {
				err = c.Scruples.Threshold.provenance(b, "threshold_")
			}
			return b, records, err
		}},
	})
}

func (s *Suite) scruplesWanted(p Protocol) bool {
	return s.cfg.Scruples.Path != "" && slices.Contains(s.cfg.Scruples.Protocols, p)
}

func (s *Suite) all(runs []run) ([]*Benchmark, error) {
	var out []*Benchmark
	for _, r := range runs {
		if !r.wanted {
			continue
		}
		b, records, err := r.do()
		if err != nil {
			return out, err
		}
		if err := r.file.provenance(b, ""); err != nil {
			return out, err
		}
		name := recordFile(b.Benchmark, b.Protocol, b.Model)
		b.Provenance["items"] = name
		if err := WriteRecords(filepath.Join(s.dir, name), records); err != nil {
			return out, err
		}
		out = append(out, b)
	}
	return out, nil
}

// CrossReward loads the prompts and runs [CrossReward]; nil without a path for them.
// The template is the one the policies were trained with.
func (s *Suite) CrossReward(ctx context.Context, policies []Subject, rewards []Reward, tpl *data.Template) (*CrossRewardResult, error) {
	c := s.cfg.CrossReward
	if c.Prompts.Path == "" {
		return nil, nil
	}
	if len(policies) == 0 || policies[0].Tokenizer == nil {
		return nil, fmt.Errorf("eval: cross_reward: no policy with a tokenizer")
	}
	prompts, file, err := LoadPrompts(c, policies[0].Tokenizer, tpl, s.cfg.BOS)
	if err != nil {
		return nil, err
	}
	opt, err := c.options(policies[0].Tokenizer, tpl)
	if err != nil {
		return nil, err
	}
	res, records, err := CrossReward(ctx, policies, rewards, s.cfg.Settings, opt, prompts)
	if err != nil {
		return nil, err
	}
	res.Prompts = file
	return res, WriteRecords(filepath.Join(s.dir, recordFile(NameCrossReward, "answers", "all")), records)
}

// recordFile names the record file of a measurement, relative to the suite's folder.
func recordFile(parts ...string) string {
	clean := func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) || r < ' ' {
			return '_'
		}
		return r
	}
	for i, p := range parts {
		parts[i] = strings.Map(clean, p)
	}
	return filepath.Join("items", strings.Join(parts, ".")+".jsonl.zst")
}
