package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"steer/app/chat"
	"steer/app/jsonlines"
	"steer/app/source"
	"steer/ggml/lm"
	"steer/internal/printable"
	"steer/rl/data"
)

type generateFlags struct {
	generationFlags
	prompts []string
	file    string
	n       int
	asJSON  bool
}

func newGenerateCommand(a *app) *cobra.Command {
	f := generateFlags{}
	cmd := &cobra.Command{
		Use: "generate --model FILE --prompt TEXT", GroupID: "use",
		Short: "Answer prompts with a base and adapters",
		Long: `Answers prompts as a user's messages, in the template that the adapters were
trained with, or continues them as they are (--template plain). A bare base
continues, as do adapters that do not say their template, unless --template says
otherwise. Prompts come from --prompt or --file: JSON lines {"prompt": "..."} or
{"messages": [...]}, or plain text lines in a .txt file; "-" is standard input.
At most two adapters. A single answer is printed as it comes on a terminal.

On the CPU an answer is that of its prompt and seed alone: it does not depend on
the prompts answered beside it, their number or order, nor on the number of
threads. Other kernels (steer version names them) give other last bits. On a GPU
ggml decodes, and a near tie may fall otherwise beside other prompts.

With --json: a line for each answer with "prompt", "text", "tokens" and "finish"
(stop_token, stop_string or length).`,
		Example: `  steer generate -m base.gguf --prompt "Once upon a time" --max-new 64
  steer generate -m base.gguf -a runs/sft/adapter.gguf \
      -a runs/ppo-virtue/adapter.gguf --file prompts.jsonl --n 4 --seed 1 --json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (len(f.prompts) == 0) == (f.file == ""):
				return usagef("want --prompt or --file, and one of them only")
			case f.n < 1 || f.n > 10000:
				return usagef("--n: want 1 to 10000, got %d", f.n)
			}
			if err := f.check(cmd, a); err != nil {
				return err
			}
			if err := a.locate(cmd.Context(), source.Data, "--file", &f.file); err != nil {
				return err
			}
			prompts, err := a.readPrompts(&f)
			if err != nil {
				return err
			}
			return a.generate(cmd.Context(), &f, prompts)
		},
	}
	f.bind(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.prompts, "prompt", "p", nil, "answer this `TEXT`; may be repeated")
	flags.StringVarP(&f.file, "file", "f", "", "`FILE` of prompts, - for standard input")
	flags.IntVarP(&f.n, "n", "n", 1, "answers to each prompt")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON lines")
	return cmd
}

// readPrompts gives the prompts of flags or file.
func (a *app) readPrompts(f *generateFlags) ([]chat.Prompt, error) {
	var prompts []chat.Prompt
	var err error
	switch f.file {
	case "":
		for i, text := range f.prompts {
			if err := checkUTF8("generate: --prompt", i, text); err != nil {
				return nil, err
			}
			prompts = append(prompts, chat.UserPrompt(fmt.Sprintf("prompt %d", i+1), i+1, text))
		}
		return prompts, nil
	case "-":
		prompts, err = chat.ReadPrompts(a.in, "standard input", false)
	default:
		r, openErr := data.Open(f.file)
		if openErr != nil {
			return nil, fmt.Errorf("generate: %w", openErr)
		}
		defer r.Close()
		prompts, err = chat.ReadPrompts(r, r.Path, jsonlines.IsPlainText(r.Path))
	}
	switch {
	case errors.Is(err, jsonlines.ErrNotJSON):
		err = fmt.Errorf("generate: %w (plain text: name the file .txt)", err)
	case err != nil:
		err = fmt.Errorf("generate: %w", err)
	}
	return prompts, err
}

// generation is one line of --json.
type generation struct {
	Line    int             `json:"line"`   // of the file, or number of the --prompt
	Sample  int             `json:"sample"` // from 0
	Prompt  string          `json:"prompt"` // the last message
	Text    string          `json:"text"`
	Finish  lm.FinishReason `json:"finish"`
	NTokens int             `json:"n_tokens"`
	Tokens  []int32         `json:"tokens"` // of the answer, the one that ended it included
	Asked   int             `json:"prompt_tokens"`
	Seed    uint64          `json:"seed"`
}

func (a *app) generate(ctx context.Context, f *generateFlags, prompts []chat.Prompt) (err error) {
	w, assistant, err := f.open(a.console(), func() (data.TemplateName, string, error) {
		if len(f.adapters) == 0 {
			return data.TemplatePlain, "", nil
		}
		return data.TemplatePlain, "the adapters do not say theirs", nil
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	reqs, err := assistant.Requests(prompts, f.n, f.seed)
	if err != nil {
		return fmt.Errorf("generate: %w", tooLong(err))
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	if len(reqs) == 1 && !f.asJSON && isTerminal(a.out) {
		out := &answerWriter{w: a.out}
		return out.end(assistant.Stream(ctx, reqs[0], out.show), "generate")
	}
	k := 0
	for g, err := range assistant.Answers(ctx, reqs) {
		if err != nil {
			return fmt.Errorf("generate: %w", err)
		}
		text := assistant.Text(g)
		if err := a.printGeneration(f, text, prompts[k/f.n], reqs[k], g, k%f.n, len(reqs) > 1); err != nil {
			return err
		}
		k++
	}
	return nil
}

// printGeneration prints an answer; several says that it is not the only one.
func (a *app) printGeneration(
	f *generateFlags, text string, p chat.Prompt, req lm.Request, g lm.Generation, sample int, several bool,
) error {
	if f.asJSON {
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		return e.Encode(generation{
			Line: p.Line, Sample: sample, Prompt: p.Last(), Text: text, Finish: g.Finish,
			NTokens: len(g.Tokens), Tokens: g.Tokens, Asked: len(req.Prompt), Seed: req.Seed,
		})
	}
	text = strings.TrimRight(text, "\n")
	if several {
		text = fmt.Sprintf("--- %s, answer %d of %d: %s\n%s\n", p.Where, sample+1, f.n, printable.Text(p.Last(), 40),
			text)
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}
