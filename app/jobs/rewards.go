package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"steer/app/source"
	"steer/app/workspace"
	"steer/rewards/function"
	"steer/rl/mixture"
	"steer/rl/rollout"
	"steer/rl/run"
)

// RewardEntry is one of the rewards of a policy: a reward model, or a reward function.
type RewardEntry struct {
	Name string `yaml:"name"`
	// Weight in the mixture; 1 where it is not given.
	Weight *float64 `yaml:"weight,omitempty"`
	// Adapter is a reward adapter, on the base and the adapters Below.
	Adapter string   `yaml:"adapter,omitempty"`
	Below   []string `yaml:"below,omitempty"`

	// Command is a program and its arguments, HTTP the address of a server; Asked says how they are asked.
	Command []string `yaml:"command,omitempty"`
	HTTP    string   `yaml:"http,omitempty"`
	Asked   Asked    `yaml:",inline"`

	// Rules with settings.
	Regex       *function.Regex       `yaml:"regex,omitempty"`
	Length      *function.Length      `yaml:"length,omitempty"`
	Repetition  *function.Repetition  `yaml:"repetition,omitempty"`
	ExactMatch  *function.ExactMatch  `yaml:"exact_match,omitempty"`
	NumberMatch *function.NumberMatch `yaml:"number_match,omitempty"`
}

// Asked says how programs and servers are asked; see package function.
type Asked struct {
	// Timeout of an answer, 60 s where it is not given; StartTimeout of the first one of a program, five times that.
	Timeout      time.Duration `yaml:"timeout,omitempty"`
	StartTimeout time.Duration `yaml:"start_timeout,omitempty"`
	// Restart is how often a program that ended is started anew, Retries how often a request is sent again.
	Restart int `yaml:"restart,omitempty"`
	Retries int `yaml:"retries,omitempty"`
	// Concurrency is the number of copies of a program, or of requests at once; 1 where it is not given.
	Concurrency int `yaml:"concurrency,omitempty"`
	// Scores names several scores that are given; Weights are theirs, times the entry's, 1 where they are not given.
	Scores  []string           `yaml:"scores,omitempty"`
	Weights map[string]float64 `yaml:"weights,omitempty"`
	// Fields are the columns of the row that are handed over; none: all.
	Fields []string `yaml:"fields,omitempty"`
	// Dir is the folder a program runs in, Env is added to its environment, Header to a request.
	Dir    string            `yaml:"dir,omitempty"`
	Env    map[string]string `yaml:"env,omitempty"`
	Header map[string]string `yaml:"header,omitempty"`
}

const defaultTimeout = time.Minute

// UnmarshalText lets an entry be written as its name alone, where something else says what it is.
func (r *RewardEntry) UnmarshalText(text []byte) error {
	r.Name = string(text)
	return nil
}

// kinds are the keys that say what the reward is.
func (r *RewardEntry) kinds() (out []string) {
	for _, k := range []struct {
		key   string
		given bool
	}{
		{"adapter", r.Adapter != ""}, {"command", len(r.Command) > 0}, {"http", r.HTTP != ""},
		{"regex", r.Regex != nil}, {"length", r.Length != nil}, {"repetition", r.Repetition != nil},
		{"exact_match", r.ExactMatch != nil}, {"number_match", r.NumberMatch != nil},
	} {
		if k.given {
			out = append(out, k.key)
		}
	}
	return out
}

// Known tells whether the entry says what the reward is; a name alone does not.
func (r *RewardEntry) Known() bool { return len(r.kinds()) > 0 }

// columns are the names of its scores.
func (r *RewardEntry) columns() []string {
	if len(r.Asked.Scores) == 0 {
		return []string{r.Name}
	}
	out := make([]string, len(r.Asked.Scores))
	for i, s := range r.Asked.Scores {
		out[i] = r.Name + "." + s
	}
	return out
}

// check finds mistakes before anything is opened.
func (r *RewardEntry) check() error {
	switch kinds := r.kinds(); {
	case len(kinds) == 0:
		return errors.New("want one of adapter, command, http, regex, length, repetition, exact_match and number_match")
	case len(kinds) > 1:
		return fmt.Errorf("want one of %s, not both: make an entry of each", strings.Join(kinds, " and "))
	}
	if len(r.Command) > 0 || r.HTTP != "" {
		return r.Asked.check()
	}
	if r.Adapter != "" {
		return nil
	}
	f, err := r.open(nil, "")
	if err == nil {
		err = f.Close()
	}
	return err
}

