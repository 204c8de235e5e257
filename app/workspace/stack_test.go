package workspace_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/workspace"
	"steer/app/workspace/workspacetest"
	"steer/ggml/adapter"
)

func TestStacksAreChecked(t *testing.T) {
	w, _ := workspacetest.Demo(t)
	sft := workspacetest.TrainedAdapter(t, w, "sft.gguf", 1, workspacetest.TrainedOn(t, w, adapter.RoleSFT, nil))
	policy := workspacetest.TrainedAdapter(t, w, "ppo.gguf", 2,
		workspacetest.TrainedOn(t, w, adapter.RolePolicy, nil, sft))
	old := workspacetest.TrainedAdapter(t, w, "old.gguf", 3, map[string]string{"role": "policy"})

	_, _, err := w.LoadStack([]string{sft, policy}, "")
	require.NoError(t, err)
	require.Empty(t, workspacetest.Said(w))
	for _, stack := range [][]string{{policy}, {policy, sft}} {
		_, _, err = w.LoadStack(stack, "")
		require.ErrorIs(t, err, adapter.ErrStack)
		require.ErrorContains(t, err, "--any-stack (any_stack: true)")
	}
	_, _, err = w.LoadStack([]string{sft, old}, "")
	require.NoError(t, err)
	_, _, err = w.LoadStack([]string{old}, "")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(workspacetest.Said(w), "cannot be checked"), "once, not for every stack")
	require.Empty(t, workspacetest.Said(w))

	w.AnyStack = true
	_, _, err = w.LoadStack([]string{policy}, "")
	require.NoError(t, err)
	require.Contains(t, workspacetest.Said(w),
		"warning: policy adapter "+policy+" was trained on an adapter of content")
}

func TestRolesAreChecked(t *testing.T) {
	w, _ := workspacetest.Demo(t)
	sft := workspacetest.TrainedAdapter(t, w, "sft.gguf", 1, workspacetest.TrainedOn(t, w, adapter.RoleSFT, nil))
	policy := workspacetest.TrainedAdapter(t, w, "ppo.gguf", 2, workspacetest.TrainedOn(t, w, adapter.RolePolicy, nil))
	reward := workspacetest.TrainedAdapter(t, w, "reward.gguf", 3,
		workspacetest.TrainedOn(t, w, adapter.RoleReward, nil))
	bare := workspacetest.RewardAdapter(t, w, nil) // a head, and not a word

	load := func(path string) *adapter.Adapter {
		a, err := adapter.LoadFor(path, w.Model.Shape())
		require.NoError(t, err)
		return a
	}
	for _, c := range []struct {
		path string
		use  workspace.Use
		says string // "": accepted
	}{
		{reward, workspace.UseReward, ""}, {bare, workspace.UseReward, ""},
		{sft, workspace.UseReward, "has no scalar head: it is not a reward model"},
		{policy, workspace.UseReward, "is a policy's adapter (its head is a value head), not a reward model"},
		{sft, workspace.UsePolicy, ""}, {policy, workspace.UsePolicy, ""}, {bare, workspace.UsePolicy, ""},
		{reward, workspace.UsePolicy,
			"is a reward model, not a model that writes answers: name one made by steer sft, steer ppo or " +
				"steer dpo"},
		{sft, workspace.UseBelow, ""}, {policy, workspace.UseBelow, ""},
		{reward, workspace.UseBelow, "is a reward model"}, {bare, workspace.UseBelow, "does not say what it is"},
		{sft, workspace.UseSFT, ""}, {reward, workspace.UseSFT, "is a reward model"},
		{bare, workspace.UseSFT, "does not say what it is"},
		{sft, workspace.UseInit, ""}, {reward, workspace.UseInit, ""}, {bare, workspace.UseInit, ""},
		{policy, workspace.UseInit, "is a policy's adapter"},
	} {
		err := workspace.CheckRole(c.path, load(c.path), c.use)
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.says)
		require.ErrorContains(t, err, c.path)
	}
}
