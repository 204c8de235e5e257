package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"steer/app/workspace"
	"steer/ggml"
	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
	"steer/internal/seed"
	"steer/rl/data"
	"steer/rl/ppo"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// ValueInit names the first weights of the value head.
type ValueInit string

// The initialisations.
const (
	// ValueZero starts the value at 0 everywhere (Huang et al. 2024, detail l).
	ValueZero ValueInit = "zero"
	// ValueUniform is torch's Linear default, as trl 0.7.1 leaves it.
	ValueUniform ValueInit = "uniform"
)

// Values lists the initialisations.
func (ValueInit) Values() []string { return []string{string(ValueZero), string(ValueUniform)} }

// PPO is one PPO job: a policy steered by one reward model.
type PPO struct {
	Model  string                 `yaml:"model"`
	Engine workspace.EngineConfig `yaml:"engine"`
	// Template and System are those the SFT adapter was trained with: its own where none is
	// given, or chatml.
	Template data.TemplateName `yaml:"template,omitempty"`
	System   *string           `yaml:"system,omitempty"`
	// Date is what a model's own template shows as today.
	Date data.Date `yaml:"date,omitempty"`
	// TemplateVars are variables of a model's own template, such as enable_thinking.
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
	// SFT lists the adapters of the reference policy; the trained one lies on top.
	SFT []string `yaml:"sft"`
	// Reward is the reward model's adapter, on the base and RewardBelow.
	Reward string `yaml:"reward"`
	// RewardBelow lists the adapters below the reward adapter.
	RewardBelow []string `yaml:"reward_below"`
	// AnyStack lets adapters lie on others than they were trained on, aloud.
	AnyStack bool `yaml:"any_stack,omitempty"`
	// Prompts are answered in training, HeldOut before and after it.
	Prompts         data.Source `yaml:"prompts"`
	HeldOut         data.Source `yaml:"held_out"`
	MaxPromptTokens int         `yaml:"max_prompt_tokens"`
	// LoRA is the adapter that is trained.
	LoRA train.LoRA `yaml:"lora"`
	// ValueInit is the start of the value head.
	ValueInit ValueInit `yaml:"value_init"`
	// RewardText says what the reward model reads.
	RewardText RewardText `yaml:"reward_text"`
	// ScoreBatchTokens bounds a batch of the reward model.
	ScoreBatchTokens int `yaml:"score_batch_tokens"`

	ppo.Config `yaml:",inline"`

	// Derived is filled in: what ran otherwise than it is configured.
	Derived Derived `yaml:"derived,omitempty"`

	Inputs Inputs `yaml:"inputs,omitempty"`
	// Sources is filled in: what came from a hub.
	Sources Sources `yaml:"sources,omitempty"`

	opened *data.Template // when the job runs
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

// NewPPO is the job of a preset.
func NewPPO(p train.Preset) (PPO, error) {
	c, err := ppo.New(p)
	j := PPO{
		Engine: workspace.DefaultEngine(), MaxPromptTokens: 256, ScoreBatchTokens: 2048, Config: c,
		ValueInit: ValueZero, RewardText: RewardTokens,
		LoRA: train.LoRA{Rank: 16, Alpha: 32,
			Targets: []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}},
	}
	if p == train.PresetThesis {
		j.MaxPromptTokens, j.ValueInit, j.RewardText = 512, ValueUniform, RewardRetokenized
		j.LoRA = train.LoRA{Rank: 16, Alpha: 32, Dropout: 0.05, Targets: []string{"attn_q", "attn_v"}}
	}
	return j, err
}

// PPOMethod steers a policy.
func PPOMethod() Method {
	return Method{PPOKind, "preset", func(preset string) (Job, error) {
		j, err := NewPPO(train.Preset(preset))
		return &j, err
	}}
}

// Base implements Job.
func (j *PPO) Base() (string, workspace.EngineConfig) { return j.Model, j.Engine }

// Folder implements Job.
func (j *PPO) Folder() string { return "ppo" }

// Kind implements Job.
func (j *PPO) Kind() Kind { return PPOKind }

// Read implements Job.
func (j *PPO) Read() Inputs { return j.Inputs }

// Clone implements Job.
func (j *PPO) Clone() Job {
	c := *j
	return &c
}

// Knobs implements Job.
func (j *PPO) Knobs() Knobs {
	return Knobs{&j.Engine.KeepActivations, []Knob{
		{"micro_batch_size", &j.MicroBatchSize, true},
		{"score_batch_tokens", &j.ScoreBatchTokens, false},
		{"engine.sequences", &j.Engine.Sequences, false},
	}}
}

