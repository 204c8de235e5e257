package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/source"
	"steer/rl/data"
)

func newDataCommand(a *app) *cobra.Command {
	return newFamily("data", "Look at data files", newDataInspectCommand(a), newDataRenderCommand(a))
}

func newDataInspectCommand(a *app) *cobra.Command {
	var f sourceFlags
	asJSON := false
	cmd := &cobra.Command{
		Use: "inspect PATH...", Short: "Describe data files: format, rows, labels, lengths, oddities",
		Long: `Reads data files of any format that training and evaluation read (plain, gzip or
Zstandard) to their end and describes them. A malformed row is an error that
names file, line and field. Says why it is read as it is, and which columns are
read and which are not. With --json: one object for each file, a line each.

Formats:
` + formatList(),
		Example: `  steer data inspect ethics/deontology/deontology_train.csv
  steer data inspect train.jsonl.gz --format hh-rlhf --json
  steer data inspect faq.csv --columns prompt=Question \
    --columns completion=Answer`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, paths []string) error {
			var errs []error
			src, err := f.source("")
			if err != nil {
				return err
			}
			for i, path := range paths {
				if err := a.locate(cmd.Context(), source.Data, "PATH", &path); err != nil {
					return err
				}
				src.Path = path
				s, err := data.InspectSource(src)
				if err == nil {
					err = printSummary(a.out, s, asJSON, i > 0)
				}
				errs = append(errs, err) // the other files are described all the same
			}
			return errors.Join(errs...)
		},
	}
	f.bind(cmd, "format of the files, one of those above")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

// sourceFlags say how data files are read.
type sourceFlags struct {
	format  data.Format
	columns []string
	drop    bool
}

func (f *sourceFlags) bind(cmd *cobra.Command, formatHelp string) {
	f.format = data.FormatAuto
	flags := cmd.Flags()
	flags.Var(enumFlag[data.Format]{&f.format}, "format", formatHelp)
	flags.StringArrayVar(&f.columns, "columns", nil, columnsHelp)
	flags.BoolVar(&f.drop, "drop-unsupported", false, dropHelp)
}

// source is a file as the flags say that it is read.
func (f *sourceFlags) source(path string) (data.Source, error) {
	src := data.Source{Path: path, Format: f.format, DropUnsupported: f.drop}
	for _, item := range f.columns {
		name, column, ok := strings.Cut(item, "=")
		if !ok || name == "" || column == "" {
			return src, usagef("--columns %s: want NAME=COLUMN", item)
		}
		if src.Columns == nil {
			src.Columns = data.Columns{}
		}
		src.Columns[name] = column
	}
	if err := src.Check(); err != nil {
		return src, usage(err)
	}
	return src, nil
}

func formatList() string {
	var b strings.Builder
	for _, f := range data.FormatAuto.Values() {
		fmt.Fprintf(&b, "  %-25s %s\n", f, data.Format(f).Title())
	}
	return b.String()
}

func printSummary(w io.Writer, s data.Summary, asJSON, another bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	if another {
		fmt.Fprintln(w)
	}
	var b strings.Builder
	if err := s.Write(&b); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, " ") { // others are numbers, and the path
			line = strings.Join(hang(strings.TrimSuffix(line, "\n"), tableColumns), "\n") + "\n"
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}
