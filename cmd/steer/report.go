package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"steer/eval/report"
	"steer/internal/atomicfile"
)

// reportFormats are the forms of a report, and how each is written.
var reportFormats = map[string]func(io.Writer, *report.Report) error{
	"html": report.WriteHTML, "json": report.WriteJSON, "md": report.WriteMarkdown, "csv": report.WriteCSV, "text": report.WriteText,
}

func newReportCommand(a *app) *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use:     "report DIR...",
		GroupID: "pipeline",
		Short:   "Write the report of one or more experiment or run folders",
		Long: `Reads run folders and nothing else (no model is loaded) and writes one
self-contained file. With --format text, md or csv and no --out it prints.`,
		Example: `  steer report runs/smollm2
  steer report runs/smollm2 --format md --out RESULTS.md`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			names := []string{"html", "json", "md", "csv", "text"}
			if !slices.Contains(names, format) {
				return usagef("--format %q: want one of %v", format, names)
			}
			r, err := loadReport(dirs)
			if err != nil {
				return err
			}
			if out == "" && format != "html" && format != "json" {
				return reportFormats[format](a.out, r)
			}
			if out == "" {
				out = filepath.Join(dirs[0], "report."+format)
			}
			if out == "-" {
				return reportFormats[format](a.out, r)
			}
			if err := saveReport(r, format, out); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s\n", relative(out))
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "html", "html, json, md, csv or text")
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write, - for standard output (default: report.html in the first folder)")
	return cmd
}

func loadReport(dirs []string) (*report.Report, error) {
	for _, d := range dirs {
		if _, err := os.Stat(d); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
	}
	return report.Load(dirs...)
}

func saveReport(r *report.Report, format, path string) error {
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := reportFormats[format](f, r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Commit()
}

func printReport(w io.Writer, r *report.Report) error {
	fmt.Fprintln(w)
	return report.WriteText(w, r)
}
