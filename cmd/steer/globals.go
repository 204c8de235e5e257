package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"steer/rl/train"
)

// globalFlags are the flags that every command knows.
type globalFlags struct {
	quiet, verbose bool
	offline        bool
	logFile        string
	color          colorMode
}

func (f *globalFlags) bind(root *cobra.Command) {
	f.color = colorAuto
	flags := root.PersistentFlags()
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show results, warnings and errors only")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show every step as a line that stays, and details")
	flags.BoolVar(&f.offline, "offline", false, "ask no hub: names (hf:...) mean what is in the cache")
	flags.StringVar(&f.logFile, "log-file", "",
		"append progress and notices to `FILE` as well, as plain lines with their time")
	enumVar(flags, &f.color, "color", "colour in what a terminal is shown")
}

// begin is called once the command line has been read, before the command runs.
func (a *app) begin(command []string) error {
	f := &a.global
	if f.quiet && f.verbose {
		return usagef("--quiet and --verbose contradict each other: give one of them")
	}
	a.palette = newPalette(f.color, a.err)
	a.outPalette = newPalette(f.color, a.out)
	if f.logFile != "" {
		log, err := openLog(f.logFile)
		if err != nil {
			return fmt.Errorf("--log-file: %w", err)
		}
		log.lost = func(err error) {
			fmt.Fprintf(a.err, "%s--log-file: %v: nothing more is logged\n", a.palette.warning("warning: "), err)
		}
		log.write(fmt.Sprintf("steer %s: %s", version, shellWords(command)))
		a.log = log
	}
	a.progress = a.newProgress()
	return nil
}

// newProgress shows progress as the global flags ask for it.
func (a *app) newProgress() train.Progress {
	var p train.Progress
	switch {
	case a.global.quiet:
		p = train.Warnings(a.err)
	case a.global.verbose:
		p = train.Verbose(a.err)
	default:
		p = train.NewProgress(a.err, isTerminal(a.err))
	}
	p = train.Painted(p, a.palette.note)
	if a.log == nil {
		return p
	}
	log := train.NewProgress(a.log, false)
	if a.global.verbose {
		log = train.Verbose(a.log)
	}
	return train.Both(p, log)
}

// say prints an error for people, and into the log.
func (a *app) say(text string) {
	fmt.Fprintf(a.err, "%s%s\n", a.palette.failure("steer: "), text)
	a.log.write("steer: " + text)
}

// endLog notes how the command ended.
func (a *app) endLog(code int) {
	a.log.write(fmt.Sprintf("ended with exit code %d", code))
	_ = a.log.close() // every line is on disk
}
