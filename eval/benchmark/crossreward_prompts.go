package benchmark

import (
	"fmt"

	"steer/eval"
	"steer/eval/query"
	"steer/ggml/lm"
	"steer/rl/data"
	"steer/rl/run"
)

// oddities are warnings of what was odd about a file of conversations.
func oddities(key string, loaded data.Loaded) []string {
	var out []string
	for _, n := range loaded.Notes {
		out = append(out, fmt.Sprintf("warning: %s: %s: %s", key, loaded.Path, n))
	}
	return out
}

// PromptWarnings are what should be said aloud of the file.
func PromptWarnings(f *run.DataFile) []string {
	out := oddities("cross_reward.prompts", data.Loaded{Path: f.Path, Notes: f.Notes})
	if f.Refused > 0 {
		out = append(out, fmt.Sprintf("warning: cross_reward.prompts: %s: %d of %d conversations are refused by the "+
			"model's chat template and were left out", f.Path, f.Refused, f.Rows))
	}
	if f.NoQuestion > 0 {
		out = append(out, fmt.Sprintf("warning: cross_reward.prompts: %s: %d of %d conversations ask nothing "+
			"(no user message before the first answer) and were left out", f.Path, f.NoQuestion, f.Rows))
	}
	if f.Dropped != nil && *f.Dropped > 0 {
		out = append(out, fmt.Sprintf("cross_reward.prompts: %s: %d prompts, %d left out (of no token, or of more "+
			"than max_prompt_tokens)", f.Path, f.Used, *f.Dropped))
	}
	return out
}

// LoadPrompts reads conversations and renders what comes before the first answer of
// each with a template. Prompts of more than max_prompt_tokens tokens, and conversations
// that ask nothing, are left out and counted.
func LoadPrompts(
	c CrossRewardConfig, tok lm.Tokenizer, tpl *data.Template, bos eval.BOSMode,
) ([]query.Prompt, *run.DataFile, error) {
	conversations, loaded, err := data.LoadPrompts(c.Prompts)
	if err != nil {
		return nil, nil, fmt.Errorf("eval: cross_reward.prompts: %w", err)
	}
	dropped := 0
	file := &run.DataFile{Rows: loaded.Rows, Dropped: &dropped, Notes: loaded.Notes}
	if file.Path, file.SHA256, err = FileSHA256(c.Prompts.Path); err != nil {
		return nil, nil, err
	}
	var prompts []query.Prompt
	for _, conversation := range conversations {
		question := conversation.FirstPrompt()
		if question == nil {
			file.NoQuestion++
			continue
		}
		segments, err := tpl.Prompt(question)
		if data.Refused(err) {
			file.Refused++
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("eval: cross_reward.prompts: %s: line %d: %w", file.Path, conversation.Line,
				err)
		}
		example, err := data.Tokenize(tok, segments, data.TokenizeOptions{NoBOS: bos == eval.BOSOff})
		if err != nil {
			return nil, nil, fmt.Errorf("eval: cross_reward.prompts: %s: line %d: %w",
				file.Path, conversation.Line, err)
		}
		if len(example.IDs) == 0 || len(example.IDs) > c.MaxPromptTokens {
			dropped++
			continue
		}
		prompts = append(prompts, query.Prompt{
			ID:     fmt.Sprintf("%d", conversation.Line),
			Text:   data.Text(segments, "", ""),
			Tokens: example.IDs,
			Turns:  question,
		})
	}
	if file.NoQuestion == len(conversations) {
		return nil, nil, fmt.Errorf("eval: cross_reward.prompts: %s: none of %d conversations asks anything (want "+
			"a user message before the first answer): %w", file.Path, len(conversations), eval.ErrNoItems)
	}
	if file.NoQuestion+file.Refused == len(conversations) {
		return nil, nil, fmt.Errorf("eval: cross_reward.prompts: %s: the model's chat template refuses all %d "+
			"conversations that ask something: %w", file.Path, file.Refused, eval.ErrNoItems)
	}
	if len(prompts) == 0 {
		return nil, nil, fmt.Errorf("eval: cross_reward.prompts: %s: none of %d prompts has from 1 to %d tokens: %w",
			file.Path, len(conversations), c.MaxPromptTokens, eval.ErrNoItems)
	}
	file.Used = len(prompts)
	return prompts, file, nil
}

// Options turns the configuration into options; answers stop where the template's
// do, and at EOS.
func (c CrossRewardConfig) Options(tok lm.Tokenizer, tpl *data.Template) (CrossRewardOptions, error) {
	o := CrossRewardOptions{
		Generate: query.GenerateOptions{
			MaxNew:      c.MaxNewTokens,
			Sampling:    lm.Sampling{Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, MinP: c.MinP},
			StopStrings: tpl.StopStrings(),
			Batch:       c.Batch,
		},
		Reference: c.Reference, Samples: c.Samples, Bins: c.Bins,
	}
	var err error
	if o.Generate.StopTokens, err = tpl.StopIDs(tok); err != nil {
		return o, fmt.Errorf("eval: cross_reward: %w", err)
	}
	return o, nil
}
