package jobs

import (
	"errors"
	"fmt"

	"steer/app/workspace"
	"steer/rl/data"
	"steer/rl/rollout"
	"steer/rl/run"
)

// readPrompts reads conversations and renders what comes before the first answer. Longer
// ones than max, and those that ask nothing, are left out and counted.
func readPrompts(
	w *workspace.Workspace, load func(data.Source) ([]data.Conversation, data.Loaded, error), src data.Source,
	role string, tpl *data.Template, max, room int,
) ([]rollout.Prompt, run.DataFile, error) {
	rows, loaded, err := load(src)
	if err != nil {
		return nil, run.DataFile{}, err
	}
	w.NoteData(loaded)
	var out []rollout.Prompt
	dropped, noQuestion, shortest, left := 0, 0, 0, 0
	var refused *data.Refusal
	for _, c := range rows {
		question := c.FirstPrompt()
		if question == nil {
			noQuestion++
			continue
		}
		segments, err := tpl.Prompt(question)
		if errors.As(err, &refused) && refused.Raised {
			left++
			continue
		}
		if err != nil {
			return nil, run.DataFile{}, fmt.Errorf("%s: line %d: %w", loaded.Path, c.Line, err)
		}
		e, err := data.Tokenize(w.Tok, segments, data.TokenizeOptions{})
		if err != nil {
			return nil, run.DataFile{}, fmt.Errorf("%s: line %d: %w", loaded.Path, c.Line, err)
		}
		if len(e.IDs) == 0 || len(e.IDs) > max {
			if dropped++; shortest == 0 || len(e.IDs) < shortest {
				shortest = len(e.IDs)
			}
			continue
		}
		out = append(out, rollout.Prompt{
			Tokens: e.IDs, Text: data.Text(segments, "", ""), Messages: question, ID: c.ID(), Fields: c.Fields,
		})
	}
	if left > 0 && left+noQuestion == len(rows) {
		return nil, run.DataFile{}, fmt.Errorf("%s: all of %d prompts: %w", loaded.Path, left, refused)
	}
	if left > 0 {
		w.Warn(fmt.Sprintf("%s: %d of %d prompts are left out: %v", loaded.Path, left, len(rows), refused))
	}
	if len(out) == 0 {
		return nil, run.DataFile{},
			fmt.Errorf("%s: %s", loaded.Path, noPrompt(len(rows), noQuestion, shortest, max, room))
	}
	info := run.DataFile{
		Path: loaded.Path, Role: role, Rows: loaded.Rows, Used: len(out), Dropped: &dropped,
		NoQuestion: noQuestion, Refused: left,
	}
	if noQuestion > 0 {
		w.Warn(fmt.Sprintf("%s: %d of %d conversations ask nothing (no user message before the first answer) and "+
			"were left out",
			loaded.Path, noQuestion, len(rows)))
	}
	return out, info, nil
}

// noPrompt says why no prompt is left of n, and what helps. The shortest has so many
// tokens; max are allowed, room is what the model's context leaves beside the answer.
func noPrompt(n, noQuestion, shortest, max, room int) string {
	if noQuestion == n {
		return fmt.Sprintf("none of %d conversations asks anything: want a user message before the first answer", n)
	}
	s := fmt.Sprintf("none of %d prompts has at most %d tokens; the shortest has %d: ", n-noQuestion, max, shortest)
	if shortest > room {
		return s + fmt.Sprintf("the model's context leaves room for %d beside the answer: shorten the prompts, lower "+
			"max_new_tokens, or take a model with a longer context", room)
	}
	return s + "raise max_prompt_tokens"
}
