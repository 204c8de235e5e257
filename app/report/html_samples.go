package report

import "strings"

// prompts groups the samples by prompt: the runs' answers to one stand together.
func (r *Report) prompts() []sampleView {
	var out []sampleView
	for i, s := range r.Samples {
		if i == 0 || s.Run == "" || r.Samples[i-1].Prompt != s.Prompt {
			out = append(out, sampleView{Title: sampleTitle(s.Prompt), Prompt: s.Prompt, Open: i == 0})
		}
		last := &out[len(out)-1]
		last.Runs = append(last.Runs, runAnswers{Label: s.Run, Answers: r.answers(s)})
	}
	return out
}

// titleRunes is how much of a prompt is its title.
const titleRunes = 110

func sampleTitle(prompt string) string {
	title := []rune(strings.Join(strings.Fields(prompt), " "))
	if len(title) > titleRunes {
		title = append(title[:titleRunes], '…')
	}
	return string(title)
}

func (r *Report) answers(s Sample) []answerView {
	var out []answerView
	for _, name := range r.answerOrder(s) {
		a := answerView{Model: name, Text: s.Answers[name]}
		own := r.model(name).theoryOf()
		for _, reward := range orderTheories(sortedKeys(s.Scores[name])) {
			a.Scores = append(a.Scores, scoreView{Reward: reward, Score: s.Scores[name][reward], Own: reward == own})
		}
		out = append(out, a)
	}
	return out
}

// answerOrder lists the models that answered, in the order of the tables.
func (r *Report) answerOrder(s Sample) []string {
	var out []string
	for _, m := range r.Models {
		if _, ok := s.Answers[m.Name]; ok {
			out = append(out, m.Name)
		}
	}
	for _, name := range sortedKeys(s.Answers) {
		if r.modelIndex(name) < 0 {
			out = append(out, name)
		}
	}
	return out
}
