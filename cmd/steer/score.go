package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/rl/data"
)

// bosChoice says whether a text gets the beginning-of-sequence token.
type bosChoice string

const (
	bosAuto bosChoice = "auto" // as the model's tokenizer does
	bosOn   bosChoice = "on"
	bosOff  bosChoice = "off"
)

// Values implements conf.Enum.
func (bosChoice) Values() []string { return []string{string(bosAuto), string(bosOn), string(bosOff)} }

// headPositions says where the scalar head is read.
type headPositions string

const (
	headLast headPositions = "last"
	headAll  headPositions = "all"
)

// Values implements conf.Enum.
func (headPositions) Values() []string { return []string{string(headLast), string(headAll)} }

// scoreFlags are the flags of steer score.
type scoreFlags struct {
	modelFlags
	logprobs, entropy, head bool
	positions               headPositions
	texts                   []string
	lines                   bool
	bos                     bosChoice
	bosGiven                bool
	special                 bool
	template                data.TemplateName // "": none
	system                  string
	systemGiven             bool
	overlong                data.Overlong
	batchTokens             int
}

func newScoreCommand(a *app) *cobra.Command {
	f := scoreFlags{positions: headLast, bos: bosAuto, overlong: data.OverlongError}
	cmd := &cobra.Command{
		Use: "score --model FILE [FILE]", GroupID: "use",
		Short: "Log-probabilities, entropies and scores of texts or token ids",
		Long: `Evaluates texts or token ids under a base with any stack of adapters and prints
a JSON object for each, in order. What: --logprobs, --entropy, --head (any of
them; by default --head if an adapter has a reward model's head, else
--logprobs).

Input is --text, a file, or standard input. A line of the file is one of
  {"text": "..."}
  {"ids": [1, 2, 3]}  {"ids": [...], "mask": [0, 1, 1]}   mask: what counts
  {"prompt": "...", "response": "..."}                   the response counts
  {"messages": [{"role": "user", "content": "..."}, ...]} the answers count
or, with --lines or in a .txt file, a text by itself. Files may be .gz or .zst.

Output: "ids"; "logprobs" and "entropy", log p(ids[i] | ids[:i]) and the entropy
of that distribution in nats, for i = 1, 2, ... or the listed "positions"; "sum",
"n" and "perplexity" = exp(-sum/n) of the log-probabilities; "head", the scalar
head's output at the last token, and "score", the same normalised as the adapter
says. Numbers read back as the same float32.

A reward model made by steer reward knows its form: with --head alone, and
neither --template nor --bos, texts are put before it as in its training. For
log-probabilities without --template, conversations ("prompt" and "response", or
"messages") take the template that the adapters were trained with, where they
say it; a "text" stays as it is.`,
		Example: `  steer score -m base.gguf --text "Once upon a time"
  steer score -m base.gguf -a runs/reward-virtue/adapter.gguf answers.jsonl
  steer score --logprobs --precision f32 -m base.gguf -a peft-folder ids.jsonl`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, file []string) error {
			f.systemGiven, f.bosGiven = cmd.Flags().Changed("system"), cmd.Flags().Changed("bos")
			if err := f.check(file); err != nil {
				return err
			}
			rows, err := a.scoreRows(&f, file)
			if err != nil {
				return err
			}
			return a.score(cmd.Context(), &f, rows)
		},
	}
	f.bind(cmd)
	flags := cmd.Flags()
	enumVar(flags, &f.engine.Precision, "precision", "arithmetic of the frozen matrices")
	flags.BoolVar(&f.logprobs, "logprobs", false, "log-probability of each token")
	flags.BoolVar(&f.entropy, "entropy", false, "entropy of each distribution that predicts a token")
	flags.BoolVar(&f.head, "head", false, "scalar head of the last adapter that has one")
	enumVar(flags, &f.positions, "positions", "where the head is read")
	flags.StringArrayVar(&f.texts, "text", nil, "score this `TEXT`; may be repeated")
	flags.BoolVar(&f.lines, "lines", false, "the input is plain text, a text a line")
	enumVar(flags, &f.bos, "bos", "beginning-of-sequence token before texts")
	flags.BoolVar(&f.special, "special", true, "read special tokens such as <|im_end|> spelled out in texts without --template")
	enumVar(flags, &f.template, "template", "put a text as a user's message, answers as the assistant's")
	flags.StringVar(&f.system, "system", "", "system message of --template")
	enumVar(flags, &f.overlong, "overlong", "what is done with longer sequences than the context")
	flags.IntVar(&f.batchTokens, "batch-tokens", 2048, "tokens evaluated at once")
	return cmd
}

