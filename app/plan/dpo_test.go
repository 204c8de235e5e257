package plan

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/app/workspace/workspacetest"
	"steer/ggml/adapter"
	"steer/rewards"
	"steer/rl/dpo"
)

// A job of preferences is rehearsed by its own code: the reference's passes among them, and none where the loss
// needs no reference.
func TestPlanOfPreferences(t *testing.T) {
	s, assets := demoSFT(t)
	w := workspacetest.Open(t, s.Base)
	sft := workspacetest.TrainedAdapter(t, w, "sft.gguf", 1,
		workspacetest.TrainedOn(t, w, adapter.RoleSFT, map[string]string{adapter.MetaTemplate: "guanaco"}))
	counted := func(loss dpo.Loss) Tokens {
		j, err := jobs.NewDPO("")
		require.NoError(t, err)
		j.Model, j.SFT, j.Engine.Threads, j.Loss = assets.Model, []string{sft}, 1, loss
		j.Theory, j.Train.Path, j.HeldOut.Path = rewards.Deontology, assets.Deontology.Train, assets.Deontology.Test
		j.Train.Limit, j.HeldOut.Limit, j.MiniBatchSize, j.MaxSteps = 20, 10, 4, 5
		require.NoError(t, j.Resolve("", nil))
		r, p, err := rehearse(context.Background(), w, &j)
		require.NoError(t, err)
		require.NoError(t, p.Close())
		return r.tokens
	}
	pairs, thumbs, free := counted(dpo.Sigmoid), counted(dpo.KTO), counted(dpo.ORPO)
	require.Equal(t, int64(5), pairs.Updates)
	require.Equal(t, pairs.Train, free.Train)
	require.Less(t, thumbs.Train, pairs.Train, "four answers, not four pairs")
	require.Greater(t, pairs.Score, 2*free.Score, "the reference reads train and held-out pairs")
	require.Greater(t, thumbs.Score, pairs.Score, "and answers to the prompts of others, twice")
	require.Zero(t, pairs.Generated)
}
