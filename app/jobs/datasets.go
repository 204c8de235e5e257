package jobs

import (
	"context"
	"errors"
	"fmt"

	"steer/app/source"
	"steer/eval/benchmark"
	"steer/eval/task"
	"steer/internal/hub"
)

// converted is the branch on which the hub keeps every data set as parquet, CONFIGURATION/SPLIT/0000.parquet.
const converted = "refs/convert/parquet"

// DatasetFinder finds the data sets that tasks of lm-evaluation-harness name on the hub: of the repository the
// file of the configuration and split, or else that of the hub's own conversion to parquet. The job notes
// which it was.
func DatasetFinder(ctx context.Context, f *source.Finder, job *Eval) benchmark.Finder {
	return func(set task.Dataset, split string) (string, error) {
		r := hub.Ref{Dataset: true, ID: set.Path, Revision: set.Revision, File: split}
		if set.Name != "" {
			r.File = set.Name + "/" + split
		}
		if _, err := hub.Parse(r.String()); err != nil {
			return "", err
		}
		path, from, err := f.Find(ctx, source.Data, r.String(), nil)
		var choice *source.ChoiceError
		if errors.As(err, &choice) && set.Revision == "" {
			var second error
			if path, from, second = f.Find(ctx, source.Data, r.At(converted).String(), nil); second == nil {
				err = nil
			} // else what the repository itself holds is more telling
		}
		if err != nil {
			return "", err
		}
		keep(job.From(), fmt.Sprintf("tasks %s:%s", set.Path, r.File), *from)
		return path, nil
	}
}