// Resolve makes paths absolute and hashes the inputs.
func (j *PPO) Resolve(dir string, hashes *filehash.Cache) (err error) {
	paths := []*string{&j.Model, &j.Reward, &j.Prompts.Path, &j.HeldOut.Path}
	for i := range j.SFT {
		paths = append(paths, &j.SFT[i])
	}
	for i := range j.RewardBelow {
		paths = append(paths, &j.RewardBelow[i])
	}
	for _, p := range paths {
		*p = workspace.Abs(dir, *p)
	}
	var errs []error
	need := func(key, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("ppo: %s: want a path", key))
		}
	}
	if err := modelfile.Trainable(j.Model); err != nil {
		return err
	}
	need("model", j.Model)
	need("reward", j.Reward)
	need("prompts.path", j.Prompts.Path)
	if len(j.SFT) > 1 {
		errs = append(errs, errors.New("ppo: sft: want at most one adapter: decoding takes two, and the policy's is "+
			"the second; merge the others first"))
	}
	if j.MaxPromptTokens < 1 || j.ScoreBatchTokens < 1 {
		errs = append(errs, errors.New("ppo: max_prompt_tokens and score_batch_tokens: want at least 1"))
	}
	errs = append(errs, j.Engine.Validate(), j.LoRA.Validate("lora"), j.Config.Validate(),
		checkSource("prompts", j.Prompts), checkSource("held_out", j.HeldOut), j.fillForm())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	files := map[string]string{"model": j.Model, "reward": j.Reward}
	for i, p := range j.SFT {
		files[numbered("sft", i)] = p
	}
	for i, p := range j.RewardBelow {
		files[numbered("reward_below", i)] = p
	}
	j.Inputs, err = inputsOf(hashes, files, map[string]string{"prompts": j.Prompts.Path, "held_out": j.HeldOut.Path})
	return err
}

// The least that ratios are allowed on a GPU in bf16. cuBLAS rounds a product as the size of its
// batch has it, so that the log-probabilities of the same weights differ between the batches of
// rollout and update, most where they are small. Of SmolLM2-135M on an H100 the worst of some
// hundred tokens was off by 0.1 to 0.3, once by 0.6 at a log-probability of -10; what this
// check is for, dropout or another adapter, moves most tokens.
const (
	gpuRatioTolerance = 0.5
	gpuRatioOutliers  = 0.02
)

// allowRounding raises what ratios are allowed before anything was learned to what rounding
// does on a GPU in bf16, and tells whether that changed anything; tolerance 0 stays unchecked.
func allowRounding(g *rollout.Guards, gpu bool, p ggml.Precision) bool {
	if !gpu || p != ggml.BF16 || g.RatioTolerance == 0 {
		return false
	}
	before := *g
	g.RatioTolerance, g.RatioOutliers = max(g.RatioTolerance, gpuRatioTolerance), max(g.RatioOutliers,
		gpuRatioOutliers)
	return *g != before
}

