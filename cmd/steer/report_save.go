package main

import (
	"fmt"

	"steer/app/report"
)

// saveReports writes the reports of an experiment folder into it.
func saveReports(dir string) (r *report.Report, html string, err error) {
	if r, err = loadReport([]string{dir}); err != nil {
		return nil, "", err
	}
	html, err = report.SaveIn(dir, r)
	return r, html, err
}

// writeReport writes the report of an experiment and prints the small table.
func (a *app) writeReport(dir string) error {
	r, html, err := saveReports(dir)
	if err != nil {
		return err
	}
	w := a.headed()
	fmt.Fprintln(w)
	if err := report.WriteText(w, r); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nReport: %s\n", relative(html))
	return nil
}
