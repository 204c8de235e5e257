// Package journal stands between a measurement and its models and keeps every answer on disk
// before the next question is asked, so that an interrupted evaluation ends in the same bits and
// loses nothing but the batch that was being computed.
//
//	j, err := journal.Open(path, fingerprint, note)
//	asked := j.Subject(model) // answers from the file where it can
//
// It may import eval, the contract with the engine (ggml/lm) and what a fingerprint is
// (rl/run). eval/suite uses it.
package journal
