package ppo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/rollout"

	"steer/internal/conf"
	"steer/rl/run"
	"steer/rl/train"
)

const docsFile = "../../docs/ppo.md"

func TestPresetsAreValid(t *testing.T) {
	for _, p := range (train.Preset("")).Values() {
		c, err := New(train.Preset(p))
		require.NoError(t, err)
		require.NoError(t, c.Validate(), p)
		require.Equal(t, train.Preset(p), c.Preset)
		text, err := conf.Marshal(&c)
		require.NoError(t, err)
		var back Config
		require.NoError(t, conf.Parse("back.yaml", text, &back))
		if len(back.StopStrings) == 0 {
			back.StopStrings = c.StopStrings // nil and empty are the same list
		}
		require.Equal(t, c, back, "YAML keeps every field")
	}
	_, err := New("best")
	require.ErrorContains(t, err, `preset "best": want one of [default thesis]`)
}

func TestValidate(t *testing.T) {
	for override, want := range map[string]string{
		"preset=best":          "preset",
		"iterations=0":         "iterations: want at least 1",
		"rollout_batch_size=1": "rollout_batch_size: want at least 2",
		"mini_batch_size=48": "rollout_batch_size 64 does not divide by mini_batch_size 48: choose one of [1 2 " +
			"4 8 16 32 64]",
		"micro_batch_size=5":      "mini_batch_size 32 does not divide by micro_batch_size 5",
		"ppo_epochs=0":            "ppo_epochs: want at least 1",
		"optim.lr=0":              "optim.lr",
		"temperature=0":           "temperature: want more than 0",
		"logprob_temperature=two": "logprob_temperature",
		"top_k=50":                "allow_truncated_sampling: true",
		"top_p=0.9":               "allow_truncated_sampling: true",
		"min_p=0.1":               "allow_truncated_sampling: true",
		"top_p=1.5":               "top_p: want 0 to 1",
		"min_p=1":                 "min_p",
		"top_k=-1":                "top_k",
		"length_draw=group":       "min_new_tokens: want 1 to max_new_tokens 128",
		"length_group=4":          "length_group: want 1 unless length_draw is group",
		"min_new_tokens=5":        "min_new_tokens: want 0 with length_draw fixed",
		"max_new_tokens=0":        "max_new_tokens",
		"eos=halt":                "eos",
		"stop_strings=['']":       "stop_strings: want no empty string",
		"missing_eos_penalty=-1":  "missing_eos_penalty",
		"norm_scores=true":        "norm_scores: want false unless scale_scores",
		"score_clip=-1":           "score_clip",
		"kl_penalty=k2":           "kl_penalty",
		"kl_coef=-0.1":            "kl_coef: want at least 0, got -0.1",
		"kl_control=pid":          "kl_control",
		"kl_target=0":             "kl_target",
		"kl_horizon=0":            "kl_horizon",
		"gamma=0":                 "gamma",
		"gae_lambda=1.1":          "gae_lambda",
		"whiten_group_size=1":     "whiten_group_size: want 0 (the whole rollout batch) or at least 2",
		"whiten_group_size=7":     "whiten_group_size 7",
		"loss_mean=batch":         "loss_mean",
		"clip_range=0":            "clip_range",
		"value_clip_range=0":      "value_clip_range",
		"value_coef=-1":           "value_coef",
		"ratio_threshold=0.5":     "ratio_threshold: want 0 (off) or more than 1",
		"policy_kl_target=0":      "policy_kl_target",
		"dropout=true":            "ratio_tolerance: want 0 with dropout true",
		"ratio_tolerance=-1":      "ratio_tolerance",
		"max_kl=-1":               "max_kl",
		"min_entropy_ratio=1":     "min_entropy_ratio",
		"max_entropy_ratio=1":     "max_entropy_ratio",
		"max_repetition_rise=2":   "max_repetition_rise",
		"repetition_ngram=0":      "repetition_ngram",
		"alarm_patience=0":        "alarm_patience",
		"checkpoint_every=-1":     "checkpoint_every",
		"samples_every=-1":        "samples_every",
		"samples_count=-1":        "samples_count",
		"heldout_every=-1":        "heldout_every",
		"rollout_batch_size=-64":  "rollout_batch_size",
	} {
		c := Default()
		err := conf.Set(&c, override)
		if err == nil {
			err = c.Validate()
		}
		require.ErrorContains(t, err, want, override)
	}
	c := Default()
	c.EOS, c.StopStrings = rollout.EOSCut, []string{"x"}
	require.ErrorContains(t, c.Validate(), "stop_strings: want none with eos cut")
	c.Preset, c.LossMean = "best", "batch" // past the reader, from a program
	require.ErrorContains(t, c.Validate(), `preset: want one of [default thesis], got "best"`)
	require.ErrorContains(t, c.Validate(), "loss_mean", "all mistakes at once")

	c = Default()
	c.TopK, c.AllowTruncatedSampling = 50, true
	require.NoError(t, c.Validate())
	c.Dropout, c.RatioTolerance = true, 0
	require.NoError(t, c.Validate())
}

