package jobs

import (
	"errors"
	"fmt"

	"steer/app/source"
	"steer/app/workspace"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/rl/data"
	"steer/rl/mixture"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// Sampled is what jobs share whose policy learns from its own answers: who scores them, and the prompts.
type Sampled struct {
	Policy `yaml:",inline"`
	// Reward is the reward model's adapter, on the base and RewardBelow.
	Reward string `yaml:"reward"`
	// RewardBelow lists the adapters below the reward adapter.
	RewardBelow []string `yaml:"reward_below"`
	// Rewards takes the place of both where there are several.
	Rewards RewardEntries `yaml:"rewards,omitempty"`
	// Prompts are answered in training, HeldOut before and after it.
	Prompts         data.Source `yaml:"prompts"`
	HeldOut         data.Source `yaml:"held_out"`
	MaxPromptTokens int         `yaml:"max_prompt_tokens"`
	// LoRA is the adapter that is trained.
	LoRA train.LoRA `yaml:"lora"`
	// RewardText says what the reward model reads.
	RewardText RewardText `yaml:"reward_text"`
	// ScoreBatchTokens bounds a batch of the reward model.
	ScoreBatchTokens int `yaml:"score_batch_tokens"`
}

// RewardText names what the reward model is given of an episode.
type RewardText string

// The forms.
const (
	// RewardTokens: the very tokens of prompt and response, closed with the template's
	// end token where the response did not reach it, so that the score is read where
	// the reward model was trained to give it.
	RewardTokens RewardText = "tokens"
	// RewardRetokenized: prompt and decoded response as one text, tokenized again, as
	// trl's pipeline did.
	RewardRetokenized RewardText = "retokenized"
)

// Values lists the forms.
func (RewardText) Values() []string { return []string{string(RewardTokens), string(RewardRetokenized)} }

// newSampled is what such jobs start from.
func newSampled() Sampled {
	return Sampled{
		Policy:          Policy{Engine: workspace.DefaultEngine()},
		MaxPromptTokens: 256, ScoreBatchTokens: 2048, RewardText: RewardTokens,
		LoRA: train.LoRA{Rank: 16, Alpha: 32,
			Targets: []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}},
	}
}

// Names implements Job.
func (j *Sampled) Names() []Name {
	names := append(namesAt("sft", source.Adapter, j.SFT), namesAt("reward_below", source.Adapter, j.RewardBelow)...)
	return append(append(names, j.Rewards.named()...),
		nameAt("model", source.Model, &j.Model), nameAt("reward", source.Adapter, &j.Reward),
		nameAt("prompts.path", source.Data, &j.Prompts.Path), nameAt("held_out.path", source.Data, &j.HeldOut.Path))
}

// resolve makes paths absolute and hashes the inputs of a job of a kind; m joins its rewards, check is what its
// trainer finds wrong.
func (j *Sampled) resolve(
	kind Kind, dir string, hashes *filehash.Cache, m mixture.Config, check error,
) (Inputs, error) {
	paths := append(j.paths(), &j.Reward, &j.Prompts.Path, &j.HeldOut.Path)
	for i := range j.RewardBelow {
		paths = append(paths, &j.RewardBelow[i])
	}
	for _, p := range paths {
		*p = workspace.Abs(dir, *p)
	}
	j.Rewards.Place(dir)
	var errs []error
	need := func(key, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s: %s: want a path", kind, key))
		}
	}
	if err := modelfile.Trainable(j.Model); err != nil {
		return nil, err
	}
	need("model", j.Model)
	if len(j.Rewards) == 0 {
		need("reward", j.Reward)
	} else if j.Reward != "" || len(j.RewardBelow) > 0 {
		errs = append(errs, fmt.Errorf("%s: rewards: takes the place of reward and reward_below: leave these out",
			kind))
	} else if err := j.Rewards.Check(m); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", kind, err))
	}
	need("prompts.path", j.Prompts.Path)
	if j.MaxPromptTokens < 1 || j.ScoreBatchTokens < 1 {
		errs = append(errs, fmt.Errorf("%s: max_prompt_tokens and score_batch_tokens: want at least 1", kind))
	}
	errs = append(errs, j.checkStack(kind), j.Engine.Validate(), j.LoRA.Validate("lora"), check,
		checkSource("prompts", j.Prompts), checkSource("held_out", j.HeldOut), j.fillForm())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	files := j.files()
	if j.Rewards.files(files); len(j.Rewards) == 0 {
		files["reward"] = j.Reward
	}
	for i, p := range j.RewardBelow {
		files[numbered("reward_below", i)] = p
	}
	return inputsOf(hashes, files, map[string]string{"prompts": j.Prompts.Path, "held_out": j.HeldOut.Path})
}

// sampling is what a job has open when its trainer starts.
type sampling struct {
	models        policyModels
	stop          []int32
	scorer        rollout.Scorer
	rewards       *joined // nil where there is one reward model alone
	theory        string  // of the reward model, where there is one alone
	prompts, held []rollout.Prompt
	files         []run.DataFile // what was read
	longest       int            // prompt, in tokens
}

