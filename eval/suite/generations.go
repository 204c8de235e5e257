package suite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/eval/journal"
	"steer/rl/run"
)

// Generations lets every policy continue the configured prompts and every judging reward
// model score the continuations; nil without a path. A result's model is the policy, its
// protocol the reward model.
func (s *Suite) Generations(
	ctx context.Context, policies []eval.Subject, rewards []eval.Reward,
) ([]*run.Measurement, error) {
	c := s.cfg.Generations
	if c.Path == "" {
		return nil, nil
	}
	fail := func(err error) ([]*run.Measurement, error) { return nil, fmt.Errorf("eval: generations: %w", err) }
	judges, err := c.Judges(rewards)
	if err != nil {
		return fail(err)
	}
	rows, err := benchmark.ReadPrompts(c.Path)
	if err != nil {
		return fail(err)
	}
	if rows, err = benchmark.Window(c.File, rows); err != nil {
		return fail(err)
	}
	all, err := s.generations(policies, judges)
	if err != nil {
		return fail(err)
	}
	if out, err := s.finishedGenerations(all, policies, judges); err != nil || out != nil {
		return out, err
	}
	var j *journal.Journal
	if all.resumable {
		if j, err = s.begin(all); err != nil {
			return nil, err
		}
	}
	out, err := s.continueAll(ctx, j, all, policies, judges, rows)
	if j != nil {
		err = errors.Join(err, s.end(j, err == nil))
	}
	return out, err
}

// generations is the measurement of all policies under all judges: the results depend on all of
// them, since they are compared with one reference.
func (s *Suite) generations(policies []eval.Subject, judges []eval.Reward) (measurement, error) {
	sum, err := s.sum(s.cfg.Generations.Path)
	if err != nil {
		return measurement{}, err
	}
	ids, recognised := participants(policies, judges)
	sums := map[string]string{benchmark.NameGenerations: sum, "template": templateSum(s.cfg.Template)}
	fingerprint, err := s.fingerprint([]string{benchmark.NameGenerations}, sums, ids...)
	return measurement{run.ID{Benchmark: benchmark.NameGenerations}, run.RecordsFile(benchmark.NameGenerations),
		fingerprint, recognised}, err
}

// of is the part of a measurement of several models that is one policy's under one judge.
func (m measurement) of(policy eval.Subject, judge eval.Reward) measurement {
	m.id.Protocol, m.id.Model = judge.Name, policy.Name
	m.records = run.RecordsFile(m.id.Benchmark, judge.Name, policy.Name)
	return m
}

// finishedGenerations gives the results on disk, nil if one of them is missing or measured
// under another fingerprint.
func (s *Suite) finishedGenerations(
	all measurement, policies []eval.Subject, judges []eval.Reward,
) ([]*run.Measurement, error) {
	if !all.resumable {
		return nil, nil
	}
	var out []*run.Measurement
	for _, p := range policies {
		for _, r := range judges {
			m := all.of(p, r)
			o, err := readOutcome(filepath.Join(s.dir, m.records), m.fingerprint, s.note)
			if err != nil {
				return nil, err
			}
			if o == nil {
				return nil, s.dropFormer(m)
			}
			out = append(out, o.Benchmark)
		}
	}
	return out, s.skip(all)
}

// continueAll measures, with a journal or without one, and writes every result.
func (s *Suite) continueAll(
	ctx context.Context, j *journal.Journal, all measurement, policies []eval.Subject, judges []eval.Reward,
	rows []benchmark.TextPrompt,
) ([]*run.Measurement, error) {
	c := s.cfg.Generations
	asked, judging := j.Models(policies, judges, s.bytesAtOnce())
	out, records, err := benchmark.Generations(ctx, asked, judging, s.cfg.Settings, c, s.cfg.Template, rows)
	if err != nil {
		return nil, err
	}
	for i, b := range out {
		if err := c.Provenance(b, ""); err != nil {
			return nil, err
		}
		m := all.of(policies[i/len(judges)], judges[i%len(judges)])
		if j == nil {
			err = storeRecords(s, m.records, &run.Outcome{Benchmark: b}, records[i])
		} else {
			var o *run.Outcome
			if o, err = storeOutcome(s, m, &run.Outcome{Benchmark: b}, records[i]); err == nil {
				out[i] = o.Benchmark
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
