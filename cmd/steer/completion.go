package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completions are written for.
var shells = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
}

func newCompletionCommand(a *app) *cobra.Command {
	known := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion " + strings.Join(known, "|"), GroupID: "shell",
		Short: "Write the script by which a shell completes command lines",
		Long: `Prints the script by which a shell completes commands, flags, and their values:
templates, theories, suites, presets, formats, devices, keys of --set, GGUF files
and experiments. Bash needs the package bash-completion.`,
		Example: `  source <(steer completion bash)               # for this shell
  steer completion bash > ~/.local/share/bash-completion/completions/steer
  steer completion zsh > "${fpath[1]}/_steer"
  steer completion fish > ~/.config/fish/completions/steer.fish`,
		ValidArgs: known,
		Args:      args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, shell []string) error {
			write, ok := shells[shell[0]]
			if !ok {
				return usagef("completion: want one of %s, got %q", strings.Join(known, ", "), shell[0])
			}
			if err := write(cmd.Root(), a.out); err != nil {
				return fmt.Errorf("completion: %w", err)
			}
			return nil
		},
	}
}
