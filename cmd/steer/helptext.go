package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// fitHelp makes what every command says of itself fit a terminal of 80 columns.
func fitHelp(root *cobra.Command) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	everyCommand(root, func(c *cobra.Command) { c.Long = reflow(c.Long, tableColumns) })
}

// reflow sets a text anew in lines of at most width characters: lines that begin at the margin are
// prose, indented ones stand alone and go on below their last column.
func reflow(text string, width int) string {
	var out []string
	var prose []string
	flush := func() {
		if len(prose) > 0 {
			out = append(out, wrap(strings.Join(prose, " "), width)...)
		}
		prose = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' {
			prose = append(prose, line)
			continue
		}
		flush()
		out = append(out, hang(line, width)...)
	}
	flush()
	return strings.Join(out, "\n")
}

// columns matches an indented line up to its last column.
var columns = regexp.MustCompile(`^ +(\S+( \S+)* {2,})?`)

// hang cuts an indented line so that it goes on below its last column.
func hang(line string, width int) []string {
	if utf8.RuneCountInString(line) <= width {
		return []string{line}
	}
	first := columns.FindString(line)
	indent := utf8.RuneCountInString(first)
	if indent > width/2 {
		return []string{line}
	}
	lines := wrap(line[len(first):], width-indent)
	for i := range lines {
		lines[i] = choose(i == 0, first, strings.Repeat(" ", indent)) + lines[i]
	}
	return lines
}

// help prints what --help prints, its headings in bold.
func (a *app) help(print func(*cobra.Command, []string)) func(*cobra.Command, []string) {
	return func(cmd *cobra.Command, args []string) {
		p := newPalette(a.global.color, a.out)
		if !p.on {
			print(cmd, args)
			return
		}
		var b bytes.Buffer
		cmd.SetOut(&b)
		print(cmd, args)
		cmd.SetOut(a.out)
		for line := range strings.Lines(b.String()) {
			if bare := strings.TrimRight(line, "\n"); heading.MatchString(bare) {
				line = p.heading(bare) + "\n"
			}
			_, _ = io.WriteString(a.out, line) // as cobra does
		}
	}
}

// heading matches a line of help that stands above others.
var heading = regexp.MustCompile(`^[A-Z][^:.]*:$`)
