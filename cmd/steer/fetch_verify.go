package main

import (
	"fmt"
	"io"

	"steer/app/experiment"
	"steer/internal/fetch"
)

// verifySets hashes what is there and fails if a file is not what it should be.
func (f *fetchFlags) verifySets(out io.Writer, wanted []experiment.Need) error {
	var all []setReport
	bad := 0
	for _, w := range wanted {
		have, err := f.fetcher(nil, w).Look(w.Set, true)
		if err != nil {
			return err
		}
		all = append(all, reportOf(w, looked(have)))
		for _, s := range have {
			if s.State == fetch.Changed {
				bad++
			}
			if !f.asJSON && s.State != fetch.Missing {
				fmt.Fprintf(out, "%-8s  %s\n", s.State, relative(s.Path))
				if s.Note != "" {
					for _, line := range wrap(s.Note, tableColumns-10) {
						fmt.Fprintf(out, "          %s\n", line)
					}
				}
			}
		}
	}
	if f.asJSON {
		if err := writeJSON(out, all); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s not what the release has: \"steer fetch --force NAME\" fetches a set again",
			choose(bad == 1, "1 file is", fmt.Sprintf("%d files are", bad)))
	}
	return nil
}
