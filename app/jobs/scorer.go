package jobs

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"steer/app/workspace"
	"steer/ggml"
	"steer/rewards"
	"steer/rl/data"
	"steer/rl/rollout"
)

// scorer is a reward model as PPO and evaluation ask it: normalised scores of episodes.
type scorer struct {
	*rewards.Scorer
	w *workspace.Workspace
	asking
	limit  int // tokens the reward model was trained on
	theory string
	// encoder puts conversations in the form of the adapter's training; nil with the
	// reason where its metadata do not tell that form.
	encoder   *rewards.Encoder
	noEncoder error
	trained   rewards.Form
	// reencode: its conversations have another form than those it is asked about, which
	// are put before it in its own.
	reencode bool
}

// asking is how the conversations that a reward model is asked about are made.
type asking struct {
	template *data.Template
	stop     []int32 // ids that end an answer; the last is the template's
	text     RewardText
}

// openScorer opens the reward adapter at path on the base and the adapters below it.
func openScorer(
	w *workspace.Workspace, belowPaths []string, path string, asked asking, batchTokens int,
) (*scorer, error) {
	below, stack, err := w.LoadStack(belowPaths, workspace.UseBelow)
	if err != nil {
		return nil, err
	}
	host, err := w.ReadAdapter(path)
	if err != nil {
		return nil, err
	}
	if err := workspace.CheckRole(path, host, workspace.UseReward); err != nil {
		return nil, err
	}
	if err := w.CheckStack(append(slices.Clone(stack), w.Placed(path, host))); err != nil {
		return nil, err
	}
	live, err := w.Adapter(host, false)
	if err != nil {
		return nil, fmt.Errorf("reward model %s: %w", path, err)
	}
	step, err := w.Step(append(append([]*ggml.Adapter{}, below...), live), false, 0)
	if err != nil {
		return nil, fmt.Errorf("reward model %s: %w", path, err)
	}
	s, err := rewards.NewScorer(step, host.Head, batchTokens)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	limit := w.Model.Info().CtxTrain
	if n, err := strconv.Atoi(host.Meta[rewards.MetaMaxLength]); err == nil {
		limit = min(limit, n)
	}
	out := &scorer{Scorer: s, w: w, asking: asked, limit: limit, theory: host.Meta[rewards.MetaTheory]}
	if out.encoder, out.noEncoder = rewards.EncoderOf(host.Meta, w.Tok); out.noEncoder == nil {
		out.trained = out.encoder.Form()
		out.compareForms(path)
	}
	return out, nil
}

// compareForms decides whether conversations have to be put before the reward model in
// another form than the one they are asked in, and says so.
func (s *scorer) compareForms(path string) {
	own := s.encoder.Template()
	if s.template == nil || s.trained != rewards.FormChat ||
		sameForm(own, s.template) {
		return
	}
	s.reencode = true
	differ := fmt.Sprintf("template %s, answers are asked for with %s", own.Name(), s.template.Name())
	switch {
	case own.SHA256() != s.template.SHA256() && own.Name() == s.template.Name():
		differ = "another model's chat template"
	case !own.Date().Equal(s.template.Date()):
		differ = "another date"
	case own.Vars().Text() != s.template.Vars().Text():
		differ = "other template variables"
	case own.Name() == s.template.Name():
		differ = fmt.Sprintf("system message %.60q, answers are asked for with %.60q", own.System(),
			s.template.System())
	}
	s.w.Remark(fmt.Sprintf("reward model %s was trained with %s: prompts and answers are put before it in its own "+
		"form", path, differ))
}

// sameForm tells whether two templates write the same of every conversation.
func sameForm(a, b *data.Template) bool {
	return a.Name() == b.Name() && a.System() == b.System() && a.SHA256() == b.SHA256() && a.Date().Equal(b.Date()) &&
		a.Vars().Text() == b.Vars().Text()
}

// Names implements rollout.Scorer.
func (s *scorer) Names() []string { return []string{s.theory} }

// Score implements rollout.Scorer.
func (s *scorer) Score(ctx context.Context, episodes []rollout.Episode) ([][]float64, error) {
	sequences := make([][]int32, len(episodes))
	for i, e := range episodes {
		ids, err := s.exchange(e.Messages, slices.Concat(e.Tokens, e.Response), e.Text, e.ResponseText)
		if err != nil {
			return nil, fmt.Errorf("episode %d: %w", i, err)
		}
		sequences[i] = s.cut(ids)
	}
	scores, err := s.Scorer.Score(ctx, sequences)
	return [][]float64{rollout.Widen(scores)}, err
}

// exchange is what the reward model reads of an answer to a prompt: the conversation in its
// own form where it was trained in another one, else the tokens or the text as they are.
// An answer that its length ended is closed in either way.
func (s *scorer) exchange(prompt []data.Message, ids []int32, promptText, answer string) ([]int32, error) {
	if !s.reencode || prompt == nil {
		return s.tokens(ids, promptText+answer)
	}
	said := data.Message{Role: data.RoleAssistant, Content: s.template.Answer(answer)}
	ids, err := s.encoder.Conversation(append(slices.Clone(prompt), said))
	if err != nil {
		return nil, err
	}
	return s.encoder.Cut(ids), nil
}

// tokens is what the reward model reads of an episode: its tokens, closed, or its text
// tokenized again.
func (s *scorer) tokens(ids []int32, text string) ([]int32, error) {
	if s.text == RewardRetokenized {
		return s.w.Tok.Encode(text, true, true)
	}
	return s.close(ids), nil
}

// close ends an answer that its length ended with the template's end token: the score
// is read where the reward model learned to give it.
func (s *scorer) close(ids []int32) []int32 {
	if len(s.stop) == 0 || len(ids) > 0 && slices.Contains(s.stop, ids[len(ids)-1]) {
		return ids
	}
	return append(ids, s.stop[len(s.stop)-1])
}

// cut keeps the end of a sequence longer than the reward model's.
func (s *scorer) cut(ids []int32) []int32 {
	if len(ids) > s.limit {
		ids = ids[len(ids)-s.limit:]
	}
	return ids
}

func numbered(role string, i int) string { return fmt.Sprintf("%s.%d", role, i) }
