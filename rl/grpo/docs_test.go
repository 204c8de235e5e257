package grpo

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
	"steer/rl/rollout/rollouttest"
)

const docsFile = "../../docs/grpo.md"

func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	require.NoError(t, err)
	_, s, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	require.True(t, ok, heading)
	s, _, _ = strings.Cut(s, "\n## ")
	return s
}

func yamlOf(t *testing.T, c Config) string {
	t.Helper()
	text, err := conf.Marshal(&c)
	require.NoError(t, err)
	return string(text)
}

func TestDocsShowTheDefaultConfiguration(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(section(t, "Configuration"))
	require.NotNil(t, block)
	var shown Config
	require.NoError(t, conf.Parse(docsFile, []byte(block[1]), &shown))
	require.Equal(t, yamlOf(t, Default()), yamlOf(t, shown))
	keys := regexp.MustCompile(`(?m)^ *([a-z_0-9]+):`)
	require.Equal(t, keys.FindAllString(yamlOf(t, Default()), -1), keys.FindAllString(block[1], -1),
		"every key is shown, in order")
}

func TestDocsListThePresetDifferences(t *testing.T) {
	// the reason follows
	item := regexp.MustCompile("(?m)^- `([a-z_0-9.]+)`: default `(.*?)`, ([a-z+-]+) `(.*?)`\\. +\\S")
	got := map[string][]conf.Change{}
	for _, r := range item.FindAllStringSubmatch(section(t, "Presets"), -1) {
		got[r[3]] = append(got[r[3]], conf.Change{Key: r[1], Old: r[2], New: r[4]})
	}
	for _, p := range (Preset("")).Values()[1:] {
		c, err := New(Preset(p))
		require.NoError(t, err)
		require.NoError(t, c.Validate(), p)
		changes, err := conf.Diff([]byte(yamlOf(t, Default())), []byte(yamlOf(t, c)))
		require.NoError(t, err)
		require.Equal(t, changes[1:], got[p], p) // the first is the preset's name
	}
}

func TestDocsListTheMetrics(t *testing.T) {
	documented, logged := map[string]bool{}, map[string]bool{"kl": true}
	for _, r := range regexp.MustCompile("(?m)^\\| `([a-z_/]+)` \\|").FindAllStringSubmatch(section(t, "Metrics"), -1) {
		documented[r[1]] = true
	}
	for _, p := range []Preset{PresetDefault, PresetDAPO} {
		c := quick(t, p)
		c.Iterations = 1
		dir := t.TempDir()
		w := rollouttest.New().In(t, dir, "grpo", &c)
		_, err := Train(t.Context(), c, Deps{Deps: w.Deps})
		require.NoError(t, err)
		for _, r := range rollouttest.Timeless(t, dir) {
			for name := range r.Values {
				logged[name] = true
			}
		}
	}
	for name := range documented {
		if strings.HasPrefix(name, "time/") {
			delete(documented, name) // Timeless leaves them out
		}
	}
	require.Equal(t, documented, logged)
}

func TestValidate(t *testing.T) {
	for override, want := range map[string]string{
		"num_generations=1": "num_generations: want at least 2: an answer is compared with others",
		"mini_batch_size=48": "prompts_per_iteration times num_generations, 64 does not divide by " +
			"mini_batch_size 48",
		"epsilon_low=1":          "epsilon_low: want at least 0 and less than 1",
		"delta=1.1":              "delta: want 0 (off) or more than 1 + epsilon_high",
		"loss_type=best":         "loss_type",
		"overlong_cache=999":     "overlong_cache: want at most max_new_tokens",
		"top_entropy_quantile=0": "top_entropy_quantile: want more than 0, at most 1",
		"beta=-1":                "beta: want at least 0",
		"dropout=true":           "ratio_tolerance: want 0 with dropout true",
	} {
		c := Default()
		err := conf.Set(&c, override)
		if err == nil {
			err = c.Validate()
		}
		require.ErrorContains(t, err, want, override)
	}
	for want, spoil := range map[string]func(c *Config){
		"importance_sampling_level: want token with kl_in token_reward": func(c *Config) {
			c.KLIn, c.Level = KLInTokenReward, LevelSequence
		},
		"combine: want sum with multi_objective_aggregation normalize_then_sum": func(c *Config) {
			c.Aggregation, c.Mixture.Combine = NormalizeThenSum, "rank"
		},
		"kl_in: want loss with multi_objective_aggregation": func(c *Config) {
			c.Aggregation, c.KLIn = NormalizeThenSum, KLInReward
		},
		"loss_type gmpo": func(c *Config) { c.LossType, c.Level = GMPO, LevelSequence },
		"delta: want 0: loss_type sapo does not read it": func(c *Config) { c.LossType, c.Delta = SAPO, 2 },
		"dynamic_sampling: want 0 with num_generations 1": func(c *Config) {
			*c = REINFORCE()
			c.DynamicSampling = 1
		},
	} {
		c := Default()
		spoil(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
}
