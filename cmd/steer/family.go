package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newFamily makes a command that only holds others, such as "steer model".
func newFamily(name, short string, members ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, GroupID: "files", Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			cmd.SuggestionsMinimumDistance = 2
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf(", did you mean %s?", strings.Join(near, " or "))
			}
			return usagef("unknown command %q for %q%s\nSee %q.", args[0], cmd.CommandPath(), hint,
				cmd.CommandPath()+" --help")
		},
	}
	cmd.AddCommand(members...)
	var examples []string
	for _, m := range members {
		examples = append(examples, m.Example)
	}
	cmd.Example = strings.Join(examples, "\n")
	return cmd
}
