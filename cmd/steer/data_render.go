package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/chat"
	"steer/app/source"
	"steer/app/workspace"
	"steer/ggml/lm"
	"steer/ggml/modelfile"
	"steer/rl/data"
)

// renderFlags are those of steer data render.
type renderFlags struct {
	modelFlags
	sourceFlags
	form        workspace.Form
	system      string
	limit       int
	ids, asJSON bool
	file        string   // of a template
	set         []string // variables of a template
	addPrompt   bool
	continued   bool
	loss        data.LossOn
}

func newDataRenderCommand(a *app) *cobra.Command {
	f := renderFlags{loss: data.LossAnswers}
	cmd := &cobra.Command{
		Use: "render FILE", Short: "Show rows as the model reads them, and what it learns from",
		Long: `Puts the conversations of a file in the template that training would use and
shows the tokens: what is learned from in colour, special tokens marked. Without
colours, what is learned from stands in {+ +}, and a special token in ‹ ›: the
same spelling without them is text.

With --template-file any chat template is rendered as transformers renders it,
and printed exactly, with a line end after each row (--json: without). Its special
tokens and other variables are those of --model, and of --set.`,
		Example: `  steer data render chats.jsonl -m base.gguf --limit 3
  steer data render chats.jsonl -m base.gguf -a runs/sft/adapter.gguf --ids
  steer data render chats.jsonl -m qwen3.gguf --set enable_thinking=false
  steer data render chats.jsonl --template-file qwen3.jinja --json \
    --set enable_thinking=false --add-generation-prompt`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if cmd.Flags().Changed("system") {
				f.form.System = &f.system
			}
			if err := f.check(cmd.Context(), a); err != nil {
				return err
			}
			if err := a.locate(cmd.Context(), source.Data, "FILE", &paths[0]); err != nil {
				return err
			}
			if f.file != "" {
				return a.renderFile(&f, paths[0])
			}
			return a.renderRows(&f, paths[0])
		},
	}
	f.modelFlags.bind(cmd)
	flags := cmd.Flags()
	enumVar(flags, &f.form.Template, "template",
		"form of the conversations (default: that of the adapters, or the model's own)")
	flags.StringVar(&f.system, "system", "", "system message of conversations that bring none")
	flags.StringVar((*string)(&f.form.Date), "date", "", "what a chat template shows as today, such as 2026-01-31")
	f.sourceFlags.bind(cmd, "format of the file")
	flags.IntVar(&f.limit, "limit", 10, "show the first `N` rows (0: all)")
	flags.BoolVar(&f.ids, "ids", false, "print the ids, those learned from in brackets")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON lines")
	flags.Var(enumFlag[data.LossOn]{&f.loss}, "loss-on", "what is learned from: answers or all")
	flags.StringVar(&f.file, "template-file", "", "render by this chat template, a Jinja `FILE`")
	flags.StringArrayVar(&f.set, "set", nil,
		"variable of the chat template, `NAME=VALUE` (JSON, or text); may be repeated")
	flags.BoolVar(&f.addPrompt, "add-generation-prompt", false, "end with what opens an answer of the assistant")
	flags.BoolVar(&f.continued, "continue-final-message", false,
		"end where the text of the last message ends (template file)")
	return cmd
}

func (f *renderFlags) check(ctx context.Context, a *app) error {
	switch {
	case f.limit < 0:
		return usagef("--limit: want 0 (all) or more, got %d", f.limit)
	case f.file == "" && f.continued:
		return usagef("--continue-final-message belongs to --template-file")
	case f.file != "" && (f.ids || f.form.Template != "" || f.form.System != nil):
		return usagef("--template-file renders text: --ids, --template and --system do not go with it")
	case f.addPrompt && f.continued:
		return usagef("--add-generation-prompt and --continue-final-message: want one of them")
	}
	if _, err := f.form.Date.Time(); err != nil {
		return usagef("--%v", err)
	}
	for _, s := range f.set {
		if f.form.Vars == nil {
			f.form.Vars = data.TemplateVars{}
		}
		if err := f.form.Vars.ParseVar(s); err != nil {
			return usagef("--set: %v", err)
		}
	}
	if f.file != "" && f.model == "" {
		return nil
	}
	return f.modelFlags.check(ctx, a)
}

// renderedText is a row by a template file, as JSON.
type renderedText struct {
	Line    int     `json:"line"`
	Text    *string `json:"text"` // null where the template refuses
	Refused string  `json:"refused,omitempty"`
}

