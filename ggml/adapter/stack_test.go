package adapter_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
)

// Content is what an adapter does to those above it: it survives description, a head, both
// files and the way through PEFT, and changes with any value or the scale.
func TestContentIsWhatTheAdapterDoes(t *testing.T) {
	for _, rsLoRA := range []bool{false, true} {
		a := trained(t, []string{"attn_q", "attn_k", "ffn_down"}, 2, rsLoRA)
		want := a.ContentSHA256()
		require.Len(t, want, 64)

		b := a.Clone()
		b.Head = adapter.NewScoreHead(16, 1)
		b.Head.Mean, b.Head.Std = 3, 4
		b.Describe(map[string]string{adapter.MetaRole: "reward", "theory": "x"})
		require.Equal(t, want, b.ContentSHA256())

		file, dir := filepath.Join(t.TempDir(), "a.gguf"), t.TempDir()
		require.NoError(t, b.Save(file))
		require.NoError(t, adapter.ExportPEFT(b, dir, small, ""))
		for _, path := range []string{file, dir} {
			c, err := adapter.LoadFor(path, small)
			require.NoError(t, err)
			require.Equal(t, want, c.ContentSHA256(), path)
			require.Equal(t, b.Meta, c.Meta, "what it says of itself goes through both forms")
			meta, err := adapter.ReadMeta(path)
			require.NoError(t, err)
			require.Equal(t, b.Meta, meta)
		}

		for name, change := range map[string]func(c *adapter.Adapter){
			"A":     func(c *adapter.Adapter) { c.Pairs[1].A[3] += 1e-7 },
			"B":     func(c *adapter.Adapter) { c.Pairs[5].B[0] = -c.Pairs[5].B[0] },
			"alpha": func(c *adapter.Adapter) { c.Alpha = 7 },
			"pairs": func(c *adapter.Adapter) { c.Pairs = c.Pairs[1:] },
		} {
			c := a.Clone()
			change(c)
			require.NotEqual(t, want, c.ContentSHA256(), name)
		}
	}
}

// made is a placed adapter that says it was trained on a stack.
func made(t *testing.T, path string, role adapter.Role, seed uint64, below ...adapter.Placed) adapter.Placed {
	t.Helper()
	a, err := adapter.New(small, []string{"attn_q"}, 2, 4, false, seed)
	require.NoError(t, err)
	a.Describe(map[string]string{adapter.MetaRole: string(role), adapter.MetaTrainedOn: adapter.TrainedOnText(below)})
	return adapter.Placed{Path: path, Adapter: a, Content: a.ContentSHA256()}
}

func TestStacks(t *testing.T) {
	sft := made(t, "sft.gguf", adapter.RoleSFT, 1)
	other := made(t, "other.gguf", adapter.RoleSFT, 2)
	reward := made(t, "reward.gguf", adapter.RoleReward, 3, sft)
	policy := made(t, "ppo.gguf", adapter.RolePolicy, 4, sft)
	third := made(t, "third.gguf", adapter.RolePolicy, 5, sft, policy)
	future := adapter.Placed{Path: "future.gguf", Adapter: sft.Adapter}
	head := adapter.Placed{Path: "head.gguf", Adapter: &adapter.Adapter{Head: adapter.NewScoreHead(16, 1)}}
	head.Content = head.ContentSHA256()

	for name, stack := range map[string][]adapter.Placed{
		"none": nil, "alone": {sft}, "reward": {sft, reward}, "three": {sft, policy, third},
		"not trained yet":                {future, policy},
		"the highest is not trained yet": {other, future},
	} {
		unknown, err := adapter.CheckStack(stack)
		require.NoError(t, err, name)
		require.Empty(t, unknown, name)
	}
	for name, c := range map[string]struct {
		stack []adapter.Placed
		says  []string
	}{
		"without what was below": {[]adapter.Placed{reward}, []string{"reward adapter reward.gguf",
			"lies on the base alone here", "steer adapter inspect"}},
		"another one below": {[]adapter.Placed{other, policy}, []string{"policy adapter ppo.gguf",
			"lies on other.gguf"}},
		"reversed": {[]adapter.Placed{policy, sft}, []string{"the order is sft.gguf, then ppo.gguf"}},
		"one too many": {[]adapter.Placed{sft, policy, reward}, []string{"reward.gguf", "lies on sft.gguf",
			"ppo.gguf"}},
		"twice": {[]adapter.Placed{sft, sft}, []string{"was trained on the base alone",
			"put nothing below it"}},
		"in between": {[]adapter.Placed{sft, third}, []string{"2 adapters of contents"}},
	} {
		_, err := adapter.CheckStack(c.stack)
		require.ErrorIs(t, err, adapter.ErrStack, name)
		for _, s := range c.says {
			require.ErrorContains(t, err, s, name)
		}
	}

	// What was trained before adapters told it, or elsewhere.
	strip := func(p adapter.Placed) adapter.Placed {
		a := p.Adapter.Clone()
		delete(a.Meta, adapter.MetaTrainedOn)
		return adapter.Placed{Path: p.Path, Adapter: a, Content: p.Content}
	}
	unknown, err := adapter.CheckStack([]adapter.Placed{strip(sft), reward})
	require.NoError(t, err)
	require.Empty(t, unknown, "an SFT adapter on the base is where it belongs")
	unknown, err = adapter.CheckStack([]adapter.Placed{sft, strip(policy)})
	require.NoError(t, err)
	require.Equal(t, []string{"ppo.gguf"}, unknown)
	foreign := adapter.Placed{Path: "peft", Adapter: sft.Adapter.Clone(), Content: "x"}
	foreign.Adapter.Meta = nil
	unknown, err = adapter.CheckStack([]adapter.Placed{foreign})
	require.NoError(t, err)
	require.Equal(t, []string{"peft"}, unknown)

	// A head alone changes nothing above it.
	require.Equal(t, adapter.TrainedOnText([]adapter.Placed{sft}), adapter.TrainedOnText([]adapter.Placed{sft, head}))
	damaged := strip(policy)
	damaged.Meta[adapter.MetaTrainedOn] = "no hash"
	_, known := damaged.TrainedOn()
	require.False(t, known)
}

func TestRoles(t *testing.T) {
	for want, meta := range map[adapter.Role]map[string]string{
		adapter.RoleSFT:    {"role": "sft"}, // as it was written before
		adapter.RolePolicy: {adapter.MetaRole: "policy", "role": "sft"},
		adapter.RoleReward: {adapter.MetaRole: "reward"},
		"":                 {"role": "chef"},
	} {
		require.Equal(t, want, (&adapter.Adapter{Meta: meta}).Role())
	}
	a := &adapter.Adapter{Meta: map[string]string{"role": "sft", adapter.MetaTemplate: "guanaco", "mine": "kept"}}
	a.Describe(map[string]string{adapter.MetaRole: "reward", adapter.MetaRewardTemplate: "chatml",
		adapter.MetaRewardSystem: ""})
	require.Equal(t, map[string]string{"mine": "kept", adapter.MetaRole: "reward", adapter.MetaRewardTemplate: "chatml",
		adapter.MetaRewardSystem: ""}, a.Meta)
	name, system := a.Template()
	require.Equal(t, "chatml", name)
	require.Empty(t, *system)
	name, system = (&adapter.Adapter{Meta: map[string]string{adapter.MetaTemplate: "hh"}}).Template()
	require.Equal(t, "hh", name)
	require.Nil(t, system)
}
