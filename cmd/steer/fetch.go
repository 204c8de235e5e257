package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/experiment"
	"steer/internal/fetch"
)

// fetchFlags are the flags of "steer fetch".
type fetchFlags struct {
	data, models, mirror string
	needed               []string
	list, verify, asJSON bool
	force, offline       bool
}

func newFetchCommand(a *app) *cobra.Command {
	var f fetchFlags
	cmd := &cobra.Command{
		Use: "fetch [data|model|NAME|hf:NAME|URL]...", GroupID: "pipeline",
		Short: "Fetch models and data sets, from the hub or by name",
		Long: `Downloads models and data sets, and checks them (docs/fetch.md).

  steer fetch hf:ORG/NAME[@REVISION][:FILE]            a model of the hub
  steer fetch hf:datasets/ORG/NAME[@REVISION][:FILE]   data of the hub
  steer fetch --for FILE   what an experiment reads, and no more
  steer fetch data         all data sets of the suites and experiments
  steer fetch model        the model of the experiments
  steer fetch NAME...      these sets; --list shows the names
  steer fetch URL[#sha256=HEX]   a file, into --models or --data

Of a repository of the Hugging Face hub comes its GGUF file, or what makes up
its checkpoint in safetensors. FILE may be a word of a name, such as Q4_K_M or
train. The files go into the cache that all tools for the hub share
(HF_HUB_CACHE, HF_HOME), and jobs and flags take the same names. Where several
files could be meant, they are listed, each with the name to type.

Size, SHA-256 and licence are shown. What is there already is only checked.
Ctrl-C keeps what has come; the same command goes on from there.

What is gated needs a token of the hub in HF_TOKEN; HF_ENDPOINT names another
hub. A mirror (--mirror, or STEER_MIRROR) is a folder or an address laid out as
the data folder; it is asked for sets, before the official address.`,
		Example: `  steer fetch hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M
  steer fetch --list hf:datasets/tatsu-lab/alpaca
  steer fetch --for experiments/smollm2.yaml
  steer fetch ethics toxigen
  steer fetch data --mirror /media/usb/data
  steer fetch --list`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeSets,
		RunE: func(cmd *cobra.Command, names []string) error {
			f.mirror = cmp.Or(f.mirror, os.Getenv("STEER_MIRROR"))
			a.global.offline = f.offline
			return f.run(cmd, a, names)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.needed, "for", nil, "fetch what the experiment in `FILE` reads; may be repeated")
	flags.BoolVar(&f.list, "list", false, "show what is there, what is missing and where each comes from")
	flags.StringVar(&f.data, "data", "data", "`FOLDER` of data sets")
	flags.StringVar(&f.models, "models", "models", "`FOLDER` of models")
	flags.StringVar(&f.mirror, "mirror", "", "`FOLDER|URL` to ask first (default: STEER_MIRROR)")
	flags.BoolVar(&f.offline, "offline", false, "ask nothing but the mirror, no hub and no address")
	flags.BoolVar(&f.force, "force", false, "fetch again what is there")
	flags.BoolVar(&f.verify, "verify", false, "only check what is there")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	return cmd
}

func completeSets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return append(fetch.Data.Values(), fetch.Known().Names("")...), cobra.ShellCompDirectiveNoFileComp
}

func (f *fetchFlags) run(cmd *cobra.Command, a *app, names []string) error {
	outside, names, err := f.outside(names)
	if err != nil {
		return err
	}
	ctx, cancel := a.cancellable(cmd.Context())
	defer cancel()
	failed := f.doOutside(ctx, a, outside)
	if len(outside) > 0 && len(names) == 0 && len(f.needed) == 0 || ctx.Err() != nil {
		return failed
	}
	return errors.Join(failed, f.sets(ctx, cmd, a, names))
}

