package eval

import "fmt"

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

// Validate checks the settings by themselves.
func (s Settings) Validate() error {
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
	return s.BOS.Validate()
}

// Report passes progress on, if anybody wants to know.
func (s Settings) Report(p Progress) {
	if s.OnProgress != nil {
		s.OnProgress(p)
	}
}

// BOSMode says whether a begin-of-sequence token precedes a text. Results with and
// without it are not comparable (lm-evaluation-harness changed its default for
// Llama in v0.4.9.2), so it is an explicit option.
type BOSMode string

// The modes.
const (
	BOSAuto BOSMode = "auto" // as the model's tokenizer asks
	BOSOn   BOSMode = "on"   // always
	BOSOff  BOSMode = "off"  // never
)

// Values lists the modes, for configuration checks.
func (BOSMode) Values() []string { return []string{string(BOSAuto), string(BOSOn), string(BOSOff)} }

// Validate refuses what is none of the modes.
func (m BOSMode) Validate() error {
	switch m {
	case BOSAuto, BOSOn, BOSOff:
		return nil
	}
	return fmt.Errorf("eval: bos: want auto, on or off, got %q", string(m))
}
