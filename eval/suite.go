package eval

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	cfg   Config
	dir   string
	tasks []benchmark
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
	for _, b := range benchmarks(&s.cfg) {
		if !b.wanted() {
			continue
		}
		if err := b.load(); err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		s.tasks = append(s.tasks, b)
	}
	if err := os.MkdirAll(filepath.Join(dir, "items"), 0o777); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return s, nil
}

// Language runs every configured benchmark of a language model.
func (s *Suite) Language(ctx context.Context, m Subject) ([]*Benchmark, error) {
	return s.all(kindLanguage, func(b *benchmark) (*Benchmark, []Record, error) { return b.language(ctx, m) })
}

// Reward runs every configured benchmark of a reward model.
func (s *Suite) Reward(ctx context.Context, r Reward) ([]*Benchmark, error) {
	return s.all(kindReward, func(b *benchmark) (*Benchmark, []Record, error) { return b.reward(ctx, r) })
}

func (s *Suite) all(k kind, run func(*benchmark) (*Benchmark, []Record, error)) ([]*Benchmark, error) {
	var out []*Benchmark
	for i := range s.tasks {
		task := &s.tasks[i]
		if task.kind != k {
			continue
		}
		b, records, err := run(task)
		if err != nil {
			return out, err
		}
		for _, f := range task.files {
			if f.quiet {
				continue
			}
			if err := f.provenance(b, f.prefix); err != nil {
				return out, err
			}
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