// check refuses what can be refused before anything is read.
func (f *scoreFlags) check(file []string) error {
	switch {
	case f.batchTokens < 1:
		return usagef("--batch-tokens: want at least 1, got %d", f.batchTokens)
	case len(f.texts) > 0 && len(file) > 0:
		return usagef("--text and the file %s: want one of them", file[0])
	case len(f.texts) > 0 && f.lines:
		return usagef("--text and --lines: --lines is about a file")
	case f.systemGiven && f.template == "":
		return usagef("--system needs --template: without one nothing says where it belongs")
	}
	return f.modelFlags.check()
}

// scoreRows reads the input.
func (a *app) scoreRows(f *scoreFlags, file []string) ([]scoreRow, error) {
	if len(f.texts) > 0 {
		return textRows("score: --text", f.texts)
	}
	if len(file) == 1 && file[0] != "-" {
		r, err := data.Open(file[0])
		if err != nil {
			return nil, fmt.Errorf("score: %w", err)
		}
		defer r.Close()
		return readRows(r, r.Path, f.lines || isText(r.Path))
	}
	if in, ok := a.in.(*os.File); ok && len(file) == 0 && term.IsTerminal(int(in.Fd())) {
		return nil, usagef("want --text, a file, or - to type lines here")
	}
	return readRows(a.in, "standard input", f.lines)
}

func (a *app) score(ctx context.Context, f *scoreFlags, rows []scoreRow) (err error) {
	con := a.console()
	b, stack, err := f.open(con)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	head := topHead(stack)
	placed := f.placed(stack)
	if !f.logprobs && !f.entropy && !f.head {
		// A policy's head tells what score it expects, not what a text is worth.
		f.head = head != nil && head.Role() != adapter.RolePolicy
		f.logprobs = !f.head
	}
	if f.head && head != nil && head.Role() == adapter.RolePolicy {
		con.Progress.Note("warning: the head is a policy's value head: it tells the score that it expects of the " +
			"rest of an answer, it judges no text")
	}
	if f.head && head == nil {
		return errors.New("score: --head: no adapter of the stack has a scalar head: add a reward model with --adapter")
	}
	e, err := newScoreEncoder(f, b.Tok, head, placed)
	if err != nil {
		return err
	}
	for _, n := range e.warnings {
		con.Progress.Note("warning: " + n)
	}
	sequences, err := e.encode(rows, b.Model.Info().CtxTrain)
	if err != nil {
		return err
	}
	for _, n := range e.notes() {
		con.Progress.Note(n)
	}
	step, err := b.Step(stack, false, 0)
	if err != nil {
		return err
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	s := &scoring{f: f, step: step, out: a.out}
	if head != nil {
		s.normalise = head.Head
	}
	if out, ok := a.out.(*os.File); !ok || !term.IsTerminal(int(out.Fd())) {
		s.progress = con.Progress // on a terminal the results are the progress
	}
	return s.run(ctx, sequences)
}

// topHead is the last adapter with a scalar head, the one the engine reads; nil: none.
func topHead(stack []*ggml.Adapter) *adapter.Adapter {
	for i := len(stack) - 1; i >= 0; i-- {
		if stack[i].HasHead() {
			return stack[i].Describe()
		}
	}
	return nil
}
