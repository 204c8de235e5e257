package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/app/workspace"
	"steer/eval"
	"steer/eval/journal"
	"steer/eval/judge"
	"steer/ggml/lm"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/rollout"
	"steer/rl/run"
	"steer/rl/train"
)

// JudgedSamples says how answers are sampled, where there are prompts and no answers.
type JudgedSamples struct {
	Prompts data.Source `yaml:"prompts"`
	// Policies answer them; without any the judge itself does.
	Policies []JudgedPolicy `yaml:"policies"`
	// Samples is how many answers a policy gives to a prompt; 0 is as many as make a pair: 2 of one policy, 1 of each
	// of several.
	Samples         int     `yaml:"samples"`
	MaxPromptTokens int     `yaml:"max_prompt_tokens"`
	MaxNewTokens    int     `yaml:"max_new_tokens"`
	Temperature     float32 `yaml:"temperature"`
	TopK            int     `yaml:"top_k"`
	TopP            float32 `yaml:"top_p"`
	MinP            float32 `yaml:"min_p"`
	// BatchPrompts is how many prompts are answered between two writes to the disk.
	BatchPrompts int `yaml:"batch_prompts"`
}

// JudgedPolicy is a stack of adapters on the judge's base that answers prompts.
type JudgedPolicy struct {
	Name     string   `yaml:"name"`
	Adapters []string `yaml:"adapters"`
	// The form in which it is asked: that of its adapters, or the model's own, or chatml.
	Template     data.TemplateName `yaml:"template,omitempty"`
	System       *string           `yaml:"system,omitempty"`
	Date         data.Date         `yaml:"date,omitempty"`
	TemplateVars data.TemplateVars `yaml:"template_vars,omitempty"`
}

func newJudgedSamples() JudgedSamples {
	return JudgedSamples{MaxPromptTokens: 256, MaxNewTokens: 128, Temperature: 1, TopP: 1, BatchPrompts: 64}
}

// ParseJudgedPolicy reads NAME=FILE[,FILE], the adapters of a policy from the lowest up, or NAME alone, the bare base.
func ParseJudgedPolicy(text string) (JudgedPolicy, error) {
	if text != "" && !strings.Contains(text, "=") {
		return JudgedPolicy{Name: text}, nil
	}
	name, files, err := namedFiles(text)
	return JudgedPolicy{Name: name, Adapters: files}, err
}

// place makes paths absolute and adds them to the files, by role.
func (s *JudgedSamples) place(dir string, files map[string]string) {
	for i := range s.Policies {
		p := &s.Policies[i]
		for k := range p.Adapters {
			p.Adapters[k] = workspace.Abs(dir, p.Adapters[k])
			files[numbered(p.role(), k)] = p.Adapters[k]
		}
	}
}

// role begins the roles of a policy's adapters among the inputs.
func (p *JudgedPolicy) role() string { return "policy." + p.Name }

// answers is how many answers each policy gives to a prompt.
func (s *JudgedSamples) answers() int {
	switch {
	case s.Samples > 0:
		return s.Samples
	case len(s.Policies) > 1:
		return 1
	}
	return 2
}

// check finds mistakes before anything is opened.
func (s *JudgedSamples) check(recipe rewards.Recipe, theory rewards.TheoryName) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("judge: "+format, args...)) }
	var names []string
	for i, p := range s.Policies {
		switch {
		case p.Name == "":
			bad("policies[%d].name: want a name", i)
		case slices.Contains(names, p.Name):
			bad("policies[%d].name: want another name, %q is taken", i, p.Name)
		case len(p.Adapters) > 2:
			bad("policies[%d].adapters: want at most two: decoding takes no more; merge the others first", i)
		}
		names = append(names, p.Name)
	}
	if s.Samples < 0 || max(len(s.Policies), 1)*s.answers() < 2 {
		bad("samples: want two answers to a prompt or more, to compare them; %d of one policy are %d", s.Samples,
			s.answers())
	}
	if s.MaxPromptTokens < 1 || s.MaxNewTokens < 1 || s.BatchPrompts < 1 {
		bad("max_prompt_tokens, max_new_tokens and batch_prompts: want at least 1")
	}
	if s.Temperature <= 0 {
		bad("temperature: want more than 0, got %g: answers to one prompt would be the same", s.Temperature)
	}
	if s.TopK < 0 || s.TopP <= 0 || s.TopP > 1 || s.MinP < 0 || s.MinP >= 1 {
		bad("top_k, top_p, min_p: want at least 0, more than 0 and at most 1, and at least 0 and less than 1")
	}
	if theory != "" && theory != rewards.Custom {
		bad("theory: it says how a file of pairs is read; answers that are sampled have none")
	}
	if _, err := recipeOfAnswers(recipe); err != nil {
		bad("%w", err)
	}
	return errors.Join(errs...)
}

// fillForms takes the templates of the policies' adapters, or the model's own. Without a policy the judge answers, in
// the form in which it is asked.
func (s *JudgedSamples) fillForms(j *Judge) error {
	if s.Prompts.Path == "" {
		return nil
	}
	for i := range s.Policies {
		p := &s.Policies[i]
		err := workspace.FillForm(j.Model, &p.Template, &p.System, &p.Date, &p.TemplateVars, p.Adapters)
		if err != nil {
			return err
		}
	}
	return nil
}

