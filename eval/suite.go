package eval

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/rl/data"
	"steer/rl/train"
)

// Suite runs the benchmarks of a configuration, model after model, and writes into a
// folder, for each measurement,
//
//	items/<benchmark>.<protocol>.<model>.jsonl.zst   a record an item
//	items/<benchmark>.<protocol>.<model>.json        its outcome, and what it depends on
//	items/<benchmark>.<protocol>.<model>.part        while it is not finished: the answers so far
//
// Data files are read once, by NewSuite, so that a missing or malformed file shows
// before any model is asked. A suite that is begun again in the folder of one that was
// interrupted takes up what is there.
type Suite struct {
	// Version of the program: what another one measured is measured again.
	Version string
	// Note is told, if set, what is taken up, and what is measured again and why.
	Note func(string)

	cfg   Config
	dir   string
	tasks []benchmark
	sums  map[string]string // SHA-256 of data files, by path
	pace  pace
	// tell is the configuration's OnProgress, behind the suite's own.
	tell func(Progress)
	// current is the journal of the measurement that runs, nil without one.
	current *journal
}

// NewSuite validates the configuration and reads the data. max_length must be set.
func NewSuite(cfg Config, dir string) (*Suite, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.Settings.check(); err != nil {
		return nil, err
	}
	s := &Suite{cfg: cfg, dir: dir, sums: map[string]string{}, tell: cfg.OnProgress, pace: newPace()}
	s.cfg.OnProgress = s.progress
	for _, b := range benchmarks(&s.cfg) {
		if !b.wanted() {
			continue
		}
		if err := b.load(); err != nil {
			return nil, fmt.Errorf("eval: %s: %w", b.files[0].key, err)
		}
		s.tasks = append(s.tasks, b)
	}
	if err := os.MkdirAll(filepath.Join(dir, itemsFolder), 0o777); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return s, nil
}

// itemsFolder holds the records, recordSuffix ends their names.
const (
	itemsFolder  = train.ItemsDir
	recordSuffix = ".jsonl.zst"
)

// Run measures everything: every benchmark of every subject, then of every reward
// model, then, if there are reward models and prompts, the matrix of both. The template
// is the one the policies were trained with.
//
// After an interruption the same call goes on where the last whole batch was left and
// ends in the same numbers.
func (s *Suite) Run(ctx context.Context, subjects []Subject, rewards []Reward, tpl *data.Template) ([]*Benchmark, *CrossRewardResult, error) {
	s.plan(subjects, rewards)
	var all []*Benchmark
	for _, m := range subjects {
		done, err := s.Language(ctx, m)
		all = append(all, done...)
		if err != nil {
			return all, nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	for _, r := range rewards {
		done, err := s.Reward(ctx, r)
		all = append(all, done...)
		if err != nil {
			return all, nil, fmt.Errorf("reward %s: %w", r.Name, err)
		}
	}
	if len(rewards) == 0 {
		return all, nil, nil
	}
	cross, err := s.CrossReward(ctx, subjects, rewards, tpl)
	return all, cross, err
}

// Language runs every configured benchmark of a language model.
func (s *Suite) Language(ctx context.Context, m Subject) ([]*Benchmark, error) {
	return s.all(kindLanguage, m.Name, m.ID, func(b *benchmark, j *journal) (*Benchmark, []Record, error) {
		return b.language(ctx, j.subject(m))
	})
}

// Reward runs every configured benchmark of a reward model.
func (s *Suite) Reward(ctx context.Context, r Reward) ([]*Benchmark, error) {
	return s.all(kindReward, r.Name, r.ID, func(b *benchmark, j *journal) (*Benchmark, []Record, error) {
		return b.reward(ctx, j.reward(r, s.cfg.BatchTokens))
	})
}

func (s *Suite) all(k kind, model, id string, run func(*benchmark, *journal) (*Benchmark, []Record, error)) ([]*Benchmark, error) {
	var out []*Benchmark
	for i := range s.tasks {
		task := &s.tasks[i]
		if task.kind != k {
			continue
		}
		b, err := s.measure(task, model, id, func(j *journal) (*Benchmark, []Record, error) { return run(task, j) })
		if err != nil {
			return out, err
		}
		if b == nil {
			continue // the model is what the others are compared with
		}
		out = append(out, b)
	}
	return out, nil
}

// measure runs one benchmark of one model, or takes it up where it was left.
func (s *Suite) measure(task *benchmark, model, id string, run func(*journal) (*Benchmark, []Record, error)) (*Benchmark, error) {
	name := recordFile(task.name, task.protocol, model)
	sums := map[string]string{}
	var sections []string
	for _, f := range task.files {
		section, _, _ := strings.Cut(f.key, ".")
		sections = append(sections, section)
		if f.Path == "" {
			continue
		}
		sum, err := s.sum(f.Path)
		if err != nil {
			return nil, err
		}
		sums[f.key] = sum
	}
	terms, err := s.fingerprint(sections, sums, id)
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
		b.Provenance["items"] = name
		return &piece{Benchmark: b}, records, s.describe(b, task.files)
	})
	if err != nil {
		return nil, err
	}
	return p.Benchmark, nil
}

