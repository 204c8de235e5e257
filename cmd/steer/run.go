package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"steer/app/experiment"
)

func newRunCommand(a *app) *cobra.Command {
	var set []string
	var dry, fresh bool
	var memory memoryFlags
	cmd := &cobra.Command{
		Use:     "run EXPERIMENT.yaml",
		GroupID: "pipeline",
		Short:   "Run the whole pipeline, from SFT to the report",
		Long: `Runs every stage of an experiment and ends with its report. Stages that are
finished are skipped as long as nothing that goes into them has changed (files
are compared by content); an interrupted stage goes on from its checkpoint. A
stage that does not fit into memory is refused before it starts ("steer plan"
says so for all of them).

An experiment with seeds ("seeds: [1, 2, 3]") is run once for each, in the
folders seed-1, seed-2, ... below its own; the report is that of all of them.`,
		Example: `  steer run experiments/smollm2.yaml
  steer run experiments/smollm2.yaml --set ppo.kl_coef=0.1 --set out=../runs/kl
  steer run experiments/study.yaml --set seeds=[2]
  steer run experiments/thesis-13b.yaml --dry-run`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s, err := experiment.LoadStudy(args[0], set)
			if err != nil {
				return configError(err)
			}
			con := a.console()
			con.Memory = memory.MemoryLimit
			if err := s.Validate(); err != nil {
				return usage(err)
			}
			if dry {
				return s.DryRun(con)
			}
			if err := a.locateStudy(cmd.Context(), s, fresh, ""); err != nil {
				return err
			}
			lock, err := s.Lock()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, lock.Close()) }()
			err = s.Run(cmd.Context(), con, fresh, func(e *experiment.Experiment) error {
				if s.Single() {
					return nil
				}
				_, html, err := saveReports(e.Out)
				if err == nil {
					con.Progress.Note(fmt.Sprintf("seed %d: report %s", e.Seed, relative(html)))
				}
				return err
			})
			if err != nil {
				return err
			}
			return a.writeReport(s.Out)
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "override a key of the file, `KEY=VALUE`; may be repeated")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the resolved plan of every stage and stop")
	cmd.Flags().BoolVar(&fresh, "fresh", false, "forget what earlier runs of these stages left and start anew")
	memory.bind(cmd)
	return cmd
}
