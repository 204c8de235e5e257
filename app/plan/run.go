package plan

import (
	"context"
	"errors"

	"steer/app/jobs"
	"steer/app/workspace"
)

// Run does a resolved job in a workspace of its own, of which nothing is left: it is planned first,
// refused if it does not fit, and compared with its plan in the end. before is called once the job
// is known to fit, and may be nil. See [jobs.Job] for the rest.
func Run(
	ctx context.Context, job jobs.Job, con jobs.Console, name, dir string, fresh bool, before func() error,
) (err error) {
	w, err := workspace.Open(job.Base())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	p, err := Guard(ctx, w, job, name, con)
	if err != nil {
		return err
	}
	defer p.Compare(w, con)
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return job.Run(ctx, w, con, name, dir, fresh)
}
