package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/internal/conf"
	"steer/rewards"
	"steer/rewards/constitution"
	"steer/rl/data"
	"steer/rl/dpo"
)

// proposed is what a shell is told to propose at the end of a command line.
func proposed(t testing.TB, line ...string) (words []string, directive string) {
	t.Helper()
	root, out := testRoot()
	root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, line...))
	require.NoError(t, root.Execute())
	words = strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	directive = words[len(words)-1]
	words = words[:len(words)-1]
	for i := range words {
		words[i], _, _ = strings.Cut(words[i], "\t")
	}
	return words, directive
}

func TestValuesAreCompleted(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, ".", "runs/sft/adapter.gguf", "")
	put(t, ".", "runs/sft/notes.txt", "")
	put(t, ".", "base.gguf", "")
	const (
		noFiles = ":36" // NoFileComp, KeepOrder
		byName  = ":8"  // FilterFileExt
		dirs    = ":16" // FilterDirs
	)
	theories, templates := rewards.TheoryName("").Values(), data.TemplateName("").Values()
	gguf, yaml := []string{"gguf"}, []string{"yaml", "yml"}
	for _, c := range []struct {
		line      string
		want      []string
		directive string
	}{
		{"sft --template ", templates, noFiles},
		{"ppo --template ", templates, noFiles},
		{"eval --template ", templates, noFiles},
		{"generate --template ", templates, noFiles},
		{"reward --theory ", theories, noFiles},
		{"eval --suite ", jobs.SuiteName("").Values(), noFiles},
		{"sft --preset ", []string{"default", "thesis"}, noFiles},
		{"dpo --preset ", []string{"default", "trl-dpo"}, noFiles},
		{"dpo --loss ", dpo.Loss("").Values(), noFiles},
		{"judge --theory ", theories, noFiles},
		{"judge --format ", data.FormatAuto.Values(), noFiles},
		{"judge --constitution ", constitution.Names(), ":0"},
		{"judge --min-margin ", nil, noFiles},
		{"judge --samples ", nil, noFiles},
		{"judge --pairs ", nil, ":0"},
		{"judge --policy sft=runs/sft/", []string{"sft=runs/sft/adapter.gguf"}, ":6"},
		{"judge --adapter ", gguf, byName},
		{"judge --set min_m", []string{"min_margin="}, ":38"},
		{"judge ", yaml, byName},
		{"dpo --format ", data.FormatAuto.Values(), noFiles},
		{"report --format ", []string{"html", "json", "md", "csv", "text"}, noFiles},
		{"bench --format ", []string{"table", "json", "gobench"}, noFiles},
		{"data inspect --format ", data.FormatAuto.Values(), noFiles},
		{"sft --columns inst", []string{"instruction="}, ":38"},
		{"sft --format ", data.FormatAuto.Values(), noFiles},
		{"plan --job ", jobs.Kinds(), noFiles},
		{"run --color ", []string{"auto", "always", "never"}, noFiles},
		{"score --precision ", []string{"bf16", "f32"}, noFiles},
		{"sft --precision ", []string{"bf16", "f32"}, noFiles},
		{"sft --lr ", nil, noFiles},
		{"sft --model ", gguf, byName},
		{"reward --sft ", gguf, byName},
		{"generate -m ", gguf, byName},
		{"chat --adapter ", gguf, byName},
		{"eval --task ", yaml, byName},
		{"run ", yaml, byName},
		{"run a.yaml ", nil, ":4"},
		{"plan ", yaml, byName},
		{"sft ", yaml, byName},
		{"report ", nil, dirs},
		{"sft --out ", nil, dirs},
		{"eval --data ", nil, dirs},
		{"model inspect ", gguf, byName},
		{"adapter inspect ", gguf, byName},
		{"adapter import ", nil, dirs},
		{"data inspect ", nil, ":0"},
		{"run --log-file ", nil, ":0"},
		{"completion ", []string{"bash", "zsh", "fish", "powershell"}, ":4"},
		{"eval --adapter sft=", []string{"sft=base.gguf", "sft=runs/"}, ":6"},
		{"eval --adapter sft=runs/sft/", []string{"sft=runs/sft/adapter.gguf"}, ":6"},
		{"eval --reward v=base.gguf,r", []string{"v=base.gguf,runs/"}, ":6"},
		{"bench --jobs train,", []string{"train,train-keep", "train,score", "train,rollout", "train,group",
			"train,ppo", "train,grpo", "train,dpo", "train,kernels"}, ":6"},
		{"run a.yaml --set ppo.kl_control=", []string{"ppo.kl_control=fixed", "ppo.kl_control=adaptive"}, noFiles},
		{"sft --set optim.w", []string{"optim.weight_decay=", "optim.warmup_steps="}, ":38"},
	} {
		words, directive := proposed(t, strings.Split(c.line, " ")...)
		require.ElementsMatch(t, c.want, words, c.line)
		require.Equal(t, c.directive, directive, c.line)
	}
	for _, device := range []string{"cpu", "cuda", "auto"} {
		words, _ := proposed(t, "run", "x.yaml", "--set", "engine.device=")
		require.Empty(t, words, "a device may have any number")
		words, _ = proposed(t, "plan", "--device", "")
		require.Contains(t, words, device)
	}
}

// Whoever adds a flag of fixed values gets them completed.
func TestEveryEnumFlagIsCompleted(t *testing.T) {
	root, _ := testRoot()
	n := 0
	everyCommand(root, func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			e, ok := f.Value.(conf.Enum)
			if !ok {
				return
			}
			n++
			complete, ok := c.GetFlagCompletionFunc(f.Name)
			require.True(t, ok, "%s --%s", c.CommandPath(), f.Name)
			words, _ := complete(c, nil, "")
			require.Equal(t, e.Values(), words, "%s --%s", c.CommandPath(), f.Name)
		})
	})
	require.Greater(t, n, 5)
}

// The scripts are what their shells can read.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		root, out := testRoot()
		root.SetArgs([]string{"completion", shell})
		require.NoError(t, root.Execute())
		require.Contains(t, out.String(), cobra.ShellCompRequestCmd)
		path, err := exec.LookPath(shell)
		if err != nil || !slices.Contains([]string{"bash", "zsh", "fish"}, shell) {
			t.Logf("no %s here: its script was written and not read", shell)
			continue
		}
		check := exec.Command(path, "-n")
		check.Stdin = out
		said, err := check.CombinedOutput()
		require.NoError(t, err, "%s: %s", shell, said)
	}
	root, _ := testRoot()
	root.SetArgs([]string{"completion", "tcsh"})
	var wrong usageError
	require.ErrorAs(t, root.Execute(), &wrong)
}
