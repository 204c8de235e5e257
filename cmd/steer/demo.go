package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"steer/app/experiment"
	"steer/demo"
	"steer/experiments"
	"steer/ggml"
	"steer/internal/atomicfile"
)

func newDemoCommand(a *app) *cobra.Command {
	var out, device string
	var fresh bool
	cmd := &cobra.Command{
		Use: "demo", GroupID: "pipeline", Short: "The whole pipeline on a tiny built-in model, in a few minutes",
		Long: `Unpacks a tiny Llama-architecture model and small data sets that are part of this
program, and runs the same pipeline on them as "steer run" does on a real model:
SFT, four reward models, four PPO policies, evaluation, report.`,
		Example: `  steer demo
  steer demo -o /tmp/demo --fresh`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			start := time.Now()
			dir, err := filepath.Abs(out)
			if err != nil {
				return err
			}
			// The folders lie as in the source tree: experiments/demo.yaml finds the assets.
			if _, err := demo.Extract(filepath.Join(dir, "demo", "assets")); err != nil {
				return err
			}
			file := filepath.Join(dir, "experiments", "demo.yaml")
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				return err
			}
			if err := atomicfile.WriteFile(file, experiments.Demo, 0o666); err != nil {
				return err
			}
			e, err := experiment.LoadExperiment(file, []string{"out=" + dir, "engine.device=" + device})
			if err != nil {
				return err
			}
			lock, err := e.Lock()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, lock.Close()) }()
			if err := e.Run(cmd.Context(), a.console(), fresh); err != nil {
				return err
			}
			if err := a.writeReport(e.Out); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "The demo took %s.\n", time.Since(start).Round(time.Second))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "runs/demo", "folder to work in")
	cmd.Flags().StringVar(&device, "device", string(ggml.CPU), deviceHelp)
	cmd.Flags().BoolVar(&fresh, "fresh", false, "forget an earlier demo in the folder")
	return cmd
}