// Run steers, or goes on from the newest checkpoint in dir.
func (j *PPO) Run(
	ctx context.Context, w *workspace.Workspace, con Console, name, dir string, fresh bool,
) (err error) {
	w.SHA256, w.AnyStack = j.Inputs["model"], j.AnyStack
	// 1. The form in which prompts are put, and how long they may be.
	if err := j.fillForm(); err != nil {
		return err
	}
	tpl, stop, err := w.Template(j.form())
	if err != nil {
		return err
	}
	j.opened = tpl
	room := w.Model.Info().CtxTrain - j.MaxNewTokens
	if room < 1 {
		return fmt.Errorf("ppo: max_new_tokens %d leaves no room for a prompt in the model's context of %d tokens: "+
			"lower it",
			j.MaxNewTokens, w.Model.Info().CtxTrain)
	}
	longest := w.Within("max_prompt_tokens", j.MaxPromptTokens, room, "prompts")
	// 2. Reference and policy, and the reward model.
	m, err := j.openModels(w, tpl)
	if err != nil {
		return err
	}
	scorer, err := openScorer(w, j.RewardBelow, j.Reward, asking{template: tpl, stop: stop, text: j.RewardText},
		j.ScoreBatchTokens)
	if err != nil {
		return fmt.Errorf("ppo: reward: %w", err)
	}
	// 3. Prompts to learn from, and to measure on.
	prompts, held, files, err := j.readPrompts(w, tpl, longest, room)
	if err != nil {
		return err
	}
	// 4. What runs otherwise than it is configured.
	cfg := j.Config
	if cfg.EOS == rollout.EOSStop && len(cfg.StopStrings) == 0 {
		cfg.StopStrings = tpl.StopStrings()
	}
	rounding := allowRounding(&cfg.Guards, w.OnGPU(), w.Engine.Precision)
	j.derive(&cfg, longest)
	// 5. The run.
	s, err := openStage(w, con, j, name, dir, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, f := range files {
		con.Progress.Note(fmt.Sprintf("%s: %s: %d prompts, %d of more than %d tokens left out",
			name, f.Role, f.Used, *f.Dropped, longest))
	}
	if rounding {
		con.Progress.Note(fmt.Sprintf("%s: on a GPU in bf16 ratio_tolerance is %g for all but %g %% of the tokens "+
			"(ratio_outliers): how products are rounded depends on their batch there",
			name, cfg.RatioTolerance, 100*cfg.RatioOutliers))
	}
	res, err := ppo.Train(ctx, cfg, ppo.Deps{
		Deps: rollout.Deps{
			Deps: train.Deps{
				Stage: name, Learner: m.policy, Run: s.folder, Progress: con.Progress, Stopper: con.Stopper,
				AdapterOf: adapterOf(m.host, j.Meta(m.trainedOn)),
			},
			Reference: m.reference, Generator: w.Generator(m.stack...), Scorer: scorer, Tokenizer: w.Tok,
			StopTokens: stop, Prompts: prompts, Heldout: held, Baseline: w.Generator(m.stack[:len(m.stack)-1]...),
		},
		FullKL: w.KL(m.policy, m.reference),
	})
	if err != nil {
		return err
	}
	// 6. The result.
	result := &run.PPO{Record: run.Record{Data: files, Seed: &j.Seed}, PolicySummary: res, Theory: scorer.theory}
	if res.StoppedBecause != "" { // a guard ended it: the result says so, later stages may go on
		result.Status, result.Reason = run.StatusStopped, res.StoppedBecause
	}
	return s.finish(w, j.Inputs, result)
}

// policyModels are the language models of a PPO run.
type policyModels struct {
	reference lm.Evaluator
	policy    lm.Learner
	stack     []*ggml.Adapter // of the policy, the trained adapter last
	host      *adapter.Adapter
	trainedOn string // what host says of the adapters below it
}

// openModels opens the reference, which is the SFT stack, and the policy on top of it.
func (j *PPO) openModels(w *workspace.Workspace, tpl *data.Template) (m policyModels, err error) {
	sftAdapters, below, err := w.LoadStack(j.SFT, workspace.UsePolicy)
	if err != nil {
		return m, fmt.Errorf("ppo: sft: %w", err)
	}
	w.NoteForm(tpl, below...)
	m.trainedOn = adapter.TrainedOnText(below)
	if m.reference, err = w.Step(sftAdapters, false, 0); err != nil {
		return m, err
	}
	if m.host, err = j.NewAdapter(w); err != nil {
		return m, err
	}
	live, err := w.Adapter(m.host, true)
	if err != nil {
		return m, err
	}
	m.stack = append(slices.Clone(sftAdapters), live)
	m.policy, err = w.Step(m.stack, true, j.LoRA.Dropout)
	return m, err
}

// readPrompts reads the prompts to answer and the held-out ones; files say what was read.
func (j *PPO) readPrompts(
	w *workspace.Workspace, tpl *data.Template, longest, room int,
) (prompts, held []rollout.Prompt, files []run.DataFile, err error) {
	prompts, file, err := readPrompts(w, j.Prompts, "prompts", tpl, longest, room)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("ppo: prompts: %w", err)
	}
	files = append(files, file)
	if j.HeldOut.Path != "" {
		if held, file, err = readPrompts(w, j.HeldOut, "held-out", tpl, longest, room); err != nil {
			return nil, nil, nil, fmt.Errorf("ppo: held_out: %w", err)
		}
		files = append(files, file)
	}
	return prompts, held, files, nil
}

// Meta implements Maker: what the policy's adapter says of itself.
func (j *PPO) Meta(trainedOn string) map[string]string {
	m := map[string]string{
		adapter.MetaRole: string(adapter.RolePolicy), adapter.MetaBase: j.Inputs["model"],
		adapter.MetaTrainedOn: trainedOn,
	}
	maps.Copy(m, j.form().Meta(j.opened))
	return m
}

func (j *PPO) form() workspace.Form {
	return workspace.Form{Template: j.Template, System: j.System, Date: j.Date, Vars: j.TemplateVars}
}

// fillForm takes the template of the adapters below, or the model's own.
func (j *PPO) fillForm() error {
	return workspace.FillForm(j.Model, &j.Template, &j.System, &j.Date, &j.TemplateVars, j.SFT)
}

