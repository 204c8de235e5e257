package proposal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/app/experiment"
	"steer/app/plan"
	"steer/app/workspace"
	"steer/internal/bytesize"
	"steer/internal/fetch"
	"steer/rewards"
	"steer/rl/data"
)

// Proposal is what a new experiment starts from: what is known of a model and data files, and
// sizes that fit. [Proposal.Write] makes the file.
type Proposal struct {
	Name     string
	Model    string
	About    string // of the model, in words
	Template data.TemplateName
	Why      string // of the template
	Context  int    // tokens the model was trained on

	// Columns are those of files that have them, and DropUnsupported holds for all conversations and pairs.
	Columns         data.Columns
	DropUnsupported bool

	// Chat are the conversations to learn from and to answer, HeldOut others of their kind ("" if
	// they are a part of Chat).
	Chat, HeldOut Described
	// Theories have data, in the order of tables.
	Theories []ProposedTheory
	// Benchmarks are eval's keys and the files for them.
	Benchmarks []ProposedBenchmark

	Tokens Lengths
	// Sizes are settings by section ("sft", "reward", "ppo", "eval") that a plan found.
	Sizes map[string][]plan.Setting
	// Planned says in words what a plan found; "" if none was made.
	Planned string
	// Uses say in words what each file was taken for, in the order of the files.
	Uses []string
	// Names are what files are called in the experiment, by path, where that is not their path: names of
	// the hub.
	Names map[string]string
	// ToFetch names the set of conversations that is proposed but not there, "" if none.
	ToFetch string
}

// Described is a data file and what it is.
type Described struct {
	Path   string
	Format data.Format
	Rows   int
	// Columns and DropUnsupported are how it has to be read.
	Columns         data.Columns
	DropUnsupported bool
}

// source is the file as it has to be read.
func (d Described) source() data.Source {
	return data.Source{Path: d.Path, Format: d.Format, Columns: d.Columns, DropUnsupported: d.DropUnsupported}
}

// ProposedTheory is a reward model that has data.
type ProposedTheory struct {
	Name           rewards.TheoryName
	Train, HeldOut Described
}

// ProposedBenchmark is a data file of a benchmark.
type ProposedBenchmark struct {
	Key  string
	File Described
}

// Lengths are what 95 of 100 conversations have, in tokens; 0 if they were not read.
type Lengths struct{ Whole, Prompt int }

// benchmarkOf is the key of an evaluation that a format belongs to.
var benchmarkOf = map[data.Format]string{
	data.FormatWSC: "wsc273", data.FormatWinoGrande: "winogrande", data.FormatCrowSPairs: "crows_pairs",
	data.FormatAnecdotes: "scruples", data.FormatDilemmas: "dilemmas", data.FormatToxiGen: "toxigen",
	data.FormatJustice: "ethics_justice", data.FormatCommonsense: "ethics_commonsense",
}

// Add finds the part of a data file in the experiment by its format. A second one of the same
// part is held out.
func (p *Proposal) Add(path string) error {
	d, err := p.describe(path)
	if err != nil {
		return err
	}
	format := d.Format
	use := func(what string) string {
		return fmt.Sprintf("%s: %s: %s", path, about(d), what)
	}
	taken := func(what string, by Described) error {
		return fmt.Errorf("%s: a third file of %s: %s is there already; name two at most, the second is held out",
			path, what, by.Path)
	}
	if slices.Contains(data.ConversationFormats(), format) {
		p.Uses = append(p.Uses, use("conversations, for fine-tuning and as prompts"))
		switch {
		case p.Chat.Path == "":
			p.Chat = d
		case p.HeldOut.Path == "":
			p.HeldOut = d
		default:
			return taken("conversations", p.HeldOut)
		}
		return nil
	}
	if name, ok := theoryOf(format); ok {
		p.Uses = append(p.Uses, use(fmt.Sprintf("pairs for the theory %s: a reward model and a policy", name)))
		i := slices.IndexFunc(p.Theories, func(t ProposedTheory) bool { return t.Name == name })
		switch {
		case i < 0:
			p.Theories = append(p.Theories, ProposedTheory{Name: name, Train: d})
		case p.Theories[i].HeldOut.Path == "":
			p.Theories[i].HeldOut = d
		default:
			return taken(string(name), p.Theories[i].HeldOut)
		}
		return nil
	}
	key, ok := benchmarkOf[format]
	if !ok {
		return fmt.Errorf("%s: this is %s, for which an experiment has no single place: "+
			"want conversations, preference pairs of a theory, or a benchmark", path, format.Title())
	}
	if i := slices.IndexFunc(p.Benchmarks, func(b ProposedBenchmark) bool { return b.Key == key }); i >= 0 {
		return fmt.Errorf("%s: a second file of %s: %s is there already", path, key, p.Benchmarks[i].File.Path)
	}
	p.Uses = append(p.Uses, use("the benchmark "+key))
	p.Benchmarks = append(p.Benchmarks, ProposedBenchmark{key, d})
	return nil
}

