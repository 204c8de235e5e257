package plan

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jobs"
	"steer/app/workspace"
	"steer/app/workspace/workspacetest"
	"steer/demo"
	"steer/ggml/adapter"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/train"
)

// rehearsePPO reads and checks a job of the demo as its run does.
func rehearsePPO(t *testing.T, w *workspace.Workspace, assets demo.Paths, change func(j *jobs.PPO)) error {
	t.Helper()
	j, err := jobs.NewPPO(train.PresetDefault)
	require.NoError(t, err)
	j.Model, j.Prompts.Path, j.Engine.Threads = assets.Model, assets.Guanaco.Test, 1
	j.Iterations, j.MaxNewTokens, j.RolloutBatchSize, j.MiniBatchSize, j.MicroBatchSize = 1, 2, 2, 2, 2
	change(&j)
	if err := j.Resolve("", nil); err != nil {
		return err
	}
	_, p, err := rehearse(context.Background(), w, &j)
	if err != nil {
		return err
	}
	return p.Close()
}

// What a user may mix up in "steer ppo" is refused before anything is computed.
func TestPPORefusesTheWrongAdapters(t *testing.T) {
	s, assets := demoSFT(t)
	w := workspacetest.Open(t, s.Base)
	form := map[string]string{rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco", rewards.MetaEOS: "true",
		rewards.MetaMaxLength: "64"}
	sft := workspacetest.TrainedAdapter(t, w, "sft.gguf", 1,
		workspacetest.TrainedOn(t, w, adapter.RoleSFT, map[string]string{adapter.MetaTemplate: "guanaco"}))
	policy := workspacetest.TrainedAdapter(t, w, "ppo.gguf", 2,
		workspacetest.TrainedOn(t, w, adapter.RolePolicy, nil, sft))
	reward := workspacetest.TrainedAdapter(t, w, "reward.gguf", 3,
		workspacetest.TrainedOn(t, w, adapter.RoleReward, form, sft))
	for says, change := range map[string]func(j *jobs.PPO){
		"": func(j *jobs.PPO) {
			j.SFT, j.RewardBelow, j.Reward = []string{sft},
				[]string{sft}, reward
		},
		"lies on the base alone here": func(j *jobs.PPO) { j.SFT, j.Reward = []string{sft}, reward },
		"value head": func(j *jobs.PPO) {
			j.SFT, j.RewardBelow, j.Reward = []string{sft},
				[]string{sft}, policy
		},
		"not a model that writes answers": func(j *jobs.PPO) {
			j.SFT, j.RewardBelow, j.Reward = []string{reward},
				[]string{sft}, reward
		},
	} {
		err := rehearsePPO(t, w, assets, change)
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
	}
	require.NoError(t,
		rehearsePPO(t, w, assets, func(j *jobs.PPO) { j.SFT, j.Reward, j.AnyStack = []string{sft}, reward, true }))
}

// A job without a template takes that of the adapters it stands on.
func TestJobsTakeTheTemplateOfTheirAdapters(t *testing.T) {
	s, assets := demoSFT(t)
	w := workspacetest.Open(t, s.Base)
	stored := map[string]string{adapter.MetaTemplate: "hh", adapter.MetaSystem: "Be kind."}
	sft := workspacetest.TrainedAdapter(t, w, "sft.gguf", 1, workspacetest.TrainedOn(t, w, adapter.RoleSFT, stored))
	policy := workspacetest.TrainedAdapter(t, w, "ppo.gguf", 2,
		workspacetest.TrainedOn(t, w, adapter.RolePolicy, stored, sft))
	reward := workspacetest.TrainedAdapter(t, w, "reward.gguf", 3,
		workspacetest.TrainedOn(t, w, adapter.RoleReward, nil, sft))

	p, err := jobs.NewPPO(train.PresetDefault)
	require.NoError(t, err)
	p.Model, p.Prompts.Path, p.SFT, p.Reward = assets.Model, assets.Guanaco.Train, []string{sft}, reward
	require.NoError(t, p.Resolve("", nil))
	r, err := jobs.NewReward(train.PresetDefault)
	require.NoError(t, err)
	r.Model, r.Theory, r.Train.Path, r.SFT = assets.Model, rewards.Custom, assets.Guanaco.Train, []string{sft}
	require.NoError(t, r.Resolve("", nil))
	e := jobs.NewEval()
	e.Model, e.Subjects = assets.Model,
		[]jobs.Subject{{Name: "sft", Adapters: []string{sft}}, {Name: "p", Adapters: []string{sft, policy}}}
	require.NoError(t, e.Resolve("", nil))
	c, err := jobs.NewSFT("")
	require.NoError(t, err)
	c.Model, c.Train.Path, c.InitAdapter = assets.Model, assets.Guanaco.Train, sft
	require.NoError(t, c.Resolve("", nil))
	for _, got := range []workspace.Form{
		{Template: p.Template, System: p.System}, {Template: r.Template, System: r.System},
		{Template: e.Template, System: e.System}, {Template: c.Template, System: c.System},
	} {
		require.Equal(t, data.TemplateHH, got.Template)
		require.Equal(t, "Be kind.", *got.System)
	}
	// Each says so in turn of what it makes.
	require.Equal(t, "hh", p.Meta("")[adapter.MetaTemplate])
	require.Equal(t, "Be kind.", p.Meta("")[adapter.MetaSystem])
	require.Equal(t, "hh", r.Meta("")[rewards.MetaTemplate])
	require.Equal(t, "hh", c.Meta("")[adapter.MetaTemplate])

	p.SFT, p.Template, p.System = nil, "", nil
	require.NoError(t, p.Resolve("", nil))
	require.Equal(t, data.TemplateChatML, p.Template)
	require.Nil(t, p.System)
}
