package suite

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"steer/eval"
	"steer/eval/benchmark"
	"steer/internal/conf"
	"steer/rl/data"
	"steer/rl/run"
)

// fingerprint is everything that moves the numbers of one measurement. keys are those of the
// configuration that belong to it, data the hashes of its files, ids its models.
func (s *Suite) fingerprint(keys []string, data map[string]string, ids ...string) (run.Fingerprint, error) {
	all, err := asMap(s.cfg)
	if err != nil {
		return run.Fingerprint{}, err
	}
	settings, err := asMap(s.cfg.Settings)
	if err != nil {
		return run.Fingerprint{}, err
	}
	delete(settings, "batch_tokens") // how a batch is composed changes no result
	options := map[string]any{}
	for _, key := range keys {
		name, value := section(all, key)
		// Content decides, not the path, and other protocols are other measurements.
		options[name] = withoutKeys(value, "path", "protocols")
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
	return run.Fingerprint{Program: s.Version, Models: ids, Data: hashes, Options: options, Settings: settings}, nil
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

// templateSum stands for a template, system prompt and all: the hash of a conversation
// rendered with it.
func templateSum(tpl *data.Template) string {
	if tpl == nil {
		return ""
	}
	segments, err := tpl.Render([]data.Message{
		{Role: data.RoleUser, Content: "u"}, {Role: data.RoleAssistant, Content: "a"},
	})
	text := data.Text(segments, "<s>", "</s>")
	if own := tpl.SHA256(); own != "" { // what it writes depends on the conversation
		text += own + tpl.System() + tpl.Date().String()
	} else if err != nil {
		text = err.Error()
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// sum hashes a data file, once.
func (s *Suite) sum(path string) (string, error) {
	if sum, ok := s.sums[path]; ok {
		return sum, nil
	}
	_, sum, err := benchmark.FileSHA256(path)
	if err == nil {
		s.sums[path] = sum
	}
	return sum, err
}

// participants says by what the models of a measurement of several are recognised, and
// whether all of them can be.
func participants(policies []eval.Subject, rewards []eval.Reward) (ids []string, recognised bool) {
	recognised = true
	for _, p := range policies {
		ids = append(ids, p.Name+" "+p.ID)
		recognised = recognised && p.ID != ""
	}
	for _, r := range rewards {
		ids = append(ids, fmt.Sprintf("%s %s (raw - %g) / %g", r.Name, r.ID, r.Mean, r.Std))
		recognised = recognised && r.ID != ""
	}
	return ids, recognised
}
