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
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/rewards"
	"steer/rl/data"
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
	*JudgedSamples
	con      Console
	name     string
	runSeed  uint64
	one      bool // pair a prompt
	planned  bool // nothing is answered in earnest
	policies []openPolicy
	prompts  [][]query.Prompt // of each policy, in its form: the same ones
	file     run.DataFile
}

type openPolicy struct {
	eval.Subject
	template *data.Template
	stop     []int32
}

// openAnswerer opens the policies and reads the prompts. Those that one of them cannot be asked are left out for all.
func (j *Judge) openAnswerer(w *workspace.Workspace, con Console, name string, planned bool) (*answerer, error) {
	one, err := recipeOfAnswers(j.Recipe)
	if err != nil {
		return nil, err
	}
	a := &answerer{JudgedSamples: &j.Sampled, con: con, name: name, runSeed: j.Seed, one: one, planned: planned}
	room := w.Model.Info().CtxTrain - a.MaxNewTokens
	if room < 1 {
		return nil, fmt.Errorf("judge: max_new_tokens %d leaves no room for a prompt in the model's context of %d "+
			"tokens: lower it", a.MaxNewTokens, w.Model.Info().CtxTrain)
	}
	longest := w.Within("max_prompt_tokens", a.MaxPromptTokens, room, "prompts")
	j.Derived.note("max_prompt_tokens", a.MaxPromptTokens, longest)
	for _, p := range j.policies() {
		o, err := j.openPolicy(w, p)
		if err != nil {
			return nil, fmt.Errorf("judge: policy %s: %w", p.Name, err)
		}
		rows, file, err := readPrompts(w, data.LoadPromptRows, a.Prompts, "prompts", o.template, longest, room)
		if err != nil {
			return nil, fmt.Errorf("judge: prompts: %w", err)
		}
		prompts := make([]query.Prompt, len(rows))
		for i, r := range rows {
			prompts[i] = query.Prompt{ID: r.ID, Text: r.Text, Tokens: r.Tokens, Turns: r.Messages}
		}
		a.policies, a.prompts, a.file = append(a.policies, o), append(a.prompts, prompts), file
	}
	a.keepCommon()
	if len(a.prompts[0]) == 0 {
		return nil, fmt.Errorf("judge: prompts: %s: no prompt can be put to all policies: raise max_prompt_tokens",
			a.file.Path)
	}
	a.file.Used = len(a.prompts[0])
	return a, nil
}

// openPolicy opens a stack that answers.
func (j *Judge) openPolicy(w *workspace.Workspace, p JudgedPolicy) (o openPolicy, err error) {
	if err := workspace.FillForm(j.Model, &p.Template, &p.System, &p.Date, &p.TemplateVars, p.Adapters); err != nil {
		return o, err
	}
	form := workspace.Form{Template: p.Template, System: p.System, Date: p.Date, Vars: p.TemplateVars}
	if o.template, o.stop, err = w.Template(form); err != nil {
		return o, err
	}
	adapters, stack, err := w.LoadStack(p.Adapters, workspace.UsePolicy)
	if err != nil {
		return o, err
	}
	w.NoteForm(o.template, stack...)
	role := p.role()
	if len(j.Sampled.Policies) == 0 {
		role = "adapter"
	}
	// How many sequences are decoded at once is part of the arithmetic of sampling.
	o.Subject = eval.Subject{Name: p.Name, Generator: w.Generator(adapters...), Tokenizer: w.Tok, ID: fmt.Sprintf(
		"policy %v in %s, %d sequences", j.identity(role, len(p.Adapters)), j.Engine.Precision, j.Engine.Sequences)}
	return o, nil
}

// keepCommon leaves the prompts that every policy is asked. They come in the order of the file, so places tell equal
// ids apart.
func (a *answerer) keepCommon() {
	times := map[string]int{}
	for _, prompts := range a.prompts {
		seen := map[string]bool{}
		for _, p := range prompts {
			if key := keyOf(p); !seen[key] {
				seen[key] = true
				times[key]++
			}
		}
	}
	for k := range a.prompts {
		a.prompts[k] = slices.DeleteFunc(a.prompts[k], func(p query.Prompt) bool {
			return times[keyOf(p)] < len(a.prompts)
		})
	}
}