// sets fetches, lists or checks sets of the catalogue.
func (f *fetchFlags) sets(ctx context.Context, cmd *cobra.Command, a *app, names []string) error {
	wanted, err := f.wanted(cmd, names)
	if err != nil {
		return err
	}
	if f.offline && f.mirror == "" && !f.list && !f.verify && len(wanted) > 0 {
		return usagef("--offline: there is no mirror to ask: name one with --mirror or STEER_MIRROR")
	}
	if !f.list && !f.verify {
		if err := fetch.CheckMirror(f.mirror); err != nil {
			return usagef("--mirror, or STEER_MIRROR: %w", err)
		}
	}
	switch {
	case f.list:
		return f.printSets(a.out, wanted, len(names) > 0)
	case f.verify:
		return f.verifySets(a.out, wanted)
	}
	p := newDownloads(a.err, isTerminal(a.err))
	var failed []error
	var got []setReport
	for _, w := range wanted {
		r, err := f.get(ctx, a.out, p, w)
		got = append(got, r)
		if ctx.Err() != nil {
			p.note("what has come is kept: the same command goes on from there")
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", w.Set.Name, err))
		}
	}
	if f.asJSON {
		if err := writeJSON(a.out, got); err != nil {
			return err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("not everything is there:\n%w", errors.Join(failed...))
}

// wanted makes a list of sets, and the folders for them, of names and experiments.
func (f *fetchFlags) wanted(cmd *cobra.Command, names []string) ([]experiment.Need, error) {
	known := fetch.Known()
	var out []experiment.Need
	add := func(n experiment.Need) {
		same := func(o experiment.Need) bool { return o.Set.Name == n.Set.Name && o.Dir == n.Dir }
		if !slices.ContainsFunc(out, same) {
			out = append(out, n)
		}
	}
	folder := map[fetch.Kind]string{fetch.Data: f.data, fetch.Model: f.models}
	for _, file := range f.needed {
		if cmd.Flags().Changed("data") || cmd.Flags().Changed("models") {
			return nil, usagef("--for: the experiment says in which folders it looks: leave --data and --models out")
		}
		s, err := experiment.LoadStudy(file, nil)
		if err != nil {
			return nil, configError(err)
		}
		needs, rest := s.Needs()
		for _, n := range needs {
			add(n)
		}
		if len(rest) > 0 {
			return nil, fmt.Errorf("%s: no set of the catalogue has these files:\n%w", file, errors.Join(rest...))
		}
	}
	if len(names) == 0 && len(f.needed) == 0 {
		if !f.list && !f.verify {
			return nil, usagef("say what to fetch: data, model, a name (see --list), or --for EXPERIMENT.yaml\nSee %q.",
				"steer fetch --help")
		}
		names = fetch.Data.Values()
	}
	for _, name := range names {
		sets, ok := known.Select(name, f.list)
		if !ok {
			hint := ""
			if near, ok := known.Nearest(name); ok {
				hint = fmt.Sprintf(", did you mean %q?", near)
			}
			return nil, usagef("there is no set %q%s: known are data, model, %s",
				name, hint, strings.Join(known.Names(""), ", "))
		}
		for _, set := range sets {
			add(experiment.Need{Set: set, Dir: folder[set.Kind]})
		}
	}
	return out, nil
}

// fetcher is a fetcher of one set into its folder.
func (f *fetchFlags) fetcher(p *downloads, w experiment.Need) *fetch.Fetcher {
	x := &fetch.Fetcher{
		Data: w.Dir, Models: w.Dir, Mirror: f.mirror, Offline: f.offline, Force: f.force,
		Endpoint: os.Getenv("HF_ENDPOINT"), Token: os.Getenv("HF_TOKEN"), Check: experiment.CheckFormat,
	}
	if p != nil {
		x.Note, x.Progress = p.note, p.progress
	}
	x.Client = &fetch.Client{Agent: "steer/" + version, Note: x.Note}
	return x
}

// get fetches a set and says what became of it.
func (f *fetchFlags) get(ctx context.Context, out io.Writer, p *downloads, w experiment.Need) (setReport, error) {
	if f.asJSON {
		out = io.Discard
	}
	x := f.fetcher(p, w)
	have, err := x.Look(w.Set, false)
	if err != nil {
		return setReport{}, err
	}
	if f.force || slices.ContainsFunc(have, func(s fetch.Status) bool { return s.State == fetch.Missing }) {
		writeHead(out, w)
	}
	results, err := x.Get(ctx, w.Set)
	p.end()
	writeResults(out, w, results)
	return reportOf(w, results), err
}
