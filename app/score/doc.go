// Package score evaluates texts, token ids and conversations under a model with a stack of adapters:
// log-probabilities, entropies, and the scalar head of a reward model.
//
//	s, err := score.New(w, stack, placed, score.Default(), progress)
//	sequences, changes, err := s.Encode(rows)
//	err = s.Run(ctx, sequences, progress, func(r *score.Record) error { ... })
//
// Rows come from [ReadRows], or are made by the caller. It may import the workspace, the rewards'
// form of texts, and rl/data; it knows neither flags nor the terminal. Commands stand on it. What
// generates is package chat.
package score
