package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"steer/ggml/lm"
	"steer/internal/seed"
	"steer/internal/strictjson"
	"steer/rl/data"
)

type generateFlags struct {
	decodeFlags
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
			if err := f.check(cmd); err != nil {
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

// userPrompt is a prompt with where it is from.
type userPrompt struct {
	where    string
	line     int
	messages []data.Message
}

// readPrompts gives the prompts of flags or file.
func (a *app) readPrompts(f *generateFlags) ([]userPrompt, error) {
	if f.file == "" {
		rows, err := textRows("generate: --prompt", f.prompts)
		return promptsOf(rows), err
	}
	if f.file == "-" {
		return readPromptLines(a.in, "standard input", false)
	}
	r, err := data.Open(f.file)
	if err != nil {
		return nil, fmt.Errorf("generate: %w", err)
	}
	defer r.Close()
	return readPromptLines(r, r.Path, isText(r.Path))
}

func promptsOf(rows []scoreRow) []userPrompt {
	out := make([]userPrompt, len(rows))
	for i, r := range rows {
		out[i] = userPrompt{where: fmt.Sprintf("prompt %d", i+1), line: i + 1, messages: []data.Message{{Role: data.RoleUser, Content: *r.text}}}
	}
	return out
}

func readPromptLines(r io.Reader, name string, plain bool) ([]userPrompt, error) {
	var out []userPrompt
	err := eachLine(r, "generate: "+name, func(line int, text []byte) error {
		p := userPrompt{where: fmt.Sprintf("%s: line %d", name, line), line: line}
		var v struct {
			Prompt   *string        `json:"prompt"`
			Text     *string        `json:"text"`
			Messages strictjson.Raw `json:"messages"`
		}
		if plain {
			s := string(text)
			v.Prompt = &s
		} else if err := unmarshalRow(text, &v, "plain text: name the file .txt"); err != nil {
			return fmt.Errorf("generate: %s: %w", p.where, err)
		}
		messages, err := messagesOf(v.Messages)
		if err != nil {
			return fmt.Errorf("generate: %s: %w", p.where, err)
		}
		if v.Prompt == nil {
			v.Prompt = v.Text
		}
		switch {
		case messages != nil:
			if p.messages, _ = trimAnswer(messages); !slices.ContainsFunc(p.messages, func(m data.Message) bool { return m.Role == data.RoleUser }) {
				return fmt.Errorf(`generate: %s: field "messages": want a message of the user: there is nothing to answer`, p.where)
			}
		case v.Prompt != nil:
			p.messages = []data.Message{{Role: data.RoleUser, Content: *v.Prompt}}
		default:
			return fmt.Errorf(`generate: %s: want "prompt" or "messages", got %s`, p.where, keysOf(text))
		}
		out = append(out, p)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("generate: %s: no prompts: want at least one line", name)
	}
	return out, err
}

// trimAnswer takes the last answer off a conversation: it is what is to be generated.
func trimAnswer(messages []data.Message) (prompt []data.Message, answered bool) {
	if n := len(messages); n > 0 && messages[n-1].Role == data.RoleAssistant {
		return messages[:n-1], true
	}
	return messages, false
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

func (a *app) generate(ctx context.Context, f *generateFlags, prompts []userPrompt) (err error) {
	b, s, err := f.openSpeaker(a.console(), func() (data.TemplateName, string, error) {
		if len(f.adapters) == 0 {
			return data.TemplatePlain, "", nil
		}
		return data.TemplatePlain, "the adapters do not say theirs", nil
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var reqs []lm.Request
	for i, p := range prompts {
		ids, err := s.prompt(p.messages)
		if err == nil {
			err = s.fits(ids)
		}
		if err != nil {
			return fmt.Errorf("generate: %s: %w", p.where, err)
		}
		for j := range f.n {
			reqs = append(reqs, s.request(ids, seed.Derive(f.seed, "generate", uint64(i), uint64(j))))
		}
	}
	ctx, cancel := a.cancellable(ctx)
	defer cancel()
	// Some more than are decoded at once, so that a slot that becomes free is filled
	// again, and results appear as they come.
	chunk := 4 * f.engine.Sequences
	if len(reqs) == 1 && !f.asJSON && isTerminal(a.out) {
		out := &stream{s: s, w: a.out}
		reqs[0].OnToken = out.token
		got, err := s.generator.Generate(ctx, reqs, f.sampling)
		if err != nil {
			return fmt.Errorf("generate: %w", err)
		}
		return out.end(strings.TrimRight(s.text(got[0]), "\n"))
	}
	for done := 0; done < len(reqs); done += chunk {
		part := reqs[done:min(done+chunk, len(reqs))]
		out, err := s.generator.Generate(ctx, part, f.sampling)
		if err != nil {
			return fmt.Errorf("generate: %w", err)
		}
		for k, g := range out {
			i, j := (done+k)/f.n, (done+k)%f.n
			if err := a.printGeneration(f, s, prompts[i], part[k], g, j, len(reqs) > 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) printGeneration(f *generateFlags, s *speaker, p userPrompt, req lm.Request, g lm.Generation, sample int, several bool) error {
	last := ""
	if n := len(p.messages); n > 0 {
		last = p.messages[n-1].Content
	}
	if f.asJSON {
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		return e.Encode(generation{
			Line: p.line, Sample: sample, Prompt: last, Text: s.text(g), Finish: g.Finish,
			NTokens: len(g.Tokens), Tokens: g.Tokens, Asked: len(req.Prompt), Seed: req.Seed,
		})
	}
	text := strings.TrimRight(s.text(g), "\n")
	if several {
		text = fmt.Sprintf("--- %s, answer %d of %d: %s\n%s\n", p.where, sample+1, f.n, printable(last, 40), text)
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}