// describe writes down what was measured on, and flags what a limit has left out.
func (s *Suite) describe(b *Benchmark, files []dataFile) error {
	for i, f := range files {
		if f.Path == "" {
			continue
		}
		if err := f.provenance(b, f.prefix); err != nil {
			return err
		}
		if i == 0 && f.partial() && !slices.ContainsFunc(b.Flags, func(w string) bool { return strings.HasPrefix(w, "partial") }) {
			b.flag("partial", b.N)
		}
	}
	return nil
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
	records := filepath.Join(s.dir, name)
	var j *journal
	if keep {
		if p, err := readPiece(records, terms, s.note); err != nil {
			return nil, err
		} else if p != nil {
			s.pace.skip(u)
			// A process killed between writing the one and removing the other left both.
			if err := os.Remove(journalFile(records)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("eval: %w", err)
			}
			return p, nil
		}
		if j, err = openJournal(journalFile(records), terms, s.note); err != nil {
			return nil, err
		}
		if j.keptFromStart > 0 {
			s.note(fmt.Sprintf("%s: going on after batch %d", u, j.keptFromStart))
		}
		s.current = j
		defer func() { s.current = nil }()
	}
	p, list, err := run(j)
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	if err := WriteRecords(records, list); err != nil {
		return nil, errors.Join(err, j.close())
	}
	if j == nil {
		return p, nil
	}
	p.Fingerprint = terms
	if p, err = p.write(records); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return p, j.remove()
}

func (s *Suite) note(text string) {
	if s.Note != nil {
		s.Note(text)
	}
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
	name := recordFile(NameCrossReward, "answers", "all")
	terms, keep, err := s.crossFingerprint(file, prompts, policies, rewards)
	if err != nil {
		return nil, err
	}
	p, err := resumable(s, name, terms, keep, unit{NameCrossReward, "", ""}, func(j *journal) (*piece, []AnswerRecord, error) {
		answering, judging := slices.Clone(policies), slices.Clone(rewards)
		for i := range answering {
			answering[i] = j.subject(answering[i])
		}
		for i := range judging {
			judging[i] = j.reward(judging[i], s.cfg.BatchTokens)
		}
		res, records, err := CrossReward(ctx, answering, judging, s.cfg.Settings, opt, prompts)
		if err != nil {
			return nil, nil, err
		}
		res.Prompts = file
		return &piece{CrossReward: res, Samples: res.Samples}, records, nil
	})
	if err != nil {
		return nil, err
	}
	p.CrossReward.Samples = p.Samples
	return p.CrossReward, nil
}

// crossFingerprint is what the matrix depends on; keep says whether every model has an
// ID to be recognised by.
func (s *Suite) crossFingerprint(file *PromptFile, prompts []Prompt, policies []Subject, rewards []Reward) (terms string, keep bool, err error) {
	keep = true
	var ids []string
	for _, p := range policies {
		ids = append(ids, p.Name+" "+p.ID)
		keep = keep && p.ID != ""
	}
	for _, r := range rewards {
		ids = append(ids, fmt.Sprintf("%s %s (raw - %g) / %g", r.Name, r.ID, r.Mean, r.Std))
		keep = keep && r.ID != ""
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(prompts); err != nil {
		return "", false, fmt.Errorf("eval: cross_reward: %w", err)
	}
	sums := map[string]string{"cross_reward.prompts": file.SHA256, "rendered": hex.EncodeToString(h.Sum(nil))}
	terms, err = s.fingerprint([]string{"cross_reward"}, sums, ids...)
	return terms, keep, err
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
	return filepath.Join(itemsFolder, strings.Join(parts, ".")+recordSuffix)
}
