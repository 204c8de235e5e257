package suite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/eval/benchmark"
	"steer/eval/journal"
	"steer/internal/filehash"
	"steer/rl/run"
)

// measurement is one that a suite has to make, or to take up where it was left.
type measurement struct {
	id run.ID
	// records is the file of its records, relative to the suite's folder.
	records string
	// fingerprint is all that moves its numbers.
	fingerprint run.Fingerprint
	// resumable: every model that takes part has an ID to be recognised by. Of the others
	// nothing is taken up.
	resumable bool
}

// measure runs one benchmark of one model, or takes it up where it was left.
func (s *Suite) measure(
	task *benchmark.Spec, model, modelID string, measure func(*journal.Journal) (*run.Measurement, []run.Item, error),
) (*run.Measurement, error) {
	sums := map[string]string{}
	for _, f := range task.Inputs {
		if f.Path == "" {
			continue
		}
		sum, err := s.sum(f.Path)
		if err != nil {
			return nil, err
		}
		sums[f.Key] = sum
	}
	if task.Rendered {
		sums["template"] = templateSum(s.cfg.Template)
	}
	fingerprint, err := s.fingerprint(task.Sections(), sums, modelID)
	if err != nil {
		return nil, err
	}
	id := run.ID{Benchmark: task.Name, Protocol: task.Protocol, Model: model}
	m := measurement{id, run.RecordsFile(task.Name, task.Protocol, model), fingerprint, modelID != ""}
	o, err := resume(s, m, func(j *journal.Journal) (*run.Outcome, []run.Item, error) {
		b, records, err := measure(j)
		if err != nil {
			return nil, nil, err
		}
		if b.ID != id {
			return nil, nil, fmt.Errorf("eval: %s %s of %s calls itself %s %s of %s",
				id.Benchmark, id.Protocol, id.Model, b.Benchmark, b.Protocol, b.Model)
		}
		return &run.Outcome{Benchmark: b}, records, s.describe(b, task.Inputs)
	})
	if err != nil {
		return nil, err
	}
	return o.Benchmark, nil
}

// describe writes down what was measured on, and flags what a limit has left out.
func (s *Suite) describe(b *run.Measurement, files []benchmark.Input) error {
	for i, f := range files {
		if f.Path == "" || f.SelfDescribed {
			continue
		}
		if err := f.Provenance(b, f.Prefix); err != nil {
			return err
		}
		flagged := func(w string) bool { return strings.HasPrefix(w, "partial") }
		if i == 0 && f.Partial() && !slices.ContainsFunc(b.Flags, flagged) {
			b.Flags = append(b.Flags, fmt.Sprintf("partial=%d", b.N))
		}
	}
	return nil
}

// resume gives the outcome of a measurement: the one that is on disk, if what it depends on
// has not changed, or that of run, with the answers an interrupted process has left.
func resume[R any](
	s *Suite, m measurement, measure func(*journal.Journal) (*run.Outcome, []R, error),
) (_ *run.Outcome, err error) {
	if !m.resumable {
		o, records, err := measure(nil)
		if err != nil {
			return nil, err
		}
		return o, storeRecords(s, m.records, o, records)
	}
	o, err := s.finished(m)
	if err != nil || o != nil {
		return o, err
	}
	j, err := s.begin(m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end(j, err == nil)) }()
	o, records, err := measure(j)
	if err != nil {
		return nil, err
	}
	return storeOutcome(s, m, o, records)
}

// finished gives the outcome of a measurement that is on disk and still holds, or nil.
func (s *Suite) finished(m measurement) (*run.Outcome, error) {
	o, err := readOutcome(filepath.Join(s.dir, m.records), m.fingerprint, s.note)
	if err != nil {
		return nil, err
	}
	if o != nil && o.Benchmark != nil && o.Benchmark.ID != m.id {
		s.note(fmt.Sprintf("%s: measured again, since its files hold %s, by a former version", m.id, o.Benchmark.ID))
		o = nil
	}
	if o == nil {
		return nil, s.dropFormer(m)
	}
	return o, s.skip(m)
}

// dropFormer removes, aloud, what a former version left of this very measurement under a name
// that another one could share: beside the new files it would be taken for a second result.
func (s *Suite) dropFormer(m measurement) error {
	former := run.FormerRecordsFile(m.id.Benchmark, m.id.Protocol, m.id.Model)
	if former == m.records || m.id.Model == "" {
		return nil
	}
	records := filepath.Join(s.dir, former)
	o, err := run.ReadOutcome(records)
	if err != nil || o.Benchmark == nil || o.Benchmark.ID != m.id {
		return nil // none there, or of another measurement
	}
	s.note(fmt.Sprintf("%s: measured again, since a former version named its files so that another model "+
		"could share them", m.id))
	for _, path := range []string{run.OutcomeFile(records), records} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("eval: %w", err)
		}
	}
	return nil
}

// skip passes over a measurement that is finished. A process killed between writing the
// outcome and removing the journal left both.
func (s *Suite) skip(m measurement) error {
	s.eta.skip(m.id)
	err := os.Remove(run.JournalFile(filepath.Join(s.dir, m.records)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// begin opens the journal of a measurement.
func (s *Suite) begin(m measurement) (*journal.Journal, error) {
	j, err := journal.Open(run.JournalFile(filepath.Join(s.dir, m.records)), m.fingerprint, s.note)
	if err != nil {
		return nil, err
	}
	if j.Found() > 0 {
		s.note(fmt.Sprintf("%s: going on after batch %d", m.id, j.Found()))
	}
	s.current = j
	return j, nil
}

// end closes the journal of a measurement, and removes that of one that is through.
func (s *Suite) end(j *journal.Journal, through bool) error {
	s.current = nil
	if through {
		return j.Remove()
	}
	return j.Close()
}

// storeOutcome writes records and outcome of a measurement, and gives the outcome as a later
// process will read it.
func storeOutcome[R any](s *Suite, m measurement, o *run.Outcome, records []R) (*run.Outcome, error) {
	if err := storeRecords(s, m.records, o, records); err != nil {
		return nil, err
	}
	o.Fingerprint = m.fingerprint
	o, err := o.Write(filepath.Join(s.dir, m.records))
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return o, nil
}

// storeRecords writes the records of a measurement, and into its outcome where they are and
// what they hash to.
func storeRecords[R any](s *Suite, name string, o *run.Outcome, records []R) (err error) {
	path := filepath.Join(s.dir, name)
	if err := run.WriteRecords(path, records); err != nil {
		return err
	}
	if o.Records, err = filehash.Sum(path); err != nil {
		return err
	}
	if b := o.Benchmark; b != nil {
		b.Provenance.Items, b.Provenance.ItemsSHA256 = filepath.ToSlash(name), o.Records
	}
	if x := o.CrossReward; x != nil {
		x.Items, x.ItemsSHA256 = filepath.ToSlash(name), o.Records
	}
	return nil
}
