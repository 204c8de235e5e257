package benchmark

import (
	"context"
	"sync"

	"steer/eval"
	"steer/eval/result"
)

// languageSpec describes a benchmark of language models that needs one data file. run gets
// the rows that the configuration asks for.
func languageSpec[T any](name, protocol, key string, f *File, read func(string) ([]T, error), run func(context.Context, eval.Subject, []T) (*result.Measurement, []result.Record, error)) Spec {
	rows := reader(f, read)
	return Spec{
		Name: name, Protocol: protocol, Inputs: []Input{{Key: key, File: f}},
		Load: loads(rows), Language: on(rows, run),
	}
}

// rewardSpec is describe for reward models.
func rewardSpec[T any](name, protocol, key string, f *File, read func(string) ([]T, error), run func(context.Context, eval.Reward, []T) (*result.Measurement, []result.Record, error)) Spec {
	rows := reader(f, read)
	return Spec{
		Name: name, Protocol: protocol, Inputs: []Input{{Key: key, File: f}},
		Load: loads(rows), Reward: on(rows, run),
	}
}

// on gives a measurement the rows of a reader.
func on[M, T any](rows func() ([]T, error), run func(context.Context, M, []T) (*result.Measurement, []result.Record, error)) func(context.Context, M) (*result.Measurement, []result.Record, error) {
	return func(ctx context.Context, m M) (*result.Measurement, []result.Record, error) {
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
	return rowsOf(f, read, Window)
}

// chooser is reader for rows that a threshold is chosen on: of another file than the measured
// rows they are spread.
func chooser[T any](f, measured *File, read func(string) ([]T, error)) func() ([]T, error) {
	return rowsOf(f, read, func(w File, rows []T) ([]T, error) {
		if w.Path == measured.Path {
			return Window(w, rows)
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
