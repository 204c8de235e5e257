package plan

import (
	"context"
	"errors"

	"steer/app/jobs"
	"steer/app/workspace"
)

// Run does a resolved job in a workspace of its own, of which nothing is left: it is planned first,
// refused if it does not fit, and compared with its plan in the end. A model that cannot be trained
// is not planned for, which is said aloud. before is called once the job
// is known to fit, and may be nil. See [jobs.Job] for the rest.
func Run(
	ctx context.Context, job jobs.Job, con jobs.Console, name, dir string, fresh bool, before func() error,
) (err error) {
	open := workspace.Open
	if _, trains := job.(jobs.Maker); !trains {
		open = workspace.OpenToUse
	}
	w, err := open(job.Base())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if w.Model.Untrainable() == nil {
		p, err := Guard(ctx, w, job, name, con)
		if err != nil {
			return err
		}
		defer p.Compare(w, con)
	} else {
		con.Progress.Note("warning: what " + name + " needs of memory is not foreseen: the training graph, by which " +
			"plans measure, cannot compute this model")
	}
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return job.Run(ctx, w, con, name, dir, fresh)
}
