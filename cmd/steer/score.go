package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"steer/app/jsonlines"
	"steer/app/score"
	"steer/app/source"
	"steer/ggml/lm"
	"steer/rl/data"
)

// scoreFlags are the flags of steer score.
type scoreFlags struct {
	modelFlags
	options score.Options
	texts   []string
	lines   bool
	bos     score.BOS
	system  string
}

func newScoreCommand(a *app) *cobra.Command {
	f := scoreFlags{options: score.Default(), bos: score.BOSAuto}
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
			if cmd.Flags().Changed("system") {
				f.options.System = &f.system
			}
			if cmd.Flags().Changed("bos") {
				f.options.BOS = f.bos
			}
			if err := f.check(cmd.Context(), a, file); err != nil {
				return err
			}
			for i := range file {
				if err := a.locate(cmd.Context(), source.Data, "FILE", &file[i]); err != nil {
					return err
				}
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
	flags.BoolVar(&f.options.Logprobs, "logprobs", false, "log-probability of each token")
	flags.BoolVar(&f.options.Entropy, "entropy", false, "entropy of each distribution that predicts a token")
	flags.BoolVar(&f.options.Head, "head", false, "scalar head of the last adapter that has one")
	enumVar(flags, &f.options.Positions, "positions", "where the head is read")
	flags.StringArrayVar(&f.texts, "text", nil, "score this `TEXT`; may be repeated")
	flags.BoolVar(&f.lines, "lines", false, "the input is plain text, a text a line")
	enumVar(flags, &f.bos, "bos", "beginning-of-sequence token before texts")
	flags.BoolVar(&f.options.Special, "special", f.options.Special,
		"read special tokens such as <|im_end|> spelled out in texts without --template")
	enumVar(flags, &f.options.Template, "template", "put a text as a user's message, answers as the assistant's")
	flags.StringVar(&f.system, "system", "", "system message of --template")
	enumVar(flags, &f.options.Overlong, "overlong", "what is done with longer sequences than the context")
	flags.IntVar(&f.options.BatchTokens, "batch-tokens", f.options.BatchTokens, "tokens evaluated at once")
	return cmd
}

// check refuses what can be refused before anything is read.
func (f *scoreFlags) check(ctx context.Context, a *app, file []string) error {
	switch {
	case f.options.BatchTokens < 1:
		return usagef("--batch-tokens: want at least 1, got %d", f.options.BatchTokens)
	case len(f.texts) > 0 && len(file) > 0:
		return usagef("--text and the file %s: want one of them", file[0])
	case len(f.texts) > 0 && f.lines:
		return usagef("--text and --lines: --lines is about a file")
	case f.options.System != nil && f.options.Template == "":
		return usagef("--system needs --template: without one nothing says where it belongs")
	}
	return f.modelFlags.check(ctx, a)
}

// scoreRows reads the input.
func (a *app) scoreRows(f *scoreFlags, file []string) ([]score.Row, error) {
	if len(f.texts) > 0 {
		return textRows(f.texts)
	}
	if len(file) == 1 && file[0] != "-" {
		r, err := data.Open(file[0])
		if err != nil {
			return nil, fmt.Errorf("score: %w", err)
		}
		defer r.Close()
		return readRows(r, r.Path, f.lines || jsonlines.IsPlainText(r.Path))
	}
	if len(file) == 0 && isTerminal(a.in) {
		return nil, usagef("want --text, a file, or - to type lines here")
	}
	return readRows(a.in, "standard input", f.lines)
}

// textRows makes rows of the texts of a command line.
func textRows(texts []string) ([]score.Row, error) {
	var rows []score.Row
	for i := range texts {
		if err := checkUTF8("score: --text", i, texts[i]); err != nil {
			return nil, err
		}
		rows = append(rows, score.Row{Where: fmt.Sprintf("--text %d", i+1), Line: i + 1, Text: &texts[i]})
	}
	return rows, nil
}

// checkUTF8 refuses text i of a repeated flag where it is not UTF-8.
func checkUTF8(flag string, i int, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s %d: not UTF-8: convert it", flag, i+1)
	}
	return nil
}

// readRows reads the rows of a file; a line that is no JSON is said to be perhaps a text.
func readRows(r io.Reader, name string, plain bool) ([]score.Row, error) {
	rows, err := score.ReadRows(r, name, plain)
	if errors.Is(err, jsonlines.ErrNotJSON) {
		err = fmt.Errorf("%w (plain text needs --lines)", err)
	}
	return rows, err
}

func (a *app) score(ctx context.Context, f *scoreFlags, rows []score.Row) (err error) {
	progress := a.console().Progress
	w, stack, placed, err := f.open(a.console(), "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	s, err := score.New(w, stack, placed, f.options, progress)
	if err != nil {
		return scoreHint(err)
	}
	sequences, changes, err := s.Encode(rows)
	if err != nil {
		return scoreHint(err)
	}
	for _, text := range changesText(changes) {
		progress.Note(text)
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	if isTerminal(a.out) {
		progress = nil // the results are the progress
	}
	encode := json.NewEncoder(a.out)
	encode.SetEscapeHTML(false)
	return s.Run(ctx, sequences, progress, func(r *score.Record) error { return encode.Encode(r) })
}

// scoreHint names the flags that mend an error.
func scoreHint(err error) error {
	var row *score.RowError
	switch {
	case errors.Is(err, score.ErrNoHead):
		return fmt.Errorf("score: --head: %w: add a reward model with --adapter", err)
	case errors.Is(err, score.ErrNoBOS):
		return fmt.Errorf("score: --bos on: %w", err)
	case errors.Is(err, score.ErrNoTemplate) && errors.As(err, &row):
		return fmt.Errorf(`score: %s: "messages" need a --template`, row.Where)
	case errors.Is(err, lm.ErrContextFull):
		return fmt.Errorf("%w, or set --overlong to drop, truncate or truncate_left", err)
	}
	return err
}

// changesText says what was not evaluated as it came.
func changesText(c score.Changes) []string {
	var out []string
	note := func(n int, format string, args ...any) {
		if n > 0 {
			out = append(out, fmt.Sprintf("score: "+format, append([]any{n}, args...)...))
		}
	}
	note(c.Dropped, "%d rows longer than the context were dropped")
	note(c.Truncated, "%d rows longer than the context were truncated")
	note(c.RewardTruncated, "%d rows longer than the reward model's limit were cut from the left, as in its training")
	note(c.Templated, "%d conversations are put in template %s, the adapters' own (--template plain: end to end)",
		c.Template)
	note(c.BareTexts, `%d rows are bare texts, but the reward model reads conversations: give "prompt" and "response"`)
	return out
}
