package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/inspect"
	"steer/ggml/adapter"
	"steer/rewards"
)

// a family of adapters: SFT, a reward model and a policy on top of it.
type family struct{ sft, reward, policy, old string }

func newFamilyOfAdapters(t testing.TB, model string) (f family) {
	t.Helper()
	make := func(role adapter.Role, seed float32, below string, meta map[string]string) string {
		var stack []adapter.Placed
		if below != "" {
			a, err := adapter.Load(below)
			require.NoError(t, err)
			stack = append(stack, adapter.Placed{Path: below, Adapter: a, Content: a.ContentSHA256()})
		}
		return newAdapter(t, model, func(a *adapter.Adapter) {
			for i := range a.Pairs {
				for j := range a.Pairs[i].B {
					a.Pairs[i].B[j] *= seed
				}
			}
			if role != adapter.RoleSFT {
				a.Head = adapter.NewScoreHead(len(a.Pairs[0].A)/2, 1)
			}
			said := map[string]string{adapter.MetaRole: string(role),
				adapter.MetaTrainedOn: adapter.TrainedOnText(stack)}
			for k, v := range meta {
				said[k] = v
			}
			a.Describe(said)
		})
	}
	template := map[string]string{adapter.MetaTemplate: "guanaco", adapter.MetaSystem: ""}
	f.sft = make(adapter.RoleSFT, 1, "", template)
	f.reward = make(adapter.RoleReward, 2, f.sft, map[string]string{
		rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco", rewards.MetaEOS: "true",
		rewards.MetaMaxLength: "64"})
	f.policy = make(adapter.RolePolicy, 3, f.sft, template)
	f.old = newAdapter(t, model, func(a *adapter.Adapter) { a.Meta = map[string]string{"role": "policy"} })
	return f
}

const exchange = `{"prompt":"Hi","response":"I help you."}`

// Commands that load a stack refuse another one than it was trained in, and do it aloud
// where that is wanted.
func TestCommandsCheckTheStack(t *testing.T) {
	m := demoModel(t)
	f := newFamilyOfAdapters(t, m.Model)
	in := writeFile(t, "x.jsonl", exchange+"\n")
	score := []string{"score", "-m", m.Model}
	generate := []string{"generate", "-m", m.Model, "--max-new", "2", "--prompt", "Hi"}
	with := func(base []string, more ...string) []string { return append(append([]string{}, base...), more...) }
	for _, x := range []failure{
		{name: "score without the SFT adapter", args: with(score, "-a", f.reward, in), code: 1,
			says: []string{"reward adapter " + f.reward, "lies on the base alone here", "--any-stack"}},
		{name: "score reversed", args: with(score, "-a", f.reward, "-a", f.sft, in), code: 1,
			says: []string{"the order is " + f.sft}},
		{name: "generate without the SFT adapter", args: with(generate, "-a", f.policy), code: 1,
			says: []string{"policy adapter", "lies on the base alone here"}},
		{name: "generate reversed", args: with(generate, "-a", f.policy, "-a", f.sft), code: 1,
			says: []string{"the order is " + f.sft}},
		{name: "chat without the SFT adapter", args: []string{"chat", "-m", m.Model, "-a", f.policy}, code: 1,
			says: []string{"policy adapter"}},
		{name: "generate with a reward model alone", args: with(generate, "-a", f.reward), code: 1,
			says: []string{"is a reward model, not a model that writes answers"}},
		{name: "generate with a reward model", args: with(generate, "-a", f.sft, "-a", f.reward), code: 1,
			says: []string{"is a reward model, not a model that writes answers"}},
	} {
		x.run(t)
	}
	code, _, errs := command(t, "", with(score, "-a", f.reward, "--any-stack", in)...)
	require.Zero(t, code, errs)
	require.Contains(t, errs, "warning: reward adapter")
	code, _, errs = command(t, "", with(score, "-a", f.sft, "-a", f.reward, in)...)
	require.Zero(t, code, errs)
	require.NotContains(t, errs, "warning")
	require.NotContains(t, errs, "cannot be checked")
	code, _, errs = command(t, "", with(generate, "-a", f.sft, "-a", f.old)...)
	require.Zero(t, code, errs)
	require.Equal(t, 1, strings.Count(errs, "cannot be checked"))

	// A policy's head is no reward: its texts are given their log-probabilities.
	out := succeed(t, "", with(score, "-a", f.sft, "-a", f.policy, "--text", "Hi")...)
	require.Contains(t, out, `"logprobs"`)
	_, _, errs = command(t, "", with(score, "-a", f.sft, "-a", f.policy, "--head", "--text", "Hi")...)
	require.Contains(t, errs, "value head")
}