// describe recognises a file, if need be by the columns that the user names.
func (p *Proposal) describe(path string) (d Described, err error) {
	d.Path, d.Columns = path, p.Columns
	found, err := d.source().Resolve()
	if err == nil {
		d.Format = found.Format
	} else if len(p.Columns) > 0 { // they may be those of another of the files
		var plain error
		if d.Format, plain = data.Detect(path); plain == nil {
			d.Columns, err = nil, nil
		}
	}
	if err != nil {
		return d, err
	}
	_, pairs := theoryOf(d.Format)
	d.DropUnsupported = p.DropUnsupported && (pairs || slices.Contains(data.ConversationFormats(), d.Format))
	s, err := data.InspectSource(d.source())
	d.Path, d.Rows = s.Path, s.Rows
	return d, err
}

// theoryOf is the theory whose pairs have the format; the user's own pairs are custom.
func theoryOf(format data.Format) (rewards.TheoryName, bool) {
	if format != data.FormatHH && slices.Contains(data.PairFormats(), format) {
		return rewards.Custom, true
	}
	for _, t := range rewards.Theories() {
		if t.Name != rewards.Toxicity && t.Formats[0] == format {
			return t.Name, true
		}
	}
	return "", false
}

// defaultChat is the set of conversations that an experiment gets that has none.
const defaultChat = "guanaco-1k"

// Complete adds what an experiment needs and no file was given for: conversations of the
// catalogue, in the data folder.
func (p *Proposal) Complete(dataFolder string) error {
	if p.Chat.Path != "" {
		return nil
	}
	s, ok := fetch.Known().Lookup(defaultChat)
	if !ok {
		return fmt.Errorf("set %s is not in the catalogue", defaultChat)
	}
	path := filepath.Join(dataFolder, filepath.FromSlash(s.Files[0].Path))
	if _, err := data.Resolve(path); err == nil {
		return p.Add(path)
	}
	p.Chat = Described{Path: path, Format: data.Format(s.Files[0].Format)}
	p.ToFetch = s.Name
	return nil
}

// measured rows of conversations are enough to know their lengths.
const measuredRows = 400

// Measure opens the model and finds how long the conversations are in its tokens.
func (p *Proposal) Measure() (err error) {
	if p.ToFetch != "" {
		return nil
	}
	w, err := workspace.Open(p.Model, workspace.DefaultEngine())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	tpl, _, err := w.Template(workspace.Form{Template: p.Template})
	if err != nil {
		return err
	}
	chat := p.Chat.source()
	chat.Limit = measuredRows
	rows, _, err := data.LoadConversations(chat)
	if err != nil {
		return err
	}
	var whole, prompts []int
	for _, c := range rows {
		segments, err := tpl.Render(c.Messages)
		if data.Refused(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", p.Chat.Path, c.Line, err)
		}
		x, err := data.Tokenize(w.Tok, segments, data.TokenizeOptions{Loss: data.LossAnswers})
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", p.Chat.Path, c.Line, err)
		}
		whole = append(whole, len(x.IDs))
		if targets := x.Targets(); len(targets) > 0 {
			prompts = append(prompts, int(targets[0]))
		}
	}
	p.Tokens = Lengths{Whole: most95(whole), Prompt: most95(prompts)}
	return nil
}

