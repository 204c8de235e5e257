package eval

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/internal/filehash"
	"steer/rl/data"
)

// measure runs one benchmark of one model, or takes it up where it was left.
func (s *Suite) measure(task *benchmark, model, id string, run func(*journal) (*Measurement, []Record, error)) (*Measurement, error) {
	name := recordFile(task.name, task.protocol, model)
	sums := map[string]string{}
	for _, f := range task.files {
		if f.Path == "" {
			continue
		}
		sum, err := s.sum(f.Path)
		if err != nil {
			return nil, err
		}
		sums[f.key] = sum
	}
	if task.rendered {
		sums["template"] = templateSum(s.cfg.Template)
	}
	terms, err := s.terms(task.sections(), sums, id)
	if err != nil {
		return nil, err
	}
	p, err := resumable(s, name, terms, id != "", unit{task.name, task.protocol, model}, func(j *journal) (*piece, []Record, error) {
		b, records, err := run(j)
		if err != nil {
			return nil, nil, err
		}
		if b.Benchmark != task.name || b.Protocol != task.protocol || b.Model != model {
			return nil, nil, fmt.Errorf("eval: %s %s of %s calls itself %s %s of %s", task.name, task.protocol, model, b.Benchmark, b.Protocol, b.Model)
		}
		return &piece{Benchmark: b}, records, s.describe(b, task.files)
	})
	if err != nil {
		return nil, err
	}
	return p.Benchmark, nil
}

// describe writes down what was measured on, and flags what a limit has left out.
func (s *Suite) describe(b *Measurement, files []dataFile) error {
	for i, f := range files {
		if f.Path == "" || f.quiet {
			continue
		}
		if err := f.provenance(b, f.prefix); err != nil {
			return err
		}
		if i == 0 && f.partial() && !slices.ContainsFunc(b.Flags, func(w string) bool { return strings.HasPrefix(w, "partial") }) {
			b.Flags = append(b.Flags, fmt.Sprintf("partial=%d", b.N))
		}
	}
	return nil
}

// templateSum stands for a template, system prompt and all: the hash of a conversation
// rendered with it.
func templateSum(tpl *data.Template) string {
	if tpl == nil {
		return ""
	}
	segments := tpl.Render([]data.Message{{Role: data.RoleUser, Content: "u"}, {Role: data.RoleAssistant, Content: "a"}})
	sum := sha256.Sum256([]byte(data.Text(segments, "<s>", "</s>")))
	return hex.EncodeToString(sum[:])
}

// sum hashes a data file, once.
func (s *Suite) sum(path string) (string, error) {
	if sum, ok := s.sums[path]; ok {
		return sum, nil
	}
	_, sum, err := FileSHA256(path)
	if err == nil {
		s.sums[path] = sum
	}
	return sum, err
}

// resumable gives the outcome of one measurement: the one that is on disk, if what it
// depends on has not changed, or that of run, with the answers an interrupted process
// has left.
func resumable[R any](s *Suite, name, terms string, keep bool, u unit, run func(*journal) (*piece, []R, error)) (_ *piece, err error) {
	if !keep {
		p, records, err := run(nil)
		if err != nil {
			return nil, err
		}
		return p, storeRecords(s, name, p, records)
	}
	p, err := s.finished(name, terms, u)
	if err != nil || p != nil {
		return p, err
	}
	j, err := s.begin(name, terms, u)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end(j, err == nil)) }()
	p, records, err := run(j)
	if err != nil {
		return nil, err
	}
	return keepPiece(s, name, terms, p, records)
}

// finished gives the outcome of a measurement that is on disk and still holds, or nil.
func (s *Suite) finished(name, terms string, u unit) (*piece, error) {
	records := filepath.Join(s.dir, name)
	p, err := readPiece(records, terms, s.note)
	if err != nil {
		return nil, err
	}
	if p != nil && p.Benchmark != nil && p.unit() != u {
		s.note(fmt.Sprintf("%s: measured again, since its files hold %s, by a former version", u, p.unit()))
		p = nil
	}
	if p == nil {
		return nil, s.dropFormer(name, u)
	}
	return p, s.skip(name, u)
}

// dropFormer removes, aloud, what a former version left of this very measurement under a name
// that another one could share: beside the new files it would be taken for a second result.
func (s *Suite) dropFormer(name string, u unit) error {
	former := formerRecordFile(u.benchmark, u.protocol, u.model)
	if former == name || u.model == "" {
		return nil
	}
	records := filepath.Join(s.dir, former)
	raw, err := os.ReadFile(pieceFile(records))
	if err != nil {
		return nil // none there
	}
	p, err := decodePiece(raw)
	if err != nil || p.Benchmark == nil || p.unit() != u {
		return nil // of another measurement
	}
	s.note(fmt.Sprintf("%s: measured again, since a former version named its files so that another model "+
		"could share them", u))
	for _, path := range []string{pieceFile(records), records} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("eval: %w", err)
		}
	}
	return nil
}

// skip passes over a measurement that is finished. A process killed between writing the
// outcome and removing the journal left both.
func (s *Suite) skip(name string, u unit) error {
	s.pace.skip(u)
	if err := os.Remove(journalFile(filepath.Join(s.dir, name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// begin opens the journal of a measurement.
func (s *Suite) begin(name, terms string, u unit) (*journal, error) {
	j, err := openJournal(journalFile(filepath.Join(s.dir, name)), terms, s.note)
	if err != nil {
		return nil, err
	}
	if j.keptFromStart > 0 {
		s.note(fmt.Sprintf("%s: going on after batch %d", u, j.keptFromStart))
	}
	s.current = j
	return j, nil
}

// end closes the journal of a measurement, and removes that of one that is through.
func (s *Suite) end(j *journal, through bool) error {
	s.current = nil
	if through {
		return j.remove()
	}
	return j.close()
}

// keepPiece writes records and outcome of a measurement.
func keepPiece[R any](s *Suite, name, terms string, p *piece, records []R) (*piece, error) {
	if err := storeRecords(s, name, p, records); err != nil {
		return nil, err
	}
	p.Fingerprint = terms
	return p.write(filepath.Join(s.dir, name))
}

// storeRecords writes the records of a measurement, and into its outcome where they are and
// what they hash to.
func storeRecords[R any](s *Suite, name string, p *piece, records []R) (err error) {
	path := filepath.Join(s.dir, name)
	if err := WriteRecords(path, records); err != nil {
		return err
	}
	if p.Records, err = filehash.Sum(path); err != nil {
		return err
	}
	if b := p.Benchmark; b != nil {
		b.Provenance["items"], b.Provenance["items_sha256"] = filepath.ToSlash(name), p.Records
	}
	if x := p.CrossReward; x != nil {
		x.Items, x.ItemsSHA256 = filepath.ToSlash(name), p.Records
	}
	return nil
}

func (s *Suite) note(text string) {
	if s.Note != nil {
		s.Note(text)
	}
}
