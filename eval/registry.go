package eval

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// benchmarks lists everything that a configuration can measure, in the order of the
// result. A benchmark is a field of Config, a file of its own with the function that
// describes it, and one line here; paths, checks, loading, records and resuming follow
// from the description.
func benchmarks(c *Config) []benchmark {
	var all []benchmark
	for _, of := range []func(*Config) []benchmark{
		wscBenchmarks,
		winograndeBenchmark,
		toxigenBenchmark,
		ethicsBenchmarks,
		scruplesBenchmarks,
		dilemmasBenchmarks,
		hhBenchmark,
		winobiasBenchmarks,
		winogenderBenchmark,
		crowsBenchmark,
		perplexityBenchmark,
		klBenchmark,
		taskBenchmarks,
	} {
		all = append(all, of(c)...)
	}
	return all
}

// kind says what is measured: a language model, or a reward model.
type kind int

const (
	kindLanguage kind = iota
	kindReward
)

// benchmark describes one benchmark under one protocol, bound to a configuration.
type benchmark struct {
	name, protocol string
	kind           kind
	// off: the configuration names the data but does not ask for this protocol.
	off bool
	// files are the data files: the measured rows first, then what else is read. The
	// benchmark is run if the first has a path.
	files []dataFile
	// rendered: what models read is rendered with the configuration's Template.
	rendered bool
	// passesOver tells, if set, whether there is nothing to measure of a model: it is what
	// the others are compared with.
	passesOver func(model string) bool
	// check refuses what this benchmark cannot run with, if set.
	check func() error
	// generated is about how many tokens a model writes for it, if any.
	generated func() float64
	// load reads the data, so that a mistake in them shows before a model is asked.
	load func() error
	// notes say, if set, what was odd about the data, once they are loaded.
	notes func() []string
	// language or reward measures a model, by kind.
	language func(context.Context, Subject) (*Measurement, []Record, error)
	reward   func(context.Context, Reward) (*Measurement, []Record, error)
}

// dataFile is a data file as the configuration and the provenance name it.
type dataFile struct {
	key    string // of the configuration: "scruples.threshold"
	prefix string // of its keys in the provenance
	// whole: read as a whole whatever the limit, a table that rows are looked up in.
	whole bool
	*File
	// quiet: the benchmark itself describes the file in its provenance.
	quiet bool
	// derived: another file names this one, so that it is known once that is found.
	derived bool
}

func (b *benchmark) wanted() bool { return !b.off && len(b.files) > 0 && b.files[0].Path != "" }

// of tells whether the benchmark measures this model.
func (b *benchmark) of(k kind, model string) bool {
	return b.kind == k && (b.passesOver == nil || !b.passesOver(model))
}

// validate checks the windows of the data files, then what is the benchmark's own.
func (b *benchmark) validate() error {
	for _, f := range b.files {
		if f.First < 0 || f.Limit < 0 {
			return fmt.Errorf("eval: %s: first and limit: want 0 or more, got %d and %d", f.key, f.First, f.Limit)
		}
	}
	if b.check != nil {
		return b.check()
	}
	return nil
}

// sections are the keys of the configuration that belong to the benchmark.
func (b *benchmark) sections() []string {
	var out []string
	for _, f := range b.files {
		section, _, _ := strings.Cut(f.key, ".")
		out = append(out, section)
	}
	return out
}

// describe describes a benchmark of language models that needs one data file. run gets
// the rows that the configuration asks for.
func describe[T any](name, protocol, key string, f *File, read func(string) ([]T, error), run func(context.Context, Subject, []T) (*Measurement, []Record, error)) benchmark {
	rows := reader(f, read)
	return benchmark{
		name: name, protocol: protocol, files: []dataFile{{key: key, File: f}},
		load: loads(rows), language: on(rows, run),
	}
}

// describeReward is describe for reward models.
func describeReward[T any](name, protocol, key string, f *File, read func(string) ([]T, error), run func(context.Context, Reward, []T) (*Measurement, []Record, error)) benchmark {
	rows := reader(f, read)
	return benchmark{
		name: name, protocol: protocol, kind: kindReward, files: []dataFile{{key: key, File: f}},
		load: loads(rows), reward: on(rows, run),
	}
}

// on gives a measurement the rows of a reader.
func on[M, T any](rows func() ([]T, error), run func(context.Context, M, []T) (*Measurement, []Record, error)) func(context.Context, M) (*Measurement, []Record, error) {
	return func(ctx context.Context, m M) (*Measurement, []Record, error) {
		r, err := rows()
		if err != nil {
			return nil, nil, err
		}
		return run(ctx, m, r)
	}
}

// reader reads the rows of a data file that are measured, once, however many protocols
// ask for them.
func reader[T any](f *File, read func(string) ([]T, error)) func() ([]T, error) {
	return rowsOf(f, read, window)
}

// chooser is reader for rows that a threshold is chosen on: of another file than the measured
// rows they are spread.
func chooser[T any](f, measured *File, read func(string) ([]T, error)) func() ([]T, error) {
	return rowsOf(f, read, func(w File, rows []T) ([]T, error) {
		if w.Path == measured.Path {
			return window(w, rows)
		}
		return spread(w, rows)
	})
}

func rowsOf[T any](f *File, read func(string) ([]T, error), cut func(File, []T) ([]T, error)) func() ([]T, error) {
	return sync.OnceValues(func() ([]T, error) {
		rows, err := read(f.Path)
		if err != nil {
			return nil, err
		}
		kept, err := cut(*f, rows)
		f.measured, f.held = len(kept), len(rows)
		return kept, err
	})
}

// loads makes a benchmark's load of its readers.
func loads[T any](readers ...func() ([]T, error)) func() error {
	return func() error {
		for _, read := range readers {
			if _, err := read(); err != nil {
				return err
			}
		}
		return nil
	}
}

// DataFile is a data file that a configuration names.
type DataFile struct {
	Key   string // "scruples.threshold"
	Path  *string
	Limit *int // rows taken of it, 0: all; nil if it is always read whole
}

// DataFiles lists every data file that the configuration can name, each once; the path
// of one that is not used is empty.
func (c *Config) DataFiles() []DataFile {
	var out []DataFile
	seen := map[string]bool{}
	for _, b := range benchmarks(c) {
		for _, f := range b.files {
			if !seen[f.key] && !f.derived {
				seen[f.key] = true
				limit := &f.Limit
				if f.whole {
					limit = nil
				}
				out = append(out, DataFile{f.key, &f.Path, limit})
			}
		}
	}
	prompts, generated := &c.CrossReward.Prompts, &c.Generated
	return append(out,
		DataFile{"cross_reward.prompts", &prompts.Path, &prompts.Limit},
		DataFile{"generations", &generated.Path, &generated.Limit})
}

// References are the names of the models that others are compared with.
func (c *Config) References() []*string {
	return []*string{&c.CrossReward.Reference, &c.KL.Reference, &c.Generated.Reference}
}
