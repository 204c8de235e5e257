package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/internal/atomicfile"
	"steer/internal/conf"
	"steer/internal/filehash"
)

// pieceVersion is the version of a piece's form.
const pieceVersion = 1

// piece is the outcome of one measurement beside its records: a suite that is begun
// again takes it up as it is, as long as nothing that moves its numbers has changed.
type piece struct {
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"` // YAML
	// Records is the SHA-256 of the records file.
	Records     string             `json:"records_sha256"`
	Benchmark   *Measurement       `json:"benchmark,omitempty"`
	CrossReward *CrossRewardResult `json:"cross_reward,omitempty"`
	Samples     []Sample           `json:"samples,omitempty"` // of the matrix
}

// unit is what a piece of a benchmark measured.
func (p *piece) unit() unit {
	return unit{p.Benchmark.Benchmark, p.Benchmark.Protocol, p.Benchmark.Model}
}

// The files of a measurement whose records are in items/NAME.jsonl.zst.
func pieceFile(records string) string   { return strings.TrimSuffix(records, recordSuffix) + ".json" }
func journalFile(records string) string { return strings.TrimSuffix(records, recordSuffix) + ".part" }

// readPiece gives the piece of a finished measurement, nil if there is none that holds:
// the reason, if it is more than that nothing was measured yet, is told.
func readPiece(records, fingerprint string, note func(string)) (*piece, error) {
	raw, err := os.ReadFile(pieceFile(records))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	again := func(format string, args ...any) (*piece, error) {
		note(fmt.Sprintf("%s: measured again, since ", strings.TrimSuffix(filepath.Base(records), recordSuffix)) + fmt.Sprintf(format, args...))
		return nil, nil
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return again("its result cannot be read (%v)", err)
	}
	if version.Version != pieceVersion {
		return again("its result is of version %d, not %d", version.Version, pieceVersion)
	}
	p, err := decodePiece(raw)
	if err != nil {
		return again("its result cannot be read (%v)", err)
	}
	if p.Fingerprint != fingerprint {
		return again("%s", difference(p.Fingerprint, fingerprint))
	}
	if sum, err := filehash.Sum(records); err != nil || sum != p.Records {
		return again("its records are not those it ended with")
	}
	return p, nil
}

// decodePiece keeps numbers of the provenance as they are written, seeds of 64 bits
// among them.
func decodePiece(raw []byte) (*piece, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	p := &piece{}
	if err := dec.Decode(p); err != nil {
		return nil, err
	}
	return p, nil
}

// write stores the piece of a measurement whose records are stored and returns it as a
// later process will read it.
func (p *piece) write(records string) (*piece, error) {
	p.Version = pieceVersion
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("eval: %s: %w", pieceFile(records), err)
	}
	if err := atomicfile.WriteFile(pieceFile(records), append(raw, '\n'), 0o666); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return decodePiece(raw)
}

// terms is everything that moves the numbers of one measurement, as YAML: two that are
// equal give equal results. keys are those of the configuration that belong to it, data
// the hashes of its files, ids its models.
func (s *Suite) terms(keys []string, data map[string]string, ids ...string) (string, error) {
	all, err := asMap(s.cfg)
	if err != nil {
		return "", err
	}
	settings, err := asMap(s.cfg.Settings)
	if err != nil {
		return "", err
	}
	delete(settings, "batch_tokens") // how a batch is composed changes no result
	options := map[string]any{}
	for _, key := range keys {
		name, value := section(all, key)
		options[name] = withoutKeys(value, "path", "protocols") // content decides, and other protocols are other measurements
		if m, ok := value.(map[string]any); ok {
			if id := s.ids[fmt.Sprint(m["reference"])]; id != "" {
				ids = append(ids, "reference "+id)
			}
		}
	}
	hashes := map[string]string{}
	for key, sum := range data {
		hashes[withoutIndex(key)] = sum
	}
	out, err := conf.Marshal(struct {
		Program  string            `yaml:"program"`
		Models   []string          `yaml:"models"`
		Data     map[string]string `yaml:"data"`
		Options  map[string]any    `yaml:"options"`
		Settings map[string]any    `yaml:"settings"`
	}{s.Version, ids, hashes, options, settings})
	if err != nil {
		return "", fmt.Errorf("eval: %w", err)
	}
	return string(out), nil
}

// section finds what a key names at the top of a configuration: "toxigen", "tasks[2]".
func section(all map[string]any, key string) (name string, value any) {
	name = withoutIndex(key)
	value = all[name]
	if list, ok := value.([]any); ok {
		i := 0
		if _, err := fmt.Sscanf(strings.TrimPrefix(key, name), "[%d]", &i); err == nil && i < len(list) {
			return name, list[i]
		}
	}
	return name, value
}

// withoutIndex: where in a list a thing stands does not move its numbers.
func withoutIndex(key string) string {
	before, rest, found := strings.Cut(key, "[")
	if _, after, closed := strings.Cut(rest, "]"); found && closed {
		return before + after
	}
	return key
}

func asMap(v any) (map[string]any, error) {
	raw, err := conf.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	out := map[string]any{}
	if err := yaml.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return out, nil
}

// withoutKeys drops keys from nested maps.
func withoutKeys(v any, drop ...string) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for key, v := range m {
		keep := true
		for _, d := range drop {
			keep = keep && key != d
		}
		if keep {
			out[key] = withoutKeys(v, drop...)
		}
	}
	return out
}
