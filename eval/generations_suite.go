package eval

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Generations lets every policy continue the configured prompts and every judging reward
// model score the continuations; nil without a path. A result's model is the policy, its
// protocol the reward model.
func (s *Suite) Generations(ctx context.Context, policies []Subject, rewards []Reward) ([]*Measurement, error) {
	c := s.cfg.Generated
	if c.Path == "" {
		return nil, nil
	}
	fail := func(err error) ([]*Measurement, error) { return nil, fmt.Errorf("eval: generations: %w", err) }
	judges, err := c.judges(rewards)
	if err != nil {
		return fail(err)
	}
	rows, err := readPrompts(c.Path)
	if err != nil {
		return fail(err)
	}
	if rows, err = window(c.File, rows); err != nil {
		return fail(err)
	}
	terms, keep, err := s.generationTerms(policies, judges)
	if err != nil {
		return fail(err)
	}
	if out, err := s.keptGenerations(terms, keep, policies, judges); err != nil || out != nil {
		return out, err
	}
	var j *journal
	if keep {
		if j, err = s.begin(recordFile(NameGenerations), terms, unit{benchmark: NameGenerations}); err != nil {
			return nil, err
		}
	}
	out, err := s.continueAll(ctx, j, terms, policies, judges, rows)
	if j != nil {
		err = errors.Join(err, s.end(j, err == nil))
	}
	return out, err
}

// continueAll measures, with a journal or without one, and writes every result.
func (s *Suite) continueAll(ctx context.Context, j *journal, terms string, policies []Subject, judges []Reward, rows []textPrompt) ([]*Measurement, error) {
	c := s.cfg.Generated
	policies, judges = slices.Clone(policies), slices.Clone(judges)
	for i := range policies {
		policies[i] = j.subject(policies[i])
	}
	for i := range judges {
		judges[i] = j.reward(judges[i], s.cfg.BatchTokens)
	}
	out, records, err := Continue(ctx, policies, judges, s.cfg.Settings, c, s.cfg.Template, rows)
	if err != nil {
		return nil, err
	}
	for i, b := range out {
		if err := c.provenance(b, ""); err != nil {
			return nil, err
		}
		name := recordFile(b.Benchmark, b.Protocol, b.Model)
		if j == nil {
			err = storeRecords(s, name, &piece{Benchmark: b}, records[i])
		} else {
			var p *piece
			if p, err = keepPiece(s, name, terms, &piece{Benchmark: b}, records[i]); err == nil {
				out[i] = p.Benchmark
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// generationTerms is what the results depend on, all of them: they are compared with one
// reference. keep says whether every model has an ID to be recognised by.
func (s *Suite) generationTerms(policies []Subject, judges []Reward) (terms string, keep bool, err error) {
	sum, err := s.sum(s.cfg.Generated.Path)
	if err != nil {
		return "", false, err
	}
	keep = true
	var ids []string
	for _, p := range policies {
		ids = append(ids, p.Name+" "+p.ID)
		keep = keep && p.ID != ""
	}
	for _, r := range judges {
		ids = append(ids, fmt.Sprintf("%s %s (raw - %g) / %g", r.Name, r.ID, r.Mean, r.Std))
		keep = keep && r.ID != ""
	}
	terms, err = s.terms([]string{NameGenerations}, map[string]string{NameGenerations: sum, "template": templateSum(s.cfg.Template)}, ids...)
	return terms, keep, err
}

// keptGenerations gives the results on disk, nil if one of them is missing or measured
// under other terms.
func (s *Suite) keptGenerations(terms string, keep bool, policies []Subject, judges []Reward) ([]*Measurement, error) {
	if !keep {
		return nil, nil
	}
	var out []*Measurement
	for _, p := range policies {
		for _, r := range judges {
			name := recordFile(NameGenerations, r.Name, p.Name)
			kept, err := readPiece(filepath.Join(s.dir, name), terms, s.note)
			if err != nil {
				return nil, err
			}
			if kept == nil {
				return nil, s.dropFormer(name, unit{NameGenerations, r.Name, p.Name})
			}
			out = append(out, kept.Benchmark)
		}
	}
	return out, s.skip(recordFile(NameGenerations), unit{benchmark: NameGenerations})
}
