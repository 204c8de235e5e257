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
	isPath          bool   // relative to the working folder, as keys are to their file
	unless          string // key that overrules this one unless it is 0
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
		var err error
		switch {
		case k.isBool:
			err = conf.Set(job, k.key+"="+strconv.FormatBool(k.on))
		case k.list:
			err = conf.SetList(job, k.key, absAll(k.items))
		case k.isPath:
			err = conf.Set(job, k.key+"="+absAll([]string{k.text})[0])
		default:
			err = conf.Set(job, k.key+"="+k.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

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
			if cmd.Flags().Changed(k.flag) && (c.Key == k.key || strings.HasPrefix(c.Key, k.key+"[")) {
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
