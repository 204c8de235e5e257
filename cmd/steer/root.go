package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"steer/internal/nearest"
)

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "steer",
		Short: "Steer language models by ethics, and measure whether it worked",
		Long: `Steer takes a Llama-class GGUF model, fine-tunes it on instructions, trains
reward models for ethical theories, steers the model by PPO with each of them,
and measures what that did. Everything runs on the quantized weights, on one
machine, without Python.

Start with:
  steer demo                       the whole pipeline on a tiny built-in model
  steer init -m base.gguf --data chat.jsonl
                                   an experiment.yaml for a model of yours
  steer fetch --for experiment.yaml
                                   the data and the model that it names
  steer run experiment.yaml        the whole pipeline, to the report`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w%s\nSee %q.", err, nearFlag(cmd, err), cmd.CommandPath()+" --help")
	})
	root.CompletionOptions.DisableDefaultCmd = true // ours has an example
	a.global.bind(root)
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.begin(os.Args) }
	root.SetHelpFunc(a.help(root.HelpFunc()))
	root.AddGroup(
		&cobra.Group{ID: "pipeline", Title: "The pipeline:"},
		&cobra.Group{ID: "stage", Title: "One stage:"},
		&cobra.Group{ID: "use", Title: "Use what was trained:"},
		&cobra.Group{ID: "speed", Title: "Speed and memory:"},
		&cobra.Group{ID: "files", Title: "Look at files:"},
		&cobra.Group{ID: "shell", Title: "Around it:"},
	)
	root.AddCommand(
		newRunCommand(a), newPlanCommand(a), newDemoCommand(a), newReportCommand(a),
		newSFTCommand(a), newRewardCommand(a), newPPOCommand(a), newGRPOCommand(a), newDPOCommand(a),
		newJudgeCommand(a), newEvalCommand(a),
		newScoreCommand(a), newGenerateCommand(a), newChatCommand(a), newExportCommand(a),
		newBenchCommand(a), newVersionCommand(a),
		newFetchCommand(a), newInitCommand(a),
		newModelCommand(a), newAdapterCommand(a), newDataCommand(a),
		newCompletionCommand(a),
	)
	root.SetHelpCommandGroupID("shell")
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Short, help.Long = "Help about a command", "The same as --help behind the command."
		help.Example = "  steer help adapter import"
	}
	fitHelp(root)
	completeCommandLines(root)
	return root
}

// nearFlag names the flag that was perhaps meant, of a flag that a command does not know.
func nearFlag(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	name := unknown.GetSpecifiedName()
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	if near, ok := nearest.Word(name, known); ok {
		return fmt.Sprintf(": did you mean --%s?", near)
	}
	begins := func(flag string) bool { return strings.HasPrefix(flag, name) || strings.HasPrefix(name, flag+"-") }
	if i := slices.IndexFunc(known, begins); i >= 0 && len(name) > 1 {
		return fmt.Sprintf(": did you mean --%s?", known[i])
	}
	return ""
}

// args wraps a cobra argument check so that its failure counts as wrong usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w: want %q\nSee %q.", err, cmd.UseLine(), cmd.CommandPath()+" --help")
		}
		return nil
	}
}