// derive notes what runs otherwise than it is configured.
func (j *PPO) derive(ran *ppo.Config, longest int) {
	j.Derived = nil
	j.Derived.note("max_prompt_tokens", j.MaxPromptTokens, longest)
	if len(ran.StopStrings) > 0 {
		j.Derived.note("stop_strings", j.StopStrings, ran.StopStrings)
	}
	j.Derived.note("ratio_tolerance", j.RatioTolerance, ran.RatioTolerance)
	j.Derived.note("ratio_outliers", j.RatioOutliers, ran.RatioOutliers)
}

// NewAdapter implements Maker: the policy's at the start, with its value head.
func (j *PPO) NewAdapter(w *workspace.Workspace) (*adapter.Adapter, error) {
	host, err := adapter.New(w.Model.Shape(), j.LoRA.Targets, j.LoRA.Rank, float32(j.LoRA.Alpha), j.LoRA.RsLoRA,
		seed.Derive(j.Seed, "ppo.lora"))
	if err != nil {
		return nil, err
	}
	host.Head = adapter.NewValueHead(w.Model.Shape().Embd, seed.Derive(j.Seed, "ppo.value"))
	if j.ValueInit == ValueZero {
		clear(host.Head.Weight)
		host.Head.Bias = 0
	}
	return host, nil
}

// readPrompts reads conversations and renders what comes before the first answer. Longer
// ones than max, and those that ask nothing, are left out and counted.
func readPrompts(
	w *workspace.Workspace, src data.Source, role string, tpl *data.Template, max, room int,
) ([]rollout.Prompt, run.DataFile, error) {
	rows, loaded, err := data.LoadPrompts(src)
	if err != nil {
		return nil, run.DataFile{}, err
	}
	w.NoteData(loaded)
	var out []rollout.Prompt
	dropped, noQuestion, shortest, left := 0, 0, 0, 0
	var refused *data.Refusal
	for _, c := range rows {
		question := c.FirstPrompt()
		if question == nil {
			noQuestion++
			continue
		}
		segments, err := tpl.Prompt(question)
		if errors.As(err, &refused) && refused.Raised {
			left++
			continue
		}
		if err != nil {
			return nil, run.DataFile{}, fmt.Errorf("%s: line %d: %w", loaded.Path, c.Line, err)
		}
		e, err := data.Tokenize(w.Tok, segments, data.TokenizeOptions{})
		if err != nil {
			return nil, run.DataFile{}, fmt.Errorf("%s: line %d: %w", loaded.Path, c.Line, err)
		}
		if len(e.IDs) == 0 || len(e.IDs) > max {
			if dropped++; shortest == 0 || len(e.IDs) < shortest {
				shortest = len(e.IDs)
			}
			continue
		}
		out = append(out, rollout.Prompt{Tokens: e.IDs, Text: data.Text(segments, "", ""), Messages: question})
	}
	if left > 0 && left+noQuestion == len(rows) {
		return nil, run.DataFile{}, fmt.Errorf("%s: all of %d prompts: %w", loaded.Path, left, refused)
	}
	if left > 0 {
		w.Warn(fmt.Sprintf("%s: %d of %d prompts are left out: %v", loaded.Path, left, len(rows), refused))
	}
	if len(out) == 0 {
		return nil, run.DataFile{},
			fmt.Errorf("%s: %s", loaded.Path, noPrompt(len(rows), noQuestion, shortest, max, room))
	}
	info := run.DataFile{
		Path: loaded.Path, Role: role, Rows: loaded.Rows, Used: len(out), Dropped: &dropped,
		NoQuestion: noQuestion, Refused: left,
	}
	if noQuestion > 0 {
		w.Warn(fmt.Sprintf("%s: %d of %d conversations ask nothing (no user message before the first answer) and "+
			"were left out",
			loaded.Path, noQuestion, len(rows)))
	}
	return out, info, nil
}

// noPrompt says why no prompt is left of n, and what helps. The shortest has so many
// tokens; max are allowed, room is what the model's context leaves beside the answer.
func noPrompt(n, noQuestion, shortest, max, room int) string {
	if noQuestion == n {
		return fmt.Sprintf("none of %d conversations asks anything: want a user message before the first answer", n)
	}
	s := fmt.Sprintf("none of %d prompts has at most %d tokens; the shortest has %d: ", n-noQuestion, max, shortest)
	if shortest > room {
		return s + fmt.Sprintf("the model's context leaves room for %d beside the answer: shorten the prompts, lower "+
			"max_new_tokens, or take a model with a longer context", room)
	}
	return s + "raise max_prompt_tokens"
}
