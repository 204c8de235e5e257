package sft

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/data"
	"steer/rl/train"
)

// shortExamples makes rows of 20 tokens of which 10 count.
func shortExamples(n int) []data.Example {
	out := make([]data.Example, n)
	for i := range out {
		out[i] = data.Example{IDs: make([]int32, 20), Mask: make([]bool, 20)}
		for k := 10; k < 20; k++ {
			out[i].Mask[k] = true
		}
	}
	return out
}

// The defaults give a small set enough updates, its learning rate and no blocks; large sets
// are packed and passed over three times; numbers that were set are kept.
func TestDefaultsTrainSmallSets(t *testing.T) {
	for _, c := range []struct {
		rows                  int
		change                func(*Config)
		items                 int
		steps, passes, warmup int64
	}{
		{20, nil, 20, 33, 13, 3},
		{200, nil, 200, 75, 3, 7},
		{1, nil, 1, 3, 20, 0},
		{51 * 256, nil, 256, 96, 3, 9}, // 51 rows fill a block
		{51 * 255, nil, 51 * 255, 4877, 3, 20},
		{20, func(c *Config) { c.Epochs = 1 }, 20, 3, 1, 0},
		{20, func(c *Config) { c.Pack = PackIsolated }, 1, 3, 20, 0},
		{20, func(c *Config) { c.Optim.WarmupSteps = 2 }, 20, 33, 13, 2},
	} {
		cfg := Default()
		if c.change != nil {
			c.change(&cfg)
		}
		require.NoError(t, cfg.Validate())
		p, err := NewPlan(cfg, shortExamples(c.rows), 1)
		require.NoError(t, err)
		require.Equal(t, c.items, p.Items, c.rows)
		require.Equal(t, c.steps, p.Steps, c.rows)
		require.Equal(t, c.passes, cfg.Passes(p.Items), c.rows)
		require.Equal(t, c.warmup, cfg.Optim.Warmup(p.Steps), c.rows)
		require.Equal(t, int64(c.rows*20)*c.passes, p.Tokens)
	}
	thesis := Thesis()
	require.Equal(t, int64(5000), thesis.Steps(3))
	require.Equal(t, int64(100), thesis.Optim.Warmup(5000))
}

type noted struct {
	train.Quiet
	lines []string
}

func (n *noted) Note(text string) { n.lines = append(n.lines, text) }

// A run says how long it is, and warns where it cannot learn.
func TestRunSaysHowLongItIs(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		says   []string
	}{
		{func(c *Config) {}, []string{"33 updates, 13 passes over the data (epochs 0: as many as make 32 updates, 20 " +
			"at most), 3 of them warm-up; few examples: not packed"}},
		{func(c *Config) { c.Epochs = 1 }, []string{"3 updates, 1 passes over the data; few examples: not packed",
			"warning: the run has 3 updates"}},
		{func(c *Config) { c.MaxSteps, c.Optim.WarmupSteps = 4, 20 }, []string{"4 updates, 20 of them warm-up; few " +
			"examples: not packed", "warning: the run ends inside its warm-up: 4 updates, warmup_steps is 20"}},
	} {
		cfg := Default()
		c.change(&cfg)
		n := &noted{}
		_, err := newTrainer(cfg, Deps{Deps: train.Deps{Stage: "sft", Progress: n}, Train: shortExamples(20)})
		require.NoError(t, err)
		require.Len(t, n.lines, 1+len(c.says))
		for i, s := range c.says {
			require.Contains(t, n.lines[i+1], s)
		}
	}
}
