package eval

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
)

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
