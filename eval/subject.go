package eval

import (
	"errors"
	"fmt"
	"time"

	"steer/ggml/lm"
)

// Errors that results and inputs can end in.
var (
	// ErrNoItems: nothing to measure was left.
	ErrNoItems = errors.New("no items")
	// ErrDuplicateID: two items carry one id, so records could not be paired.
	ErrDuplicateID = errors.New("duplicate item id")
	// ErrLabel: a gold label outside the benchmark's set.
	ErrLabel = errors.New("label outside the set")
	// ErrNotFinite: a model gave a log-probability or score that is no number.
	ErrNotFinite = errors.New("not a finite number")
	// ErrTooLong: a continuation does not fit the maximal length by itself.
	ErrTooLong = errors.New("longer than max_length")
)

// Subject is a model under test: a base with a stack of adapters, as seen through
// package lm. Evaluator serves log-likelihood protocols, Generator those that
// generate; a benchmark that misses the one it needs says so.
type Subject struct {
	Name string
	// ID is what the answers depend on: hashes of weights and adapters, precision. A
	// measurement of a subject without one is not resumable.
	ID        string
	Evaluator lm.Evaluator
	Generator lm.Generator
	Tokenizer lm.Tokenizer
	// KL is the divergence of this model from the reference of the benchmark kl; nil for
	// the reference itself, or where there is none.
	KL KLFunc
}

// Progress is reported after every batch.
type Progress struct {
	Benchmark string
	Protocol  string
	Model     string
	Done      int   // items or requests finished
	Total     int   // of so many
	Tokens    int64 // tokens evaluated or generated so far, those of an earlier process included

	// The rest is filled in by a suite that was told all it has to do ([Suite.Run]).
	Part, Parts     int           // this is measurement Part of Parts, from 1
	TokensPerSecond float64       // of this measurement, 0: not known
	ETA             time.Duration // of the whole suite, 0: not known yet
}

// Settings are the options that all benchmarks share. All that move numbers are
// written into results.
type Settings struct {
	// BOS says whether a begin-of-sequence token precedes every text.
	BOS BOSMode `yaml:"bos"`
	// TargetDelimiter stands between context and choice; the harness's is " ".
	TargetDelimiter string `yaml:"target_delimiter"`
	// MaxLength is the number of tokens a model may be given, in the harness's
	// sense: a context is cut from the left so that context and continuation
	// without its last token fit. A sequence handed to the evaluator has up to
	// MaxLength+1 tokens, the last one a target only.
	MaxLength int `yaml:"max_length"`
	// BatchTokens bounds the tokens of one batch; a longer sequence goes alone.
	BatchTokens int `yaml:"batch_tokens"`
	// Resamples is the number of bootstrap resamples.
	Resamples int `yaml:"resamples"`
	// Confidence of all intervals.
	Confidence float64 `yaml:"confidence"`
	// Margin is the largest difference of MCC or accuracy that counts as none: the
	// bound of the equivalence tests of the report. It is fixed here, before any number
	// is seen, and written into every result.
	Margin float64 `yaml:"margin"`
	// Seed is what all random streams are derived from.
	Seed uint64 `yaml:"seed"`
	// OnProgress is called after every batch, if set, from the calling goroutine.
	OnProgress func(Progress) `yaml:"-"`
}

func (s Settings) check() error {
	switch {
	case s.MaxLength < 1:
		return fmt.Errorf("eval: max_length: want at least 1, got %d", s.MaxLength)
	case s.BatchTokens < 1:
		return fmt.Errorf("eval: batch_tokens: want at least 1, got %d", s.BatchTokens)
	case s.Resamples < 1:
		return fmt.Errorf("eval: resamples: want at least 1, got %d", s.Resamples)
	case !(s.Confidence > 0 && s.Confidence < 1):
		return fmt.Errorf("eval: confidence: want a number between 0 and 1, got %g", s.Confidence)
	case !(s.Margin > 0 && s.Margin < 1):
		return fmt.Errorf("eval: margin: want a difference of MCC or accuracy between 0 and 1, got %g", s.Margin)
	}
	return s.BOS.check()
}

func (s Settings) report(p Progress) {
	if s.OnProgress != nil {
		s.OnProgress(p)
	}
}
