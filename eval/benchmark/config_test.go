package benchmark

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/internal/conf"
)

func TestConfigRefuses(t *testing.T) {
	good := DefaultConfig()
	require.NoError(t, good.Validate())
	for want, change := range map[string]func(*Config){
		"batch_tokens": func(c *Config) { c.BatchTokens = 0 },
		"resamples":    func(c *Config) { c.Resamples = 0 },
		"confidence":   func(c *Config) { c.Confidence = 95 },
		"bos":          func(c *Config) { c.BOS = "yes" },
		"toxigen":      func(c *Config) { c.ToxiGen.Limit = -1 },
		"wsc273.first": func(c *Config) { c.WSC273.First = 1 },
		"threshold": func(c *Config) {
			c.Scruples.Path = "x"
			c.Scruples.Protocols = []eval.Protocol{eval.ProtocolReward}
		},
		"cross_reward": func(c *Config) { c.CrossReward.Prompts.Path = "x"; c.CrossReward.MaxNewTokens = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		require.ErrorContains(t, c.Validate(), want)
	}
	err := conf.Parse("e.yaml", []byte("scruples: {protocols: [loglic]}"), &good)
	require.ErrorContains(t, err, "loglik")
}

func TestDataFilesOfConfig(t *testing.T) {
	var c Config
	keys := map[string]bool{}
	for _, f := range c.DataFiles() {
		require.False(t, keys[f.Key], f.Key)
		keys[f.Key] = true
		*f.Path = f.Key
	}
	require.Equal(t, "toxigen", c.ToxiGen.Path)
	require.Equal(t, "scruples.threshold", c.Scruples.Threshold.Path)
	require.Equal(t, "cross_reward.prompts", c.CrossReward.Prompts.Path)
	// Every key is one that a configuration file may hold.
	for key := range keys {
		require.NoError(t, conf.Set(&c, key+".path=x"), key)
	}
}