func (a *Asked) check() error {
	var errs []error
	if a.Timeout < 0 || a.StartTimeout < 0 || a.Restart < 0 || a.Retries < 0 || a.Concurrency < 0 {
		errs = append(errs, errors.New("timeout, start_timeout, restart, retries, concurrency: want at least 0"))
	}
	for name := range a.Weights {
		if !slices.Contains(a.Scores, name) {
			errs = append(errs, fmt.Errorf("weights: %q is not one of scores %q", name, a.Scores))
		}
	}
	return errors.Join(errs...)
}

// open opens a reward function; note is told what the user has to know, log is the file of a program's standard error.
func (r *RewardEntry) open(note func(string), log string) (function.Function, error) {
	a := &r.Asked
	timeout := a.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	start := a.StartTimeout
	if start == 0 {
		start = 5 * timeout
	}
	switch {
	case len(r.Command) > 0:
		return function.OpenCommand(r.Name, function.Command{
			Args: r.Command, Dir: a.Dir, Env: a.Env, Timeout: timeout, StartTimeout: start, Restart: a.Restart,
			Concurrency: a.Concurrency, Scores: a.Scores, Fields: a.Fields, Log: log, Note: note,
		})
	case r.HTTP != "":
		return function.OpenHTTP(r.Name, function.HTTP{
			URL: r.HTTP, Header: a.Header, Timeout: timeout, Retries: a.Retries, Concurrency: a.Concurrency,
			Scores: a.Scores, Fields: a.Fields,
		})
	case r.Regex != nil:
		return r.Regex.Open(r.Name)
	case r.Length != nil:
		return r.Length.Open(r.Name)
	case r.Repetition != nil:
		return r.Repetition.Open(r.Name)
	case r.ExactMatch != nil:
		return r.ExactMatch.Open(r.Name)
	}
	return r.NumberMatch.Open(r.Name)
}

// RewardEntries are the rewards of a policy, in order of priority.
type RewardEntries []RewardEntry

// Place makes paths absolute, relative to dir; of a command only what is a file there is a path.
func (rs RewardEntries) Place(dir string) {
	for i := range rs {
		r := &rs[i]
		r.Adapter, r.Below = workspace.Abs(dir, r.Adapter), slices.Clone(r.Below)
		for k := range r.Below {
			r.Below[k] = workspace.Abs(dir, r.Below[k])
		}
		if r.Command = slices.Clone(r.Command); len(r.Command) == 0 {
			continue
		}
		r.Asked.Dir = workspace.Abs(dir, r.Asked.Dir)
		for k, arg := range r.Command {
			if path := workspace.Abs(dir, arg); r.Asked.Dir == "" && isFile(path) && !filepath.IsAbs(arg) {
				r.Command[k] = path
			}
		}
	}
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// files are the files that entries name, by role; a program's own files are among them, so that a
// changed one is noticed.
func (rs RewardEntries) files(into map[string]string) {
	for _, r := range rs {
		if r.Adapter != "" {
			into["reward."+r.Name] = r.Adapter
		}
		for k, path := range r.Below {
			into[numbered("reward."+r.Name+".on", k)] = path
		}
		for k, arg := range r.Command {
			if path := workspace.Abs(r.Asked.Dir, arg); k > 0 && filepath.IsAbs(path) && isFile(path) {
				into[numbered("reward."+r.Name+".command", k)] = path
			}
		}
	}
}

// named are the places that name files of a hub.
func (rs RewardEntries) named() (names []Name) {
	for i := range rs {
		key := fmt.Sprintf("rewards[%d].", i)
		names = append(names, namesAt(key+"below", source.Adapter, rs[i].Below)...)
		names = append(names, nameAt(key+"adapter", source.Adapter, &rs[i].Adapter))
	}
	return names
}

// columns are the names of all scores, and weights theirs.
func (rs RewardEntries) columns() (names []string, weights []float64) {
	for _, r := range rs {
		w := 1.0
		if r.Weight != nil {
			w = *r.Weight
		}
		for i, name := range r.columns() {
			own := w
			if len(r.Asked.Scores) > 0 {
				if x, ok := r.Asked.Weights[r.Asked.Scores[i]]; ok {
					own *= x
				}
			}
			names, weights = append(names, name), append(weights, own)
		}
	}
	return names, weights
}

// weights are those of all scores.
func (rs RewardEntries) weights() []float64 {
	_, w := rs.columns()
	return w
}

// Check finds mistakes before anything is opened; m joins the rewards.
func (rs RewardEntries) Check(m mixture.Config) error {
	var errs []error
	for i := range rs {
		r := &rs[i]
		twice := slices.ContainsFunc(rs[:i], func(x RewardEntry) bool { return x.Name == r.Name })
		switch {
		case r.Name == "":
			errs = append(errs, fmt.Errorf("rewards[%d].name: want a name", i))
			continue
		case twice:
			errs = append(errs, fmt.Errorf("rewards[%d].name: %q stands there twice", i, r.Name))
		}
		if err := r.check(); err != nil {
			errs = append(errs, fmt.Errorf("rewards[%d] (%s): %w", i, r.Name, err))
		}
	}
	if len(errs) == 0 && len(rs) > 0 {
		names, weights := rs.columns()
		_, err := mixture.New(m, names, weights)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// uses is what a result says of them.
func (rs RewardEntries) uses() (out []run.RewardUse) {
	names, weights := rs.columns()
	for i := range names {
		out = append(out, run.RewardUse{Name: names[i], Weight: weights[i]})
	}
	return out
}

// functions tells whether some of them look at columns of the row.
func (rs RewardEntries) functions() bool {
	return slices.ContainsFunc(rs, func(r RewardEntry) bool { return r.Adapter == "" })
}

// openRewards opens all rewards as one scorer, which is closed. note is told what the user has to know; standard errors
// of programs go to files in the folder logs. Without one, where a plan is made, no program and no server is asked.
func openRewards(
	w *workspace.Workspace, rs RewardEntries, asked asking, batchTokens int, note func(string), logs string,
) (all *joined, err error) {
	all = &joined{}
	all.names, _ = rs.columns()
	for i := range rs {
		r := &rs[i]
		if r.Adapter != "" {
			s, err := openScorer(w, r.Below, r.Adapter, asked, batchTokens)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("reward %s: %w", r.Name, err), all.Close())
			}
			all.parts = append(all.parts, s)
			continue
		}
		if logs == "" && (len(r.Command) > 0 || r.HTTP != "") {
			all.parts = append(all.parts, unasked(r.columns()))
			continue
		}
		f, err := r.open(note, filepath.Join(logs, "reward-"+r.Name+".log"))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reward %s: %w", r.Name, err), all.Close())
		}
		all.parts = append(all.parts, &functionScorer{f})
	}
	return all, nil
}