// policies are those that answer.
func (j *Judge) policies() []JudgedPolicy {
	if len(j.Sampled.Policies) > 0 {
		return j.Sampled.Policies
	}
	return []JudgedPolicy{{Name: "judge", Adapters: j.Adapters, Template: j.Template, Date: j.Date,
		TemplateVars: j.TemplateVars}}
}

// answerer samples answers.
type answerer struct {
	judge.Sampling
	policies judge.Policies
	one      bool // pair a prompt
	file     run.DataFile
	name     string
	con      Console
}

// openAnswerer opens the policies and reads the prompts. Those that one of them cannot be asked are left out for all.
func (j *Judge) openAnswerer(w *workspace.Workspace, con Console, name string, planned bool) (*answerer, error) {
	one, err := recipeOfAnswers(j.Recipe)
	if err != nil {
		return nil, err
	}
	c := &j.Sampled
	a := &answerer{one: one, name: name, con: con, Sampling: judge.Sampling{
		Samples: c.answers(), MaxNew: c.MaxNewTokens, Batch: c.BatchPrompts, Seed: j.Seed, Planned: planned,
		Sampling: lm.Sampling{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP}}}
	a.OnBatch = func(policy string, done, answers int) {
		con.Progress.Step(train.Status{Stage: fmt.Sprintf("%s: %s answers", name, policy), Step: int64(done),
			Total: int64(answers)})
	}
	room := w.Model.Info().CtxTrain - c.MaxNewTokens
	if room < 1 {
		return nil, fmt.Errorf("judge: max_new_tokens %d leaves no room for a prompt in the model's context of %d "+
			"tokens: lower it", c.MaxNewTokens, w.Model.Info().CtxTrain)
	}
	longest := w.Within("max_prompt_tokens", c.MaxPromptTokens, room, "prompts")
	j.Derived.note("max_prompt_tokens", c.MaxPromptTokens, longest)
	for _, p := range j.policies() {
		o, err := j.openPolicy(w, p)
		if err != nil {
			return nil, fmt.Errorf("judge: policy %s: %w", p.Name, err)
		}
		var rows []rollout.Prompt
		rows, a.file, err = readPrompts(w, data.LoadPromptRows, c.Prompts, "prompts", o.Template, longest, room)
		if err != nil {
			return nil, fmt.Errorf("judge: prompts: %w", err)
		}
		for _, r := range rows {
			o.Prompts = append(o.Prompts, judge.Prompt{ID: r.ID, Text: r.Text, Tokens: r.Tokens, Turns: r.Messages})
		}
		a.policies = append(a.policies, o)
	}
	a.policies.KeepCommon()
	if a.file.Used = len(a.policies[0].Prompts); a.file.Used == 0 {
		return nil, fmt.Errorf("judge: prompts: %s: no prompt can be put to all policies: raise max_prompt_tokens",
			a.file.Path)
	}
	return a, nil
}

// openPolicy opens a stack that answers.
func (j *Judge) openPolicy(w *workspace.Workspace, p JudgedPolicy) (o judge.Policy, err error) {
	if err := workspace.FillForm(j.Model, &p.Template, &p.System, &p.Date, &p.TemplateVars, p.Adapters); err != nil {
		return o, err
	}
	form := workspace.Form{Template: p.Template, System: p.System, Date: p.Date, Vars: p.TemplateVars}
	if o.Template, o.Stop, err = w.Template(form); err != nil {
		return o, err
	}
	adapters, stack, err := w.LoadStack(p.Adapters, workspace.UsePolicy)
	if err != nil {
		return o, err
	}
	w.NoteForm(o.Template, stack...)
	role := p.role()
	if len(j.Sampled.Policies) == 0 {
		role = "adapter"
	}
	// How many sequences are decoded at once is part of the arithmetic of sampling.
	o.Subject = eval.Subject{Name: p.Name, Generator: w.Generator(adapters...), Tokenizer: w.Tok, ID: fmt.Sprintf(
		"policy %v in %s, %d sequences", j.identity(role, len(p.Adapters)), j.Engine.Precision, j.Engine.Sequences)}
	return o, nil
}

// pairs samples answers, what is kept of them first, and makes pairs.
func (a *answerer) pairs(ctx context.Context, asked *journal.Journal, runSeed uint64) (judged, error) {
	for i := range a.policies {
		a.policies[i].Subject = asked.Subject(a.policies[i].Subject)
	}
	rows, counts, err := a.Answers(ctx, a.policies)
	if err != nil {
		return judged{}, err
	}
	for i := range rows {
		rows[i].Source = run.CandidatesFile
	}
	set := judged{candidates: rows, sampled: &counts, files: []run.DataFile{a.file}, source: run.PairSource{
		Path: a.file.Path, Format: "sampled", Recipe: recipeName(a.one), Rows: a.file.Rows, Groups: len(rows)}}
	set.make(rows, a.one, runSeed)
	counts.Same = set.source.Identical
	a.con.Progress.Note(fmt.Sprintf("%s: %d answers to %d prompts: %d cut at %d tokens, %d empty and left out; %d "+
		"pairs of equal answers left out", a.name, counts.Answers, counts.Prompts, counts.Cut, a.MaxNew, counts.Empty,
		counts.Same))
	return set, set.none()
}