// most95 is what 95 of 100 do not exceed.
func most95(n []int) int {
	if len(n) == 0 {
		return 0
	}
	slices.Sort(n)
	return n[(len(n)-1)*95/100]
}

// roundUp is n rounded up to a multiple of step, between low and high.
func roundUp(n, step, low, high int) int {
	return min(max((n+step-1)/step*step, low), high)
}

// maxTokens bounds a conversation, promptTokens and newTokens a prompt and an answer.
func (p *Proposal) maxTokens() int {
	return roundUp(p.Tokens.Whole, 64, 64, min(max(p.Context, 64), 1024))
}
func (p *Proposal) promptTokens() int {
	return roundUp(p.Tokens.Prompt, 32, 32, min(max(p.Context/2, 32), 256))
}
func (p *Proposal) newTokens() int { return min(64, max(p.Context/4, 8)) }

// Plan plans every stage of the experiment, which is to be called file and lie in the folder dir, and
// takes over the sizes with which one that does not fit would.
func (p *Proposal) Plan(ctx context.Context, dir, file string, opt plan.ForecastOptions) (err error) {
	draft, err := os.CreateTemp(dir, ".steer-init-*.yaml")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(draft.Name())) }()
	if _, err := draft.WriteString(p.Write(dir, file)); err != nil {
		return errors.Join(err, draft.Close())
	}
	if err := draft.Close(); err != nil {
		return err
	}
	return p.planFile(ctx, draft.Name(), opt)
}

// planFile plans the experiment in a file.
func (p *Proposal) planFile(ctx context.Context, file string, opt plan.ForecastOptions) error {
	s, err := experiment.LoadStudy(file, nil)
	if err != nil {
		return err
	}
	f, err := s.Forecast(ctx, opt)
	if err != nil {
		return err
	}
	p.Sizes = map[string][]plan.Setting{}
	p.Planned = fmt.Sprintf("%s of memory at most", bytesize.Text(f.Peak))
	var tight []string
	for _, stage := range f.Stages {
		if stage.Fits {
			continue
		}
		section, _, _ := strings.Cut(stage.Stage, "-")
		if stage.Suggestion == nil {
			tight = append(tight, stage.Stage)
			continue
		}
		p.Sizes[section] = smaller(p.Sizes[section], stage.Suggestion.Settings)
	}
	if len(p.Sizes) > 0 {
		p.Planned += ", before the smaller sizes below"
	}
	if len(tight) > 0 {
		p.Planned += "; no sizes were found with which these stages fit: " + strings.Join(tight, ", ")
	}
	return nil
}

// smaller takes the smaller of two values of each setting: stages of one section share it.
func smaller(a, b []plan.Setting) []plan.Setting {
	for _, s := range b {
		i := slices.IndexFunc(a, func(x plan.Setting) bool { return x.Key == s.Key })
		if i < 0 {
			a = append(a, s)
			continue
		}
		x, isInt := a[i].Value.(int)
		if y, ok := s.Value.(int); isInt && ok && y < x {
			a[i] = s
		}
	}
	return a
}

// heldOutShare leaves about 200 rows for measuring, and a tenth to a fifth of few.
func heldOutShare(rows int) float64 {
	if rows <= 0 {
		return 0.1
	}
	share := math.Min(math.Max(200/float64(rows), 0.05), 0.2)
	return math.Round(share*100) / 100
}

// relativeTo is a path as the file in dir names it: below or beside the folder, or absolute.
func relativeTo(dir, path string) string {
	whole, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(dir, whole)
	if err != nil || strings.Count(rel, "..") > 2 {
		return whole
	}
	return filepath.ToSlash(rel)
}