// Without --template the adapters' own is used; another one is said to be another.
func TestCommandsUseTheStoredTemplate(t *testing.T) {
	m := demoModel(t)
	f := newFamilyOfAdapters(t, m.Model)
	generate := func(more ...string) (generation, string) {
		code, out, errs := command(t, "", append([]string{"generate", "-m", m.Model, "--json", "--temperature", "0",
			"--max-new", "4", "--prompt", "Hi"}, more...)...)
		require.Zero(t, code, errs)
		return lines[generation](t, out)[0], errs
	}
	own, errs := generate("-a", f.sft)
	named, _ := generate("-a", f.sft, "--template", "guanaco")
	require.Equal(t, named, own)
	require.Contains(t, errs, "template guanaco (that of the adapter")
	plain, errs := generate("-a", f.sft, "--template", "plain")
	require.NotEqual(t, plain.Asked, own.Asked)
	require.Contains(t, errs, "was trained with template guanaco, used with plain")
	bare, errs := generate()
	require.Equal(t, plain.Asked, bare.Asked, "a bare base continues")
	require.NotContains(t, errs, "template")

	_, _, errs = command(t, "", "chat", "-m", m.Model, "-a", f.sft, "--system", "Be kind.")
	require.Contains(t, errs, `was trained with system message "", used with "Be kind."`)

	ids := func(more ...string) []int32 {
		return lines[scored](t, succeed(t, exchange, append([]string{"score", "-m", m.Model}, more...)...))[0].IDs
	}
	require.Equal(t, ids("-a", f.sft, "--template", "guanaco"), ids("-a", f.sft),
		"a conversation is put in the adapter's template")
	require.NotEqual(t, ids("-a", f.sft), ids())
	_, _, errs = command(t, exchange, "score", "-m", m.Model, "-a", f.sft, "-a", f.reward, "--template", "hh")
	require.Contains(t, errs, "was trained with template guanaco, used with hh")
}

func TestAdapterInspectSaysWhatItIs(t *testing.T) {
	m := demoModel(t)
	f := newFamilyOfAdapters(t, m.Model)
	sft, err := inspect.DescribeAdapter(f.sft, "", nil)
	require.NoError(t, err)
	require.Equal(t, []string{}, sft.TrainedOn)
	policy, err := inspect.DescribeAdapter(f.policy, "", nil)
	require.NoError(t, err)
	require.Equal(t, []string{sft.Content}, policy.TrainedOn)
	require.Equal(t, adapter.RolePolicy, policy.Role)
	require.Equal(t, "guanaco", policy.Template)
	out := succeed(t, "", "adapter", "inspect", f.policy)
	require.Contains(t, out, "role        policy\n")
	require.Contains(t, out, sft.Content)
	require.Contains(t, succeed(t, "", "adapter", "inspect", f.sft), "trained on  the base alone\n")
	require.Contains(t, succeed(t, "", "adapter", "inspect", f.old), "not said: the stack cannot be checked")

	// The way through PEFT keeps it.
	dir, back := filepath.Join(t.TempDir(), "peft"), filepath.Join(t.TempDir(), "back.gguf")
	succeed(t, "", "adapter", "export", f.policy, "-m", m.Model, "-o", dir)
	code, _, errs := command(t, "", "adapter", "import", dir, "-m", m.Model, "-o", back)
	require.Zero(t, code)
	require.Empty(t, errs)
	again, err := inspect.DescribeAdapter(back, "", nil)
	require.NoError(t, err)
	require.Equal(t, policy.Content, again.Content)
	require.Equal(t, policy.TrainedOn, again.TrainedOn)
	require.Equal(t, policy.Template, again.Template)
}

// The prompts of generate are not the texts of score.
func TestGenerateNamesItsOwnFlag(t *testing.T) {
	failure{name: "not UTF-8", args: []string{"generate", "-m", demoModel(t).Model, "-p", "ok", "-p", "caf\xe9"},
		code: 1, says: []string{"generate: --prompt 2: not UTF-8"}}.run(t)
}