func (a *app) renderFile(f *renderFlags, path string) error {
	text, err := os.ReadFile(f.file)
	if err != nil {
		return err
	}
	var chat lm.Chat
	if f.model != "" {
		if chat, err = chatOf(f.model); err != nil {
			return err
		}
	}
	vars, err := f.form.Vars.Values()
	if err != nil {
		return usagef("--set: %v", err)
	}
	date, err := f.form.Date.Time()
	if err != nil {
		return err
	}
	template, err := data.NewFileTemplate(string(text), chat, vars, date)
	if err != nil {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	src, err := f.source(path)
	if err != nil {
		return err
	}
	rows, err := data.LoadRaw(src, f.limit)
	if err != nil {
		return err
	}
	refused := 0
	var last error
	for _, row := range rows {
		text, err := template.Render(row.Messages, f.addPrompt, f.continued)
		out := renderedText{Line: row.Line, Text: &text}
		switch {
		case data.Refused(err) || errors.Is(err, data.ErrNotContinued):
			refused, last = refused+1, err
			out.Text, out.Refused = nil, errors.Unwrap(err).Error()
		case err != nil:
			return fmt.Errorf("%s: line %d: %s: %w", path, row.Line, f.file, err)
		}
		switch {
		case f.asJSON:
			err = a.printJSON(out)
		case out.Text == nil:
			err = nil
			fmt.Fprintf(a.err, "line %d: %v\n", row.Line, last)
		default:
			_, err = fmt.Fprintln(a.out, text)
		}
		if err != nil {
			return err
		}
	}
	if refused == len(rows) {
		return fmt.Errorf("%s: none of %d rows is rendered: %w", path, len(rows), last)
	}
	return nil
}

// chatOf reads what a model's file says of conversations, without its weights.
func chatOf(model string) (lm.Chat, error) {
	f, err := modelfile.Open(model)
	if err != nil {
		return lm.Chat{}, err
	}
	defer f.Close()
	h, _ := modelfile.Check(f) // what cannot be trained can be rendered
	return h.Vocab.Chat, nil
}

// renderedRow is a row as the model reads it, as JSON.
type renderedRow struct {
	Line     int               `json:"line"`
	Turn     int               `json:"turn,omitempty"` // from 1, of a row that is learned from one answer at a time
	Text     string            `json:"text"`
	Segments []renderedSegment `json:"segments"`
	Tokens   int               `json:"tokens"`
	Learned  int               `json:"learned"` // tokens that count in the loss
	IDs      []int32           `json:"ids,omitempty"`
	Mask     []int             `json:"mask,omitempty"` // 1: counts
}

// renderedSegment is text of which all tokens are of one kind.
type renderedSegment struct {
	Text    string `json:"text"`
	Learned bool   `json:"learned"`
	Special bool   `json:"special"`
}

func (a *app) renderRows(f *renderFlags, path string) (err error) {
	w, _, placed, err := f.open(a.console(), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	progress := a.console().Progress
	c, err := chat.ChooseForm(w.Tok, f.form, placed, func() (data.TemplateName, string, error) {
		return workspace.GuessTemplate(f.model)
	})
	if err != nil {
		return err
	}
	for _, text := range c.Warnings {
		progress.Note("warning: " + text)
	}
	if c.Why != "" {
		progress.Note(fmt.Sprintf("template %s (%s; --template names another)", c.Form.Template, c.Why))
	}
	template, stop, err := w.Template(c.Form)
	if err != nil {
		return err
	}
	src, err := f.source(path)
	if err != nil {
		return err
	}
	load := data.LoadConversations
	if f.addPrompt {
		load = data.LoadPrompts
	}
	rows, loaded, err := load(src) // a limit would draw rows
	if err != nil {
		return err
	}
	if f.limit > 0 {
		rows = rows[:min(len(rows), f.limit)]
	}
	w.NoteData(loaded)
	r := renderer{app: a, renderFlags: f, w: w, template: template, paint: a.outPalette}
	for _, row := range rows {
		if err := r.row(row); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, row.Line, err)
		}
	}
	w.Tell(progress)
	r.summary(len(rows), stop)
	return nil
}

// renderer shows rows.
type renderer struct {
	*app
	*renderFlags
	w        *workspace.Workspace
	template *data.Template
	paint    palette

	shown, refused, apart, noQuestion int
	why                               error
}

