package benchmark

import (
	"context"
	"sync"

	"steer/eval"
	"steer/rl/run"
)

// dataset is the rows of a data file that a configuration asks for, read once however many
// protocols ask for them.
type dataset[T any] struct {
	*File
	rows func() ([]T, error)
}

// datasetOf are the rows of the file's window.
func datasetOf[T any](f *File, read func(string) ([]T, error)) dataset[T] {
	return newDataset(f, read, Window)
}

// thresholdSet are rows that a threshold is chosen on: of another file than the measured rows
// they are spread.
func thresholdSet[T any](f, measured *File, read func(string) ([]T, error)) dataset[T] {
	return newDataset(f, read, func(w File, rows []T) ([]T, error) {
		if w.Path == measured.Path {
			return Window(w, rows)
		}
		return spread(w, rows)
	})
}

func newDataset[T any](f *File, read func(string) ([]T, error), cut func(File, []T) ([]T, error)) dataset[T] {
	return dataset[T]{f, sync.OnceValues(func() ([]T, error) {
		rows, err := read(f.Path)
		if err != nil {
			return nil, err
		}
		kept, err := cut(*f, rows)
		f.measured, f.held = len(kept), len(rows)
		return kept, err
	})}
}

// optional is a dataset that has no rows where its file is not given.
func (d dataset[T]) optional() dataset[T] {
	rows := d.rows
	d.rows = func() ([]T, error) {
		if d.Path == "" {
			return nil, nil
		}
		return rows()
	}
	return d
}

// load reads the rows, so that a mistake in them shows.
func (d dataset[T]) load() error {
	_, err := d.rows()
	return err
}

// loadAll makes one load of several.
func loadAll(loads ...func() error) func() error {
	return func() error {
		for _, load := range loads {
			if err := load(); err != nil {
				return err
			}
		}
		return nil
	}
}

// measurer measures a model on rows of a data file, of which the first is its row firstRow: the
// numbers, and a record an item.
type measurer[M, T any] func(
	ctx context.Context, model M, set eval.Settings, rows []T, firstRow int,
) (*run.Measurement, []run.Item, error)

// on gives a measurer its rows.
func on[M, T any](
	d dataset[T], set eval.Settings, measure measurer[M, T],
) func(context.Context, M) (*run.Measurement, []run.Item, error) {
	return func(ctx context.Context, model M) (*run.Measurement, []run.Item, error) {
		rows, err := d.rows()
		if err != nil {
			return nil, nil, err
		}
		return measure(ctx, model, set, rows, d.First)
	}
}

// languageSpec describes a benchmark of language models that needs one data file, which the
// configuration names by key.
func languageSpec[T any](
	name, protocol, key string, set eval.Settings, d dataset[T], measure measurer[eval.Subject, T],
) Spec {
	return Spec{
		Name: name, Protocol: protocol, Inputs: []Input{{Key: key, File: d.File}},
		Load: d.load, Language: on(d, set, measure),
	}
}

// rewardSpec describes one of reward models.
func rewardSpec[T any](
	name, protocol, key string, set eval.Settings, d dataset[T], measure measurer[eval.Reward, T],
) Spec {
	return Spec{
		Name: name, Protocol: protocol, Inputs: []Input{{Key: key, File: d.File}},
		Load: d.load, Reward: on(d, set, measure),
	}
}
