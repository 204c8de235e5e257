package pipeline

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/demo"
	"steer/ggml/adapter"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/ppo"
	"steer/rl/train"
)

// trainedAdapter writes an adapter that changes what the model does and says what it is.
func trainedAdapter(t *testing.T, b *Bench, name string, seed uint64, meta map[string]string) string {
	t.Helper()
	a, err := adapter.New(b.Model.Shape(), []string{"attn_q", "attn_v"}, 2, 4, false, seed)
	require.NoError(t, err)
	for i := range a.Pairs {
		for j := range a.Pairs[i].B {
			a.Pairs[i].B[j] = float32((uint64(j)*seed)%7) / 100
		}
	}
	if role := adapter.Role(meta[adapter.MetaRole]); role == adapter.RoleReward || role == adapter.RolePolicy {
		a.Head = &adapter.Head{Weight: rewards.HeadScaled.Weights(b.Model.Shape().Embd, seed)}
	}
	a.Describe(meta)
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, a.Save(path))
	return path
}

// on is what an adapter says that was trained on top of the ones at paths.
func on(t *testing.T, b *Bench, role adapter.Role, more map[string]string, paths ...string) map[string]string {
	t.Helper()
	var below []adapter.Placed
	for _, p := range paths {
		a, err := adapter.LoadFor(p, b.Model.Shape())
		require.NoError(t, err)
		below = append(below, b.placed(p, a))
	}
	meta := map[string]string{adapter.MetaRole: string(role), adapter.MetaTrainedOn: adapter.TrainedOnText(below)}
	for k, v := range more {
		meta[k] = v
	}
	return meta
}

// said lists what a bench would tell the user now.
func said(b *Bench) string {
	n := &notes{}
	b.warn(n)
	return strings.Join(n.said, "\n")
}

func TestStacksAreChecked(t *testing.T) {
	j, _ := demoSFT(t)
	b := openDemo(t, j)
	sft := trainedAdapter(t, b, "sft.gguf", 1, on(t, b, adapter.RoleSFT, nil))
	policy := trainedAdapter(t, b, "ppo.gguf", 2, on(t, b, adapter.RolePolicy, nil, sft))
	old := trainedAdapter(t, b, "old.gguf", 3, map[string]string{"role": "policy"})

	_, err := b.LoadAdapters([]string{sft, policy})
	require.NoError(t, err)
	require.Empty(t, said(b))
	for _, stack := range [][]string{{policy}, {policy, sft}} {
		_, err = b.LoadAdapters(stack)
		require.ErrorIs(t, err, adapter.ErrStack)
		require.ErrorContains(t, err, "--any-stack (any_stack: true)")
	}
	_, err = b.LoadAdapters([]string{sft, old})
	require.NoError(t, err)
	_, err = b.LoadAdapters([]string{old})
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(said(b), "cannot be checked"), "once, not for every stack")
	require.Empty(t, said(b))

	b.AnyStack = true
	_, err = b.LoadAdapters([]string{policy})
	require.NoError(t, err)
	require.Contains(t, said(b), "warning: policy adapter "+policy+" was trained on an adapter of content")
}

func TestRolesAreChecked(t *testing.T) {
	j, _ := demoSFT(t)
	b := openDemo(t, j)
	sft := trainedAdapter(t, b, "sft.gguf", 1, on(t, b, adapter.RoleSFT, nil))
	policy := trainedAdapter(t, b, "ppo.gguf", 2, on(t, b, adapter.RolePolicy, nil))
	reward := trainedAdapter(t, b, "reward.gguf", 3, on(t, b, adapter.RoleReward, nil))
	bare := rewardAdapter(t, b, nil) // a head, and not a word

	load := func(path string) *adapter.Adapter {
		a, err := adapter.LoadFor(path, b.Model.Shape())
		require.NoError(t, err)
		return a
	}
	for _, c := range []struct {
		path string
		use  use
		says string // "": accepted
	}{
		{reward, useReward, ""}, {bare, useReward, ""}, {sft, useReward, "has no scalar head: it is not a reward model"},
		{policy, useReward, "is a policy's adapter (its head is a value head), not a reward model"},
		{sft, usePolicy, ""}, {policy, usePolicy, ""}, {bare, usePolicy, ""},
		{reward, usePolicy, "is a reward model, not a model that writes answers: name one made by steer sft or steer ppo"},
		{sft, useBelow, ""}, {policy, useBelow, ""}, {reward, useBelow, "is a reward model"}, {bare, useBelow, "does not say what it is"},
		{sft, useSFT, ""}, {reward, useSFT, "is a reward model"}, {bare, useSFT, "does not say what it is"},
		{sft, useInit, ""}, {reward, useInit, ""}, {bare, useInit, ""}, {policy, useInit, "is a policy's adapter"},
	} {
		err := checkRole(c.path, load(c.path), c.use)
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.says)
		require.ErrorContains(t, err, c.path)
	}
	_, err := openScorer(b, []string{reward}, bare, asking{}, 64)
	require.ErrorContains(t, err, "is a reward model, not the adapter below a reward model")
	_, err = openScorer(b, nil, policy, asking{}, 64)
	require.ErrorContains(t, err, "value head")
}

