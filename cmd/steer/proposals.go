package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"steer/app/experiment"
	"steer/app/jobs"
	"steer/app/speed"
	"steer/ggml"
	"steer/internal/conf"
	"steer/rewards"
	"steer/rewards/constitution"
	"steer/rl/data"
	"steer/rl/dpo"
)

// completion proposes what may stand at the end of a command line.
type completion = cobra.CompletionFunc

// completeCommandLines registers what a shell proposes for the flags and arguments of every
// command. A command's own registrations stand.
func completeCommandLines(root *cobra.Command) {
	everyCommand(root, func(cmd *cobra.Command) {
		visit := func(f *pflag.Flag) {
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); ok {
				return
			}
			if c := flagCompletion(cmd, f); c != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, c) // fails for a flag that is not there
			}
		}
		cmd.LocalFlags().VisitAll(visit)
		if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
			cmd.ValidArgsFunction = argCompletion(cmd)
		}
	})
}

// everyCommand visits a command and all below it.
func everyCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		everyCommand(c, visit)
	}
}

// flagCompletion is what is proposed for a flag: the values of an enum, files of the right
// kind; nil leaves all files to the shell.
func flagCompletion(cmd *cobra.Command, f *pflag.Flag) completion {
	if e, ok := f.Value.(conf.Enum); ok {
		return names(e.Values()...)
	}
	within := func(commands ...string) bool { return slices.Contains(commands, cmd.Name()) }
	switch f.Name {
	case "device":
		return names("cpu", "cuda", "cuda:0", "auto")
	case "precision":
		return names(ggml.Precision("").Values()...)
	case "template":
		return names(data.TemplateName("").Values()...)
	case "theory":
		return names(rewards.TheoryName("").Values()...)
	case "preset":
		if m, ok := jobs.Lookup(jobs.Kind(cmd.Name())); ok {
			return names(m.Presets()...)
		}
	case "loss":
		return names(dpo.Loss("").Values()...)
	case "recipe":
		return names(rewards.Recipe("").Values()...)
	case "suite":
		return names(jobs.SuiteName("").Values()...)
	case "job":
		return names(jobs.Kinds()...)
	case "jobs":
		return listOf(speed.Job("").Values())
	case "shape":
		return names(speed.ShapeNames()...)
	case "type":
		return names(speed.TypeNames()...)
	case "kernel":
		return names("portable", "avx2", "avx512", "avx512bf16")
	case "format":
		if within("report") {
			return names("html", "json", "md", "csv", "text")
		}
		if within("sft", "reward", "ppo", "grpo", "dpo", "judge") {
			return names(data.FormatAuto.Values()...)
		}
		return names("table", "json", "gobench")
	case "columns":
		var keys []conf.Key
		for _, name := range data.ColumnNames() {
			keys = append(keys, conf.Key{Name: name})
		}
		return settings(keys)
	case "set":
		if job := configurationOf(cmd); job != nil {
			return settings(conf.Keys(job))
		}
	case "adapter", "reward":
		if within("eval") {
			return namedAdapters
		}
		return files("gguf")
	case "model", "sft", "reward-below", "init-adapter":
		return files("gguf") // and folders, which PEFT's adapters are
	case "policy":
		return namedAdapters
	case "constitution":
		return orFile(constitution.Names()...)
	case "task":
		return files("yaml", "yml")
	case "data", "cache":
		return folders
	case "out":
		if !within("report", "import") {
			return folders
		}
	case "memory", "threads", "seed", "limit", "max-steps", "epochs", "lr", "rank", "batch", "iterations", "beta",
		"system", "text", "prompt", "stop", "system-instruction", "template-var", "samples", "max-new", "temperature",
		"min-margin":
		return names()
	}
	if f.Value.Type() != "string" && f.Value.Type() != "stringArray" && f.Value.Type() != "stringSlice" &&
		f.Value.Type() != "bool" {
		return names() // a number is nobody's file
	}
	return nil
}

// argCompletion is what is proposed for a command's arguments.
func argCompletion(cmd *cobra.Command) completion {
	args := strings.TrimPrefix(cmd.Use, cmd.Name())
	switch {
	case strings.Contains(args, ".yaml"):
		return first(files("yaml", "yml"))
	case cmd.Name() == "report" || cmd.Name() == "import":
		return folders
	case cmd.Name() == "export", cmd.Name() == "inspect" && cmd.Parent().Name() != "data":
		return first(files("gguf"))
	case cmd.Name() == "inspect":
		return nil // data files have many names
	}
	return names()
}

// configurationOf is an empty configuration of the kind a command reads.
func configurationOf(cmd *cobra.Command) any {
	switch cmd.Name() {
	case "run", "plan":
		return &experiment.Experiment{}
	case "sft":
		return &jobs.SFT{}
	case "reward":
		return &jobs.Reward{}
	case "ppo":
		return &jobs.PPO{}
	case "grpo":
		return &jobs.GRPO{}
	case "dpo":
		return &jobs.DPO{}
	case "judge":
		return &jobs.Judge{}
	case "eval":
		return &jobs.Eval{}
	}
	return nil
}

// names proposes some words and no files.
func names(values ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// orFile proposes values, or, where none begins as what was typed, files.
func orFile(values ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveDefault
	}
}

// listOf proposes words for a list with commas.
func listOf(values []string) completion {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		var out []string
		for _, v := range values {
			if !slices.Contains(strings.Split(before, ","), v) {
				out = append(out, before+v)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// files proposes files by their extension, and folders to look into.
func files(extensions ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
}

// folders proposes folders.
func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// first proposes for the first argument only.
func first(c completion) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c(cmd, args, typed)
	}
}

// settings proposes KEY=, and for a key of names KEY=VALUE.
func settings(keys []conf.Key) completion {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		key, _, ok := strings.Cut(typed, "=")
		var out []string
		for _, k := range keys {
			switch {
			case !ok && strings.HasPrefix(k.Name, typed):
				out = append(out, k.Name+"=")
			case ok && k.Name == key:
				for _, v := range k.Values {
					out = append(out, key+"="+v)
				}
			}
		}
		directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		if !ok {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return out, directive
	}
}

// namedAdapters proposes the files of NAME=FILE[,FILE], which a shell takes for one word.
func namedAdapters(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	at := strings.LastIndexAny(typed, "=,") + 1
	if at == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	dir, _ := filepath.Split(typed[at:])
	entries, err := os.ReadDir(choose(dir == "", ".", dir))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, e := range entries {
		name := typed[:at] + dir + e.Name()
		switch {
		case !strings.HasPrefix(name, typed):
		case e.IsDir():
			out = append(out, name+"/")
		case filepath.Ext(name) == ".gguf":
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