// Every field is read by the code that works with it, not only by its validation.
func TestEveryFieldIsUsed(t *testing.T) {
	used := map[string]bool{}
	var paths []string
	for _, folder := range []string{".", "../rollout", "../mixture"} {
		in, err := filepath.Glob(filepath.Join(folder, "*.go"))
		require.NoError(t, err)
		paths = append(paths, in...)
	}
	for _, path := range paths {
		switch name := filepath.Base(path); {
		case strings.HasSuffix(name, "_test.go"), name == "presets.go", name == "validate.go",
			name == "config.go" && !strings.Contains(path, "mixture"):
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				used[sel.Sel.Name] = true
			}
			return true
		})
	}
	elsewhere := map[string]bool{
		"Preset":                 true, // a name for people, kept in config.yaml
		"AllowTruncatedSampling": true, // a permission: Validate is what uses it
	}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Anonymous || f.Tag.Get("yaml") == ",inline" {
				walk(f.Type)
				continue
			}
			require.NotEmpty(t, f.Tag.Get("yaml"), f.Name)
			require.True(t, used[f.Name] || elsewhere[f.Name], "field %s is configured but never read", f.Name)
		}
	}
	walk(reflect.TypeFor[Config]())
}

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	require.NoError(t, err)
	return string(text)
}

func TestDocsShowTheDefaultConfiguration(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readDocs(t))
	require.NotNil(t, block)
	c := Default()
	want, err := conf.Marshal(&c)
	require.NoError(t, err)
	var shown Config
	require.NoError(t, conf.Parse(docsFile, []byte(block[1]), &shown))
	got, err := conf.Marshal(&shown)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	keys := regexp.MustCompile(`(?m)^ *([a-z_0-9]+):`)
	require.Equal(t, keys.FindAllString(string(want), -1), keys.FindAllString(block[1], -1),
		"every key is shown, in order")
}

func TestDocsListThePresetDifferences(t *testing.T) {
	d, h := Default(), Thesis()
	a, err := conf.Marshal(&d)
	require.NoError(t, err)
	b, err := conf.Marshal(&h)
	require.NoError(t, err)
	changes, err := conf.Diff(a, b)
	require.NoError(t, err)
	_, section, _ := strings.Cut(readDocs(t), "\n## Presets\n")
	section, _, _ = strings.Cut(section, "\n## ")
	item := regexp.MustCompile("(?m)^- `([a-z_0-9.]+)`: default `(.*?)`, thesis `(.*?)`\\. +\\S") // the reason follows
	got := []conf.Change{{Key: "preset", Old: string(train.PresetDefault), New: string(train.PresetThesis)}}
	for _, r := range item.FindAllStringSubmatch(section, -1) {
		got = append(got, conf.Change{Key: r[1], Old: r[2], New: r[3]})
	}
	require.Equal(t, changes, got)
}

func TestDocsListTheMetrics(t *testing.T) {
	_, section, _ := strings.Cut(readDocs(t), "\n## Metrics\n")
	documented := map[string]bool{}
	for _, r := range regexp.MustCompile("(?m)^\\| `([a-z_/]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented[r[1]] = true
	}
	c := quick()
	c.Iterations = 2
	dir := t.TempDir()
	w := newWorld(t).in(t, dir, c)
	_, err := Train(t.Context(), c, w.deps)
	require.NoError(t, err)
	records, _, err := run.ReadMetrics(filepath.Join(dir, run.MetricsFile))
	require.NoError(t, err)
	logged := map[string]bool{}
	for _, r := range records {
		for name := range r.Values {
			logged[name] = true
		}
	}
	require.Equal(t, documented, logged)
}