func (r *renderer) row(c data.Conversation) error {
	var turns [][]data.Segment
	var err error
	if r.addPrompt {
		question := c.FirstPrompt()
		if question == nil {
			r.noQuestion++
			return nil
		}
		var prompt []data.Segment
		prompt, err = r.template.Prompt(question)
		turns = [][]data.Segment{prompt}
	} else if turns, err = r.template.Turns(c.Messages); len(turns) > 1 {
		if r.apart++; r.loss == data.LossAll {
			turns = turns[:1]
			turns[0], err = r.template.Render(c.Messages)
		}
	}
	if data.Refused(err) {
		r.refused, r.why = r.refused+1, err
		return nil
	}
	if err != nil {
		return err
	}
	for i, segments := range turns {
		opt := data.TokenizeOptions{Loss: r.loss, EOS: !r.addPrompt && r.template.StopToken() == ""}
		e, err := data.Tokenize(r.w.Tok, segments, opt)
		if err != nil {
			return err
		}
		out := renderedRow{Line: c.Line, Tokens: len(e.IDs), Segments: tokenSegments(r.w.Tok, e)}
		if len(turns) > 1 {
			out.Turn = i + 1
		}
		for _, s := range out.Segments {
			out.Text += s.Text
		}
		out.Learned = len(e.Targets())
		if err := r.show(out, e); err != nil {
			return err
		}
	}
	return nil
}

// tokenSegments divides tokens by whether they are special and whether they are learned from.
func tokenSegments(tok lm.Tokenizer, e data.Example) (out []renderedSegment) {
	begin := 0
	special := func(i int) bool {
		one := e.IDs[i : i+1]
		return tok.Decode(one, false) == "" && tok.Decode(one, true) != ""
	}
	for i := 1; i <= len(e.IDs); i++ {
		is := special(begin)
		if i < len(e.IDs) && !is && !special(i) && e.Mask[i] == e.Mask[begin] {
			continue
		}
		out = append(out, renderedSegment{tok.Decode(e.IDs[begin:i], true), e.Mask[begin], is})
		begin = i
	}
	return out
}

func (r *renderer) show(row renderedRow, e data.Example) error {
	if r.asJSON {
		if r.ids {
			row.IDs = e.IDs
			for _, counts := range e.Mask {
				row.Mask = append(row.Mask, map[bool]int{true: 1}[counts])
			}
		}
		return r.printJSON(row)
	}
	var b strings.Builder
	if r.shown > 0 {
		b.WriteByte('\n')
	}
	r.shown++
	head := fmt.Sprintf("line %d", row.Line)
	if row.Turn > 0 {
		head += fmt.Sprintf(", answer %d", row.Turn)
	}
	fmt.Fprintf(&b, "%s\n", r.paint.heading(fmt.Sprintf("%s: %d tokens, %d learned from", head, row.Tokens,
		row.Learned)))
	inside := false
	for _, s := range row.Segments {
		text := printableText(s.Text)
		if r.paint.on {
			code := map[[2]bool]string{{true, false}: learned, {true, true}: learnedMark, {false,
				true}: mark}[[2]bool{s.Learned, s.Special}]
			if code != "" {
				text = r.paint.paint(code, text)
			}
			b.WriteString(text)
			continue
		}
		if s.Learned != inside {
			b.WriteString(map[bool]string{true: "{+", false: "+}"}[s.Learned])
			inside = s.Learned
		}
		if s.Special {
			text = "‹" + text + "›"
		}
		b.WriteString(text)
	}
	if inside {
		b.WriteString("+}")
	}
	b.WriteByte('\n')
	if r.ids {
		b.WriteString(r.idLine(e))
	}
	_, err := fmt.Fprint(r.out, b.String())
	return err
}

// idLine lists ids; those that are learned from stand in brackets, or are coloured.
func (r *renderer) idLine(e data.Example) string {
	var b strings.Builder
	b.WriteString("ids")
	for i, id := range e.IDs {
		s := fmt.Sprint(id)
		switch {
		case e.Mask[i] && r.paint.on:
			s = r.paint.paint(learned, s)
		case e.Mask[i]:
			s = "[" + s + "]"
		}
		b.WriteString(" " + s)
	}
	return b.String() + "\n"
}

// printJSON prints a line in which "<" stays readable.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// summary says what was left out, and what ends an answer.
func (r *renderer) summary(rows int, stop []int32) {
	note := r.console().Progress.Note
	if r.refused > 0 {
		note(fmt.Sprintf("warning: %d of %d rows are left out: %v", r.refused, rows, r.why))
	}
	if r.noQuestion > 0 {
		note(fmt.Sprintf("%d of %d rows ask nothing and are left out", r.noQuestion, rows))
	}
	if r.apart > 0 {
		note(fmt.Sprintf("%d of %d rows are learned from one answer at a time: the template renders earlier turns "+
			"differently once more turns follow", r.apart, rows))
	}
	var ends []string
	for _, id := range stop {
		ends = append(ends, r.w.Tok.Decode([]int32{id}, true))
	}
	note("an answer ends at " + strings.Join(ends, " or "))
}

// printableText shows text as it is, but for characters that a terminal would act on.
func printableText(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return '\uFFFD'
		}
		return c
	}, s)
}