// joined is several scorers as one.
type joined struct {
	names []string
	parts []rollout.Scorer
}

// Names implements rollout.Scorer.
func (j *joined) Names() []string { return j.names }

// Score implements rollout.Scorer.
func (j *joined) Score(ctx context.Context, episodes []rollout.Episode) ([][]float64, error) {
	var out [][]float64
	for _, p := range j.parts {
		columns, err := p.Score(ctx, episodes)
		if err != nil {
			return nil, err
		}
		out = append(out, columns...)
	}
	return out, nil
}

// Close ends what the functions have running.
func (j *joined) Close() error {
	var errs []error
	for _, p := range j.parts {
		if f, ok := p.(*functionScorer); ok {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// unasked stands for a program or server in a plan: numbers that differ, by the names of its scores.
type unasked []string

// Names implements rollout.Scorer.
func (u unasked) Names() []string { return u }

// Score implements rollout.Scorer.
func (u unasked) Score(_ context.Context, episodes []rollout.Episode) ([][]float64, error) {
	out := make([][]float64, len(u))
	for k := range out {
		out[k] = make([]float64, len(episodes))
		for i := range out[k] {
			out[k][i] = float64(i % 2)
		}
	}
	return out, nil
}

// functionScorer lets a reward function score episodes.
type functionScorer struct{ function.Function }

// Score implements rollout.Scorer.
func (f *functionScorer) Score(ctx context.Context, episodes []rollout.Episode) ([][]float64, error) {
	samples := make([]function.Sample, len(episodes))
	for i, e := range episodes {
		samples[i] = sampleOf(&e.Prompt)
		samples[i].Answer, samples[i].Tokens = e.ResponseText, e.Response
	}
	return f.Function.Score(ctx, samples)
}

// sampleOf is a prompt as reward functions see it.
func sampleOf(p *rollout.Prompt) function.Sample {
	return function.Sample{ID: p.ID, Prompt: p.Text, Messages: p.Messages, Fields: p.Fields}
}

// checkRows lets functions look at the rows before there are answers.
func (j *joined) checkRows(prompts []rollout.Prompt) error {
	for _, p := range j.parts {
		f, ok := p.(*functionScorer)
		if !ok {
			continue
		}
		checker, ok := f.Function.(function.Checker)
		if !ok {
			continue
		}
		for i := range prompts {
			if err := checker.Check(sampleOf(&prompts[i])); err != nil {
				return err
			}
		}
	}
	return nil
}
