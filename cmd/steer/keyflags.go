package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/workspace"
	"steer/internal/conf"
	"steer/internal/hub"
)

// keyFlag is a flag that stands for a configuration key.
type keyFlag struct {
	flag, key, help string
	short           string // of one letter
	isBool, list    bool
	also            []string // keys that get the same value
	isMap           bool     // each item is NAME=VALUE, and NAME a key below key
	isPath          bool     // relative to the working folder, as keys are to their file
	unless          string   // key that overrules this one unless it is 0
	text            string
	on              bool
	items           []string
}

// anyStackFlag is the flag of modelFlags as the jobs have it.
var anyStackFlag = keyFlag{flag: "any-stack", key: workspace.AnyStack, help: anyStackHelp, isBool: true}

// heeded is an error if a flag stands for a key that another one overrules.
func (f *stageFlags) heeded(cmd *cobra.Command, job any) error {
	for _, k := range f.keys {
		if k.unless == "" || !cmd.Flags().Changed(k.flag) {
			continue
		}
		raw, err := conf.Marshal(job)
		if err != nil {
			return err
		}
		if value, _, err := conf.Lookup("", raw, k.unless); err != nil || value != "0" {
			return errors.Join(err,
				usagef("--%s %s: the run would end after %s %s whatever %s is: add --set %s=0, or leave --%s out",
					k.flag, k.text, k.unless, value, k.key, k.unless, k.flag))
		}
	}
	return nil
}

// setKeys puts the flags that stand for keys into job.
func (f *stageFlags) setKeys(cmd *cobra.Command, job any) error {
	for _, k := range f.keys {
		if !cmd.Flags().Changed(k.flag) {
			continue
		}
		for _, key := range k.keys() {
			if err := k.set(job, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys are those that the flag stands for.
func (k *keyFlag) keys() []string { return append([]string{k.key}, k.also...) }

// set puts the flag's value under one of its keys.
func (k *keyFlag) set(job any, key string) error {
	switch {
	case k.isBool:
		return conf.Set(job, key+"="+strconv.FormatBool(k.on))
	case k.isMap:
		for _, item := range k.items {
			name, value, ok := strings.Cut(item, "=")
			if !ok || name == "" || value == "" {
				return usagef("--%s %s: want NAME=COLUMN", k.flag, item)
			}
			if err := conf.Set(job, key+"."+name+"="+value); err != nil {
				return err
			}
		}
		return nil
	case k.list:
		return conf.SetList(job, key, absAll(k.items))
	case k.isPath:
		return conf.Set(job, key+"="+absAll([]string{k.text})[0])
	}
	return conf.Set(job, key+"="+k.text)
}

// sourceKeys are the flags that say how data files are read; sources are the keys of the files, such as
// train, and files what the help calls them.
func sourceKeys(files string, sources ...string) []keyFlag {
	flag := func(name, key, help string) keyFlag {
		k := keyFlag{flag: name, key: sources[0] + "." + key, help: help}
		for _, s := range sources[1:] {
			k.also = append(k.also, s+"."+key)
		}
		return k
	}
	format := flag("format", "format", "format of "+files+", `NAME` (see steer data inspect --help)")
	columns := flag("columns", "columns", columnsHelp)
	columns.isMap = true
	drop := flag("drop-unsupported", "drop_unsupported", dropHelp)
	drop.isBool = true
	return []keyFlag{format, columns, drop}
}

const (
	columnsHelp = "column of the format under another name, `NAME=COLUMN`, as in prompt=question; may be repeated"
	dropHelp    = "drop and count tool calls, pictures and the like instead of refusing them"
)

// agree is an error if --set says something else than the flags that stand for keys: set gives
// the job, which the flags were put into last, the values of --set once more.
func (f *stageFlags) agree(cmd *cobra.Command, job any, set func() error) error {
	if len(f.set) == 0 || !slices.ContainsFunc(f.keys, func(k keyFlag) bool { return cmd.Flags().Changed(k.flag) }) {
		return nil
	}
	flags, err := conf.Marshal(job)
	if err != nil {
		return err
	}
	if err := set(); err != nil {
		return err
	}
	both, err := conf.Marshal(job)
	if err != nil {
		return err
	}
	diff, err := conf.Diff(flags, both)
	if err != nil {
		return err
	}
	var wrong []string
	for _, c := range diff {
		for _, k := range f.keys {
			ours := slices.ContainsFunc(k.keys(), func(key string) bool {
				return c.Key == key || strings.HasPrefix(c.Key, key+"[") || strings.HasPrefix(c.Key, key+".")
			})
			if cmd.Flags().Changed(k.flag) && ours {
				wrong = append(wrong, fmt.Sprintf("--%s says %s: %s, --set says %s", k.flag, c.Key, c.Old, c.New))
			}
		}
	}
	if len(wrong) > 0 {
		return usagef("%s: give one of them", strings.Join(wrong, "; "))
	}
	return nil
}

// absAll makes paths of the command line absolute.
func absAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if hub.IsName(p) {
			continue
		}
		if a, err := filepath.Abs(p); err == nil && p != "" {
			out[i] = a
		}
	}
	return out
}