// rehearsePPO reads and checks a job of the demo as its run does.
func rehearsePPO(t *testing.T, b *Bench, assets demo.Paths, change func(j *PPO)) error {
	t.Helper()
	j, err := NewPPO(train.PresetDefault)
	require.NoError(t, err)
	j.Model, j.Prompts.Path, j.Engine.Threads = assets.Model, assets.Guanaco.Test, 1
	j.Iterations, j.MaxNewTokens, j.RolloutBatchSize, j.MiniBatchSize, j.MicroBatchSize = 1, 2, 2, 2, 2
	change(&j)
	if err := j.Resolve("", nil); err != nil {
		return err
	}
	_, p, err := rehearse(context.Background(), b, &j)
	if err != nil {
		return err
	}
	return p.Close()
}

// What a user may mix up in "steer ppo" is refused before anything is computed.
func TestPPORefusesTheWrongAdapters(t *testing.T) {
	s, assets := demoSFT(t)
	b := openDemo(t, s)
	form := map[string]string{rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco", rewards.MetaEOS: "true", rewards.MetaMaxLength: "64"}
	sft := trainedAdapter(t, b, "sft.gguf", 1, on(t, b, adapter.RoleSFT, map[string]string{adapter.MetaTemplate: "guanaco"}))
	policy := trainedAdapter(t, b, "ppo.gguf", 2, on(t, b, adapter.RolePolicy, nil, sft))
	reward := trainedAdapter(t, b, "reward.gguf", 3, on(t, b, adapter.RoleReward, form, sft))
	for says, change := range map[string]func(j *PPO){
		"":                                func(j *PPO) { j.SFT, j.RewardOn, j.Reward = []string{sft}, []string{sft}, reward },
		"lies on the base alone here":     func(j *PPO) { j.SFT, j.Reward = []string{sft}, reward },
		"value head":                      func(j *PPO) { j.SFT, j.RewardOn, j.Reward = []string{sft}, []string{sft}, policy },
		"not a model that writes answers": func(j *PPO) { j.SFT, j.RewardOn, j.Reward = []string{reward}, []string{sft}, reward },
	} {
		err := rehearsePPO(t, b, assets, change)
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
	}
	require.NoError(t, rehearsePPO(t, b, assets, func(j *PPO) { j.SFT, j.Reward, j.AnyStack = []string{sft}, reward, true }))
}

func TestForms(t *testing.T) {
	str := func(s string) *string { return &s }
	place := func(path, template string, system *string) adapter.Placed {
		a := &adapter.Adapter{Meta: map[string]string{adapter.MetaTemplate: template}}
		if system != nil {
			a.Meta[adapter.MetaSystem] = *system
		}
		return adapter.Placed{Path: path, Adapter: a}
	}
	guanaco, chatml := place("g", "guanaco", str("")), place("c", "chatml", str(data.DefaultSystem))
	odd, mute := place("o", "chatml", str("Be odd.")), adapter.Placed{Path: "m", Adapter: &adapter.Adapter{}}
	for name, c := range map[string]struct {
		given Form
		stack []adapter.Placed
		want  Form
		notes []string
	}{
		"bare base":            {stack: nil, want: Form{Template: "plain"}},
		"does not say":         {stack: []adapter.Placed{mute}, want: Form{Template: "plain"}},
		"says":                 {stack: []adapter.Placed{guanaco, mute}, want: Form{Template: "guanaco"}},
		"its own message":      {stack: []adapter.Placed{chatml}, want: Form{Template: "chatml"}},
		"another message":      {stack: []adapter.Placed{odd}, want: Form{"chatml", str("Be odd.")}},
		"named as stored":      {given: Form{Template: "chatml"}, stack: []adapter.Placed{odd}, want: Form{"chatml", str("Be odd.")}},
		"topmost":              {stack: []adapter.Placed{guanaco, chatml}, want: Form{Template: "chatml"}, notes: []string{"g was trained with template guanaco, used with chatml"}},
		"contradicted":         {given: Form{Template: "hh"}, stack: []adapter.Placed{guanaco}, want: Form{Template: "hh"}, notes: []string{"g was trained with template guanaco, used with hh"}},
		"contradicted message": {given: Form{System: str("")}, stack: []adapter.Placed{odd}, want: Form{"chatml", str("")}, notes: []string{`o was trained with system message "Be odd.", used with ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, notes, err := ChooseForm(c.given, c.stack, data.TemplatePlain)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			require.Len(t, notes, len(c.notes), "%v", notes)
			for i := range c.notes {
				require.Contains(t, notes[i], c.notes[i])
			}
		})
	}
	_, _, err := ChooseForm(Form{}, []adapter.Placed{place("x", "jinja", nil)}, "")
	require.ErrorContains(t, err, `got "jinja"`)
}

// A job without a template takes that of the adapters it stands on.
func TestJobsTakeTheTemplateOfTheirAdapters(t *testing.T) {
	s, assets := demoSFT(t)
	b := openDemo(t, s)
	stored := map[string]string{adapter.MetaTemplate: "hh", adapter.MetaSystem: "Be kind."}
	sft := trainedAdapter(t, b, "sft.gguf", 1, on(t, b, adapter.RoleSFT, stored))
	policy := trainedAdapter(t, b, "ppo.gguf", 2, on(t, b, adapter.RolePolicy, stored, sft))
	reward := trainedAdapter(t, b, "reward.gguf", 3, on(t, b, adapter.RoleReward, nil, sft))

	p, err := NewPPO(train.PresetDefault)
	require.NoError(t, err)
	p.Model, p.Prompts.Path, p.SFT, p.Reward = assets.Model, assets.Guanaco.Train, []string{sft}, reward
	require.NoError(t, p.Resolve("", nil))
	r, err := NewReward(train.PresetDefault)
	require.NoError(t, err)
	r.Model, r.Theory, r.Train.Path, r.On = assets.Model, rewards.Custom, assets.Guanaco.Train, []string{sft}
	require.NoError(t, r.Resolve("", nil))
	e := NewEval()
	e.Model, e.Subjects = assets.Model, []Subject{{Name: "sft", Adapters: []string{sft}}, {Name: "p", Adapters: []string{sft, policy}}}
	require.NoError(t, e.Resolve("", nil))
	c, err := NewSFT("")
	require.NoError(t, err)
	c.Model, c.Train.Path, c.InitAdapter = assets.Model, assets.Guanaco.Train, sft
	require.NoError(t, c.Resolve("", nil))
	for _, got := range []Form{{p.Template, p.System}, {r.Template, r.System}, {e.Template, e.System}, {c.Template, c.System}} {
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

// A reward model reads the conversations of a policy that speaks another template in the
// form of its own training: the score is that of the same conversation put so.
func TestRewardModelReadsAnotherTemplateInItsOwn(t *testing.T) {
	j, _ := demoSFT(t)
	b := openDemo(t, j)
	meta := map[string]string{rewards.MetaRole: "reward", rewards.MetaForm: "chat", rewards.MetaTemplate: "guanaco", rewards.MetaEOS: "true", rewards.MetaMaxLength: "40"}
	path := rewardAdapter(t, b, meta)
	hh, err := data.NewTemplate(data.TemplateHH, nil)
	require.NoError(t, err)
	prompt := []data.Message{{Role: data.RoleUser, Content: "Hi"}}
	x, err := data.Tokenize(b.Tok, hh.Prompt(prompt), data.TokenizeOptions{})
	require.NoError(t, err)
	answer, err := b.Tok.Encode(" Yes.\n\nHuman:", false, false)
	require.NoError(t, err)
	episode := ppo.Episode{Prompt: x.IDs, Response: answer, PromptText: "\n\nHuman: Hi\n\nAssistant:", ResponseText: " Yes.\n\nHuman:", PromptMessages: prompt}

	for _, text := range []RewardText{RewardTokens, RewardRetokenized} {
		s, err := openScorer(b, nil, path, asking{template: hh, stop: []int32{b.Tok.EOS()}, text: text}, 512)
		require.NoError(t, err)
		require.True(t, s.reencode)
		got, err := s.Score(context.Background(), []ppo.Episode{episode})
		require.NoError(t, err)
		enc, err := rewards.EncoderOf(meta, b.Tok)
		require.NoError(t, err)
		ids, err := enc.Conversation([]data.Message{prompt[0], {Role: data.RoleAssistant, Content: "Yes."}})
		require.NoError(t, err)
		want, err := s.Raw(context.Background(), [][]int32{ids})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Contains(t, said(b), "was trained with template guanaco, answers are asked for with hh: prompts and answers are put before it in its own form")

	// In its own template it reads the very tokens.
	guanaco, err := data.NewTemplate(data.TemplateGuanaco, nil)
	require.NoError(t, err)
	s, err := openScorer(b, nil, path, asking{template: guanaco, stop: []int32{b.Tok.EOS()}, text: RewardTokens}, 512)
	require.NoError(t, err)
	require.False(t, s.reencode)
	got, err := s.Score(context.Background(), []ppo.Episode{episode})
	require.NoError(t, err)
	want, err := s.Raw(context.Background(), [][]int32{append(append(append([]int32{}, x.IDs...), answer...), b.Tok.EOS())})
	require.NoError(t, err)
	require.Equal(t, want, got)

	// The system message is part of the form.
	other := "Be brief."
	own, err := data.NewTemplate(data.TemplateGuanaco, &other)
	require.NoError(t, err)
	s, err = openScorer(b, nil, path, asking{template: own, stop: []int32{b.Tok.EOS()}, text: RewardTokens}, 512)
	require.NoError(t, err)
	require.True(t, s.reencode)
}
