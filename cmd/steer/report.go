package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"steer/app/report"
)

func newReportCommand(a *app) *cobra.Command {
	var format, out string
	var compare bool
	cmd := &cobra.Command{
		Use:     "report RUN...",
		GroupID: "pipeline",
		Short:   "Write the report of an experiment, of its seeds, or of two runs",
		Long: `Reads run folders and nothing else (no model is loaded), redoes every test from the
records of single items, and writes one self-contained file. With --format text, md or
csv and no --out it prints.

One RUN is an experiment folder. Several that hold the same stages are runs of one
experiment with different seeds: tables then hold means over them, intervals cover the
choice of seeds too, and plots, answers and commands are those of every run. A folder of
experiment folders stands for all of them. With --compare two runs are set against each
other, model by model.`,
		Example: `  steer report runs/smollm2
  steer report runs/smollm2 --format md --out RESULTS.md
  steer report runs/study/seed-1 runs/study/seed-2 runs/study/seed-3
  steer report runs/study --format md --out RESULTS.md
  steer report --compare runs/before runs/after`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if !slices.Contains(report.Formats(), format) {
				return usagef("--format %q: want one of %v", format, report.Formats())
			}
			if compare && len(dirs) != 2 {
				return usagef("--compare: want two runs, got %d", len(dirs))
			}
			load, name := loadReport, "report."
			if compare {
				load, name = loadComparison, "compare."
			}
			r, err := load(dirs)
			if err != nil {
				return err
			}
			a.tellFailures(r)
			if out == "" && format != "html" && format != "json" {
				return report.Write(a.out, r, format)
			}
			if out == "" {
				out = filepath.Join(dirs[len(dirs)-1], name+format)
				if !compare {
					out = filepath.Join(dirs[0], name+format)
				}
			}
			if out == "-" {
				return report.Write(a.out, r, format)
			}
			if err := report.Save(out, r, format); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s\n", relative(out))
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "html", "html, json, md, csv or text")
	cmd.Flags().StringVarP(&out, "out", "o", "",
		"file to write, - for standard output (default: report.html in the first folder, compare.html in the second)")
	cmd.Flags().BoolVar(&compare, "compare", false, "compare the second run with the first, model by model")
	return cmd
}

// tellFailures says what a report lacks to whoever asked for it, who may not open it soon.
func (a *app) tellFailures(r *report.Report) {
	for _, f := range r.Flags {
		if f.Severity == report.Failure {
			fmt.Fprintf(a.err, "warning: %s: %s\n", f.Stage, f.Text)
		}
	}
}

func loadReport(dirs []string) (*report.Report, error) {
	if err := exist(dirs); err != nil {
		return nil, err
	}
	return loader().Load(dirs...)
}

// loader shows paths from here.
func loader() report.Loader {
	wd, err := os.Getwd()
	if err != nil {
		wd = "" // then as they are
	}
	return report.Loader{Root: wd}
}

// loadComparison compares the second of two folders with the first.
func loadComparison(dirs []string) (*report.Report, error) {
	if err := exist(dirs); err != nil {
		return nil, err
	}
	return loader().LoadTwo(dirs[0], dirs[1])
}

func exist(dirs []string) error {
	for _, d := range dirs {
		if _, err := os.Stat(d); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}
