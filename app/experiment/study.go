package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/app/jobs"
	"steer/app/plan"
	"steer/internal/atomicfile"
	"steer/internal/conf"
	"steer/rl/run"
)

// Study is an experiment run once for each of its seeds: how much of a difference is due
// to chance in training, a single run cannot tell.
type Study struct {
	// Out is the folder of the single run, or holds a folder seed-N for each.
	Out  string
	Runs []*Experiment

	base      *Experiment // before its seeds
	files     []layer
	overrides []string
}

// LoadStudy reads an experiment. Without seeds it is a study of one run. A seed is that of
// every stage whose section does not fix its own; the seeds of data sets and of the
// evaluation are theirs alone, so that all runs are measured on the same rows with the
// same draws.
func LoadStudy(path string, overrides []string) (*Study, error) {
	files, err := layers(path)
	if err != nil {
		return nil, err
	}
	e, err := load(files, overrides, func(*Experiment) {})
	if err != nil {
		return nil, err
	}
	s := &Study{Out: e.Out, Runs: []*Experiment{e}, base: e, files: files, overrides: overrides}
	if len(e.Seeds) == 0 {
		return s, nil
	}
	wrong := func(format string, args ...any) (*Study, error) {
		return nil, &conf.Error{File: path, Key: "seeds", Msg: fmt.Sprintf(format, args...)}
	}
	for i, seed := range e.Seeds {
		if slices.Contains(e.Seeds[:i], seed) {
			return wrong("%d stands there twice: two runs of one seed are one run", seed)
		}
	}
	if _, ok := conf.Overridden(overrides, "seed"); ok {
		return wrong("these are the seeds of the runs; to run one of them, override seeds (--set seeds=[%d]), not seed",
			e.Seeds[0])
	}
	s.Runs = nil
	for _, seed := range e.Seeds {
		run, err := load(files, overrides, func(e *Experiment) {
			e.Seed, e.study, e.Out = seed, s.Out, filepath.Join(s.Out, fmt.Sprintf("seed-%d", seed))
		})
		if err != nil {
			return nil, err
		}
		s.Runs = append(s.Runs, run)
	}
	return s, nil
}

// Single tells whether the study is one run, which lies in Out itself.
func (s *Study) Single() bool { return s.Runs[0].Out == s.Out }

// Validate finds mistakes before the first run. It opens no file.
func (s *Study) Validate() error {
	var errs []error
	for _, e := range s.Runs {
		errs = append(errs, e.Validate())
	}
	return unique(errs)
}

// Lock takes the folders of all runs, the later ones too; see [Experiment.Lock]. Other seeds of
// the study may be run beside it.
func (s *Study) Lock() (io.Closer, error) {
	var held closers
	for _, e := range s.Runs {
		c, err := e.Lock()
		if err != nil {
			return nil, errors.Join(err, held.Close())
		}
		held = append(held, c)
	}
	return held, nil
}

// closers are closed together.
type closers []io.Closer

// Close implements io.Closer.
func (c closers) Close() error {
	var errs []error
	for _, x := range c {
		errs = append(errs, x.Close())
	}
	return errors.Join(errs...)
}

// Run runs one experiment after the other; see [Experiment.Run]. after is called with
// each that is through.
func (s *Study) Run(ctx context.Context, con jobs.Console, fresh bool, after func(*Experiment) error) error {
	if err := s.Runs[0].checkInputs(); err != nil { // the others read the same
		return err
	}
	for i, e := range s.Runs {
		if !s.Single() {
			con.Progress.Note(fmt.Sprintf("seed %d (%d of %d): %s", e.Seed, i+1, len(s.Runs), e.Out))
		}
		if i > 0 && !fresh {
			if err := e.adopt(s.Runs[0]); err != nil {
				return err
			}
		}
		if err := e.Run(ctx, con, fresh); err != nil {
			if s.Single() {
				return err
			}
			return fmt.Errorf("seed %d: %w", e.Seed, err)
		}
		if err := after(e); err != nil {
			return err
		}
	}
	return nil
}

// DryRun prints the study with every key resolved, as a file that can be run, and above it in
// comments what would be done and which input files are not there yet.
func (s *Study) DryRun(con jobs.Console) error {
	if err := s.Validate(); err != nil {
		return err
	}
	text, err := s.Document()
	if err != nil {
		return err
	}
	for i, e := range s.Runs {
		if i == 0 { // the others read the same
			e.printMissing(con)
			for _, n := range s.HubNames() {
				fmt.Fprintf(con.Out, "# from the hub: %s: %s\n", n.Key, n.Name)
			}
		}
		if !s.Single() {
			fmt.Fprintf(con.Out, "# === seed %d: %s\n", e.Seed, e.Out)
		}
		e.printStages(con)
	}
	_, err = con.Out.Write(text)
	return err
}

// Forecast plans the runs, which differ by their draws alone: the first stands for all.
func (s *Study) Forecast(ctx context.Context, opt plan.ForecastOptions) (*plan.Forecast, error) {
	f, err := s.Runs[0].Forecast(ctx, opt)
	if err != nil {
		return nil, err
	}
	f.Runs = len(s.Runs)
	f.Seconds *= float64(f.Runs)
	return f, nil
}

// adopt copies what another run has measured of the untouched base, which no seed
// changes. The evaluation takes it up if it was measured under the terms that it would
// itself measure under, and measures again if not.
func (e *Experiment) adopt(from *Experiment) error {
	source, target := filepath.Join(from.Out, "eval", run.ItemsDir), filepath.Join(e.Out, "eval", run.ItemsDir)
	entries, err := os.ReadDir(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range entries {
		name := f.Name()
		ofBase := strings.Contains(name, ".base.") && !strings.HasSuffix(name, run.JournalSuffix)
		if !ofBase || run.Exists(filepath.Join(target, name)) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := atomicfile.WriteFile(filepath.Join(target, name), raw, 0o644); err != nil {
			return err
		}
	}
	return nil
}
