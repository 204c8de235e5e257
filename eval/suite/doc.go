// Package suite runs what a configuration asks for: every benchmark of every model, the
// continuations under their judges and the cross-reward matrix. It writes records and outcomes,
// takes up what an interrupted or an earlier run has left as long as nothing that moves its numbers
// has changed (its fingerprint), and tells how far it is and how long it will take.
//
//	s, err := suite.New(cfg, "runs/eval")
//	measurements, matrix, err := s.Run(ctx, subjects, rewards)
//
// It may import every room of the evaluation below it, and what lies in run folders
// (rl/run). Above it stand the jobs (app/jobs).
package suite