// open opens the models of a job with answers of at most maxNew tokens, and reads its prompts. tpl is the job's
// form, opened; dir is the run folder. The result is closed.
func (j *Sampled) open(
	w *workspace.Workspace, con Console, job Maker, tpl *data.Template, stop []int32, maxNew int, dir string,
) (s sampling, err error) {
	kind := job.Kind()
	s.stop = stop
	room := w.Model.Info().CtxTrain - maxNew
	if room < 1 {
		return s, fmt.Errorf("%s: max_new_tokens %d leaves no room for a prompt in the model's context of %d tokens: "+
			"lower it", kind, maxNew, w.Model.Info().CtxTrain)
	}
	s.longest = w.Within("max_prompt_tokens", j.MaxPromptTokens, room, "prompts")
	if s.models, err = j.openModels(w, job, tpl, j.LoRA, true); err != nil {
		return s, err
	}
	if err := j.openScorer(w, con, &s, asking{template: tpl, stop: stop, text: j.RewardText}, dir); err != nil {
		return s, fmt.Errorf("%s: %w", kind, err)
	}
	if s.prompts, s.held, s.files, err = j.readPrompts(w, tpl, s.longest, room); err == nil && s.rewards != nil {
		err = errors.Join(s.rewards.checkRows(s.prompts), s.rewards.checkRows(s.held))
	}
	if err != nil {
		return s, errors.Join(fmt.Errorf("%s: %w", kind, err), s.close())
	}
	return s, nil
}

// close ends the programs of reward functions.
func (s *sampling) close() error {
	if s.rewards == nil {
		return nil
	}
	return s.rewards.Close()
}

// openScorer opens what scores the answers.
func (j *Sampled) openScorer(w *workspace.Workspace, con Console, s *sampling, asked asking, dir string) error {
	if len(j.Rewards) > 0 {
		all, err := openRewards(w, j.Rewards, asked, j.ScoreBatchTokens, con.Progress.Note, dir)
		if err != nil {
			return err
		}
		s.scorer, s.rewards = all, all
		return nil
	}
	one, err := openScorer(w, j.RewardBelow, j.Reward, asked, j.ScoreBatchTokens)
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	s.scorer, s.theory = one, one.theory
	return nil
}

// readPrompts reads the prompts to answer and the held-out ones; files say what was read.
func (j *Sampled) readPrompts(
	w *workspace.Workspace, tpl *data.Template, longest, room int,
) (prompts, held []rollout.Prompt, files []run.DataFile, err error) {
	load := data.LoadPrompts
	if j.Rewards.functions() {
		load = data.LoadPromptRows
	}
	prompts, file, err := readPrompts(w, load, j.Prompts, "prompts", tpl, longest, room)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("prompts: %w", err)
	}
	files = append(files, file)
	if j.HeldOut.Path != "" {
		if held, file, err = readPrompts(w, load, j.HeldOut, "held-out", tpl, longest, room); err != nil {
			return nil, nil, nil, fmt.Errorf("held_out: %w", err)
		}
		files = append(files, file)
	}
	return prompts, held, files, nil
}

// deps are the trainer's.
func (s *sampling) deps(
	w *workspace.Workspace, con Console, st *stage, name string, meta map[string]string,
) rollout.Deps {
	m := s.models
	return rollout.Deps{
		Deps: train.Deps{
			Stage: name, Learner: m.policy, Run: st.folder, Progress: con.Progress, Stopper: con.Stopper,
			AdapterOf: adapterOf(m.host, meta),
		},
		Reference: m.reference, Generator: w.Generator(m.stack...), Scorer: s.scorer, Tokenizer: w.Tok,
		StopTokens: s.stop, Prompts: s.prompts, Heldout: s.held, Baseline: w.Generator(m.stack[:len(m.stack)-1]...),
	}
}

// tell says which prompts there are, and what rounding on a GPU allows.
func (s *sampling) tell(con Console, name string, g *rollout.Guards, rounding bool) {
	for _, f := range s.files {
		con.Progress.Note(fmt.Sprintf("%s: %s: %d prompts, %d of more than %d tokens left out",
			name, f.Role, f.Used, *f.Dropped, s.longest))
	}
	if rounding {
		con.Progress.Note(fmt.Sprintf("%s: on a GPU in bf16 ratio_tolerance is %g for all but %g %% of the tokens "+
			"(ratio_outliers): how products are rounded depends on their batch there",
			name, g.RatioTolerance, 100*g.RatioOutliers))
	}
}

// derive notes what runs otherwise than it is configured.
func (s *sampling) derive(d *Derived, j *Sampled, set, ran *rollout.Sampling, guards, ranGuards *rollout.Guards) {
	*d = nil
	d.note("max_prompt_tokens", j.MaxPromptTokens, s.longest)
	if len(ran.StopStrings) > 0 {
		d.note("stop_strings", set.StopStrings, ran.StopStrings)
	}
	d.note("ratio_tolerance", guards.RatioTolerance, ranGuards.RatioTolerance)
	d.note("ratio_outliers", guards.RatioOutliers, ranGuards.RatioOutliers)
}

// ended fills in what every result of a sampled policy says.
func ended(files []run.DataFile, runSeed *uint64, res run.PolicySummary) run.Record {
	r := run.Record{Data: files, Seed: runSeed, Warnings: append([]string(nil), res.Alerts...)}
	if res.StoppedBecause != "" { // a guard ended it: the result says so, later stages may go on
		r.Status, r.Reason = run.StatusStopped, res.StoppedBecause
	}
	return r
}