func keyOf(p query.Prompt) string { return fmt.Sprintf("%s %v", p.ID, p.Turns) }

// pairs samples answers, what is kept of them first, and makes pairs.
func (a *answerer) pairs(ctx context.Context, asked *journal.Journal) (judged, error) {
	n := len(a.prompts[0])
	set := judged{sampled: &run.SampledAnswers{Prompts: n}, files: []run.DataFile{a.file}}
	answers := make([][]query.Answer, 0, len(a.policies)*a.answers()) // by policy and sample; of each prompt
	var by []int                                                      // whose
	for k, p := range a.policies {
		for s := range a.answers() {
			list, err := a.sample(ctx, asked, k, s)
			if err != nil {
				return set, fmt.Errorf("judge: policy %s: %w", p.Name, err)
			}
			answers, by = append(answers, list), append(by, k)
		}
	}
	rows := make([]data.Ranked, 0, n)
	for i, prompt := range a.prompts[0] {
		row := data.Ranked{Prompt: prompt.Turns, Unscored: true, ID: prompt.ID,
			Source: run.CandidatesFile, Line: len(rows) + 1}
		line := candidates{ID: prompt.ID, Prompt: prompt.Turns}
		for s, list := range answers {
			said := a.said(by[s], s, list[i].Text)
			set.sampled.Answers++
			if list[i].Finish == lm.FinishLength {
				set.sampled.Cut++
			}
			if strings.TrimSpace(said) == "" {
				set.sampled.Empty++
				continue
			}
			row.Answers = append(row.Answers,
				data.RankedAnswer{Turns: []data.Message{{Role: data.RoleAssistant, Content: said}}})
			row.Policies = append(row.Policies, a.policies[by[s]].Name)
			line.Responses = append(line.Responses, said)
		}
		line.Policies = row.Policies
		if len(row.Answers) > 1 {
			rows, set.candidates = append(rows, row), append(set.candidates, line)
		}
	}
	set.source = run.PairSource{Path: a.file.Path, Format: "sampled", Recipe: recipeName(a.one), Rows: a.file.Rows,
		Groups: len(rows)}
	set.make(rows, a.one, a.runSeed)
	set.sampled.Same = set.source.Identical
	a.tell(set.sampled)
	return set, set.none()
}

// said is an answer without the marks of its template. Those of a plan are all alike, and hold nothing but marks
// perhaps: they are told apart, so that they are judged as others are.
func (a *answerer) said(policy, place int, text string) string {
	if a.planned {
		return fmt.Sprint(place, text)
	}
	return a.policies[policy].template.Answer(text)
}

// sample gives one answer of a policy to each prompt.
func (a *answerer) sample(ctx context.Context, asked *journal.Journal, policy, sample int) ([]query.Answer, error) {
	p := a.policies[policy]
	set := eval.Settings{Seed: seed.Derive(a.runSeed, "judge.answers", uint64(policy), uint64(sample)),
		OnProgress: func(e eval.Progress) {
			a.con.Progress.Step(train.Status{Stage: fmt.Sprintf("%s: %s answers (%d)", a.name, p.Name, sample+1),
				Step: int64(e.Done), Total: int64(e.Total)})
		}}
	options := query.GenerateOptions{MaxNew: a.MaxNewTokens, StopTokens: p.stop, StopStrings: p.template.StopStrings(),
		Batch:    a.BatchPrompts,
		Sampling: lm.Sampling{Temperature: a.Temperature, TopK: a.TopK, TopP: a.TopP, MinP: a.MinP}}
	got, err := query.Generate(ctx, asked.Subject(p.Subject), set, options, a.prompts[policy], eval.Progress{})
	if err != nil {
		return nil, err
	}
	return got.List, nil
}

// tell says what became of the answers.
func (a *answerer) tell(s *run.SampledAnswers) {
	a.con.Progress.Note(fmt.Sprintf("%s: %d answers to %d prompts: %d cut at %d tokens, %d empty and left out; %d pairs "+
		"of equal answers left out", a.name, s.Answers, s.Prompts, s.Cut, a.MaxNewTokens, s.Empty, s.Same))
}
