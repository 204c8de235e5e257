package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/atomicfile"
	"steer/internal/conf"
)

// RecordsSuffix ends the names of files of records.
const RecordsSuffix = ".jsonl.zst"

// OutcomeFile is the outcome of the measurement with these records.
func OutcomeFile(records string) string {
	return strings.TrimSuffix(records, RecordsSuffix) + ".json"
}

// JournalFile keeps the answers of the measurement with these records while it goes on.
func JournalFile(records string) string {
	return strings.TrimSuffix(records, RecordsSuffix) + JournalSuffix
}

// JournalSuffix ends the names of those.
const JournalSuffix = ".part"

// Outcome is the outcome of one measurement of an evaluation, in items/ beside its records: an
// evaluation that is begun again takes it up as it is, as long as nothing that moves its numbers
// has changed. It is of one benchmark and model, or of the cross-reward matrix.
type Outcome struct {
	Version     int         `json:"version"` // OutcomeVersion
	Fingerprint Fingerprint `json:"fingerprint"`
	// Records is the SHA-256 of the file of records.
	Records     string       `json:"records_sha256"`
	Benchmark   *Measurement `json:"benchmark,omitempty"`
	CrossReward *CrossReward `json:"cross_reward,omitempty"`
	Samples     []Sample     `json:"samples,omitempty"` // of the matrix
}

// Check finds what contradicts itself.
func (m *Outcome) Check() error {
	var errs []error
	if m.Benchmark != nil {
		errs = append(errs, m.Benchmark.check("benchmark"))
	}
	if m.CrossReward != nil {
		errs = append(errs, m.CrossReward.check())
	}
	return first(errs)
}

// Write stores the outcome of the measurement with these records, as this version does, and gives
// it as a later process will read it.
func (m *Outcome) Write(records string) (*Outcome, error) {
	m.Version = OutcomeVersion
	path := OutcomeFile(records)
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := atomicfile.WriteFile(path, append(raw, '\n'), 0o666); err != nil {
		return nil, err
	}
	return ParseOutcome(raw)
}

// ReadOutcome reads the outcome of the measurement with these records.
func ReadOutcome(records string) (*Outcome, error) {
	path := OutcomeFile(records)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := ParseOutcome(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ParseOutcome reads the text of an outcome. One of another version is a [VersionError]; an unknown
// key is an error, too: these files are taken up as they are.
func ParseOutcome(text []byte) (*Outcome, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	if head.Version != OutcomeVersion {
		return nil, &VersionError{Found: head.Version, Want: OutcomeVersion}
	}
	m := &Outcome{}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(m); err != nil {
		return nil, err
	}
	return m, nil
}

// VersionError says of which version a file is that this program does not read; it is [ErrVersion].
type VersionError struct{ Found, Want int }

// Error implements error.
func (e *VersionError) Error() string { return fmt.Sprintf("of version %d, not %d", e.Found, e.Want) }

// Unwrap implements errors.Is.
func (e *VersionError) Unwrap() error { return ErrVersion }

// Fingerprint is everything that moves the numbers of one measurement: two that are equal give
// equal results. In files it is YAML.
type Fingerprint struct {
	Program string `yaml:"program"`
	// Models are those that are measured, by what they are made of.
	Models []string `yaml:"models"`
	// Data holds the SHA-256 of the data files by their keys.
	Data map[string]string `yaml:"data"`
	// Options are the sections of the evaluation's configuration that belong to the
	// measurement, Settings what belongs to all.
	Options  map[string]any `yaml:"options"`
	Settings map[string]any `yaml:"settings"`
}

// MarshalText is the fingerprint as YAML.
func (f Fingerprint) MarshalText() ([]byte, error) { return conf.Marshal(plainFingerprint(f)) }

// UnmarshalText reads it. Keys that it does not know are of another version, whose program differs.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	*f = Fingerprint{}
	if err := yaml.Unmarshal(text, (*plainFingerprint)(f)); err != nil {
		return fmt.Errorf("fingerprint: %w", err)
	}
	return nil
}

type plainFingerprint Fingerprint

// String is the fingerprint as YAML.
func (f Fingerprint) String() string {
	text, err := f.MarshalText()
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Equal tells whether measurements of these two fingerprints give equal numbers.
func (f Fingerprint) Equal(o Fingerprint) bool { return f.String() == o.String() }

// WithoutModels is everything but whom was measured.
func (f Fingerprint) WithoutModels() Fingerprint {
	f.Models = nil
	return f
}

// Difference names the first key in which two fingerprints differ.
func (f Fingerprint) Difference(now Fingerprint) string {
	changes, err := conf.Diff([]byte(f.String()), []byte(now.String()))
	if err != nil || len(changes) == 0 {
		return "they cannot be read"
	}
	out := changes[0].String()
	if n := len(changes) - 1; n > 0 {
		out += fmt.Sprintf(", and %d more", n)
	}
	return out
}
