// Package function holds reward functions: what gives an answer a score without being a reward model.
//
// A [Function] is a program of the user's that is started once and asked line by line ([Command]), a
// server that is asked over HTTP ([HTTP]), or a rule with settings: [Regex], [Length], [Repetition],
// [ExactMatch], [NumberMatch]. All are asked with [Sample]s and answer with a float64 for each, NaN
// where they do not score that sample.
//
//	f, err := function.OpenCommand("arithmetic", function.Command{Args: []string{"python3", "grade.py"}})
//	columns, err := f.Score(ctx, samples) // [len(f.Names())][len(samples)]
//	err = f.Close()
//
// What goes over the wire is in protocol.go; docs/reward-functions.md says it to users. Whatever goes
// wrong with a function is an *[Error] that wraps [ErrReward]; it names the sample.
//
// It imports rl/data, for messages, and internal; it knows neither models nor tokenizers. app/jobs makes
// one scorer of functions and reward models.
package function
