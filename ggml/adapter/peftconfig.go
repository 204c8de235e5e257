package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"

	"steer/internal/strictjson"
)

const (
	configFile  = "adapter_config.json"
	weightsFile = "adapter_model.safetensors"
	pickleFile  = "adapter_model.bin"
	headFile    = "v_head.safetensors"

	maxConfig = 16 << 20 // bytes; real ones have a few thousand
)

// peftConfig is what of PEFT's LoraConfig decides how the tensors are read.
type peftConfig struct {
	PEFTType      string
	Rank          int
	Alpha         float64
	RsLoRA        bool
	Bias          string
	ModulesToSave []string
	InitWeights   json.RawMessage
	RankPattern   pattern
	AlphaPattern  pattern
	// Targets and Layers are what was to be adapted; the tensors say what is. Targets is
	// nil where the file has a pattern, not a list; Layers nil means every layer.
	Targets []string
	Layers  []int

	notices []string
}

// peftDefault is what PEFT's LoraConfig takes for r and for lora_alpha where they are not given.
const peftDefault = 8

// refused lists the options that make a PEFT adapter something else than
// W + scale·B·A. They must be absent, null, false or empty.
var refused = []struct{ key, what string }{
	{"use_dora", "DoRA rescales the columns of the base weights"},
	{"use_qalora", "QA-LoRA pools the input"},
	{"use_bdlora", "block-diagonal LoRA has another shape"},
	{"lora_bias", "a bias in lora_B has no place in llama.cpp's form"},
	{"fan_in_fan_out", "Llama stores weights as [n_out, n_in]"},
	{"layer_replication", "the base would need replicated layers"},
	{"trainable_token_indices", "trained embeddings are not LoRA"},
	{"target_parameters", "LoRA on bare parameters (mixture of experts)"},
	{"alora_invocation_tokens", "an activated LoRA works only after its invocation tokens"},
	{"arrow_config", "Arrow routes between several adapters"},
	{"kasa_config", "KaSA adds singular values to the product"},
	{"velora_config", "VeLoRA has another parametrisation"},
	{"monteclora_config", "MonteCLoRA has another parametrisation"},
}

func readConfig(path string) (*peftConfig, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxConfig {
		return nil, fmt.Errorf("more than %d bytes: %w", maxConfig, ErrFormat)
	}
	return parseConfig(raw)
}

func parseConfig(raw []byte) (*peftConfig, error) {
	var all map[string]json.RawMessage
	if err := strictjson.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	var c peftConfig
	if err := c.decode(all); err != nil {
		return nil, err
	}
	if c.PEFTType != "LORA" {
		return nil, fmt.Errorf("field %q: want \"LORA\", got %q: %w", "peft_type", c.PEFTType, ErrUnsupported)
	}
	if c.Rank < 1 {
		return nil, fmt.Errorf("field %q: want at least 1, got %d: %w", "r", c.Rank, ErrFormat)
	}
	if c.Alpha <= 0 || !finite(float32(c.Alpha)) || float32(c.Alpha) == 0 {
		return nil, fmt.Errorf("field %q: want more than 0, got %g: %w", "lora_alpha", c.Alpha, ErrFormat)
	}
	if c.Bias != "" && c.Bias != "none" {
		return nil, fmt.Errorf("field %q: want \"none\", got %q: trained biases have no place in llama.cpp's form: %w",
			"bias", c.Bias, ErrUnsupported)
	}
	for _, r := range refused {
		if v, ok := all[r.key]; ok && !isEmpty(v) {
			return nil, fmt.Errorf("field %q is %.60s: %s: %w", r.key, v, r.what, ErrUnsupported)
		}
	}
	for _, m := range c.ModulesToSave {
		// PEFT adds both names for every sequence classification model.
		if m != "score" && m != "classifier" {
			if err := outside(m); err != nil {
				return nil, fmt.Errorf("field %q lists %q: %w", "modules_to_save", m, err)
			}
			return nil, fmt.Errorf("field %q lists %q: only the scalar head \"score\" is supported beside LoRA: %w",
				"modules_to_save", m, ErrUnsupported)
		}
	}
	return &c, c.checkInit()
}

// decode takes the fields that matter out of the object, each in words of its own where it
// is of another kind.
func (c *peftConfig) decode(all map[string]json.RawMessage) error {
	var rank float64
	for _, f := range []struct {
		key, want string
		into      any
		otherwise float64 // of a number that is not given; 0: there is no default
	}{
		{key: "peft_type", want: "a text", into: &c.PEFTType},
		{key: "r", want: "a whole number", into: &rank, otherwise: peftDefault},
		{key: "lora_alpha", want: "a number", into: &c.Alpha, otherwise: peftDefault},
		{key: "use_rslora", want: "true or false", into: &c.RsLoRA},
		{key: "bias", want: "a text", into: &c.Bias},
		{key: "modules_to_save", want: "a list of names", into: &c.ModulesToSave},
		{key: "init_lora_weights", want: "true, false or a name", into: &c.InitWeights},
		{key: "rank_pattern", want: "an object of numbers", into: &c.RankPattern},
		{key: "alpha_pattern", want: "an object of numbers", into: &c.AlphaPattern},
	} {
		raw, given := all[f.key]
		if number, ok := f.into.(*float64); ok && !given {
			*number = f.otherwise
			c.notices = append(c.notices, fmt.Sprintf("%s does not give %q: PEFT's default of %g is used",
				configFile, f.key, f.otherwise))
			continue
		}
		if !given {
			continue
		}
		if _, number := f.into.(*float64); number && isNull(raw) {
			return fmt.Errorf("field %q: want %s, got null: %w", f.key, f.want, ErrFormat)
		}
		if err := json.Unmarshal(raw, f.into); err != nil {
			detail := ""
			if _, ok := f.into.(*pattern); ok {
				detail = ": " + err.Error() // it names the key inside
			}
			return fmt.Errorf("field %q: want %s, got %s%s: %w", f.key, f.want, shortJSON(raw), detail, ErrFormat)
		}
	}
	if c.Rank = int(rank); float64(c.Rank) != rank {
		return fmt.Errorf("field %q: want a whole number, got %g: %w", "r", rank, ErrFormat)
	}
	return c.decodeCoverage(all)
}

// decodeCoverage reads which modules of which layers were to be adapted.
func (c *peftConfig) decodeCoverage(all map[string]json.RawMessage) error {
	var pattern string
	if raw := all["target_modules"]; len(raw) > 0 && json.Unmarshal(raw, &pattern) != nil {
		if err := json.Unmarshal(raw, &c.Targets); err != nil {
			return fmt.Errorf("field %q: want a list of names or a pattern, got %s: %w", "target_modules",
				shortJSON(raw), ErrFormat)
		}
	}
	if !isEmpty(all["exclude_modules"]) && len(all["exclude_modules"]) > 0 {
		c.Targets = nil // what of the list is left out, the tensors tell
	}
	raw := all["layers_to_transform"]
	if len(raw) == 0 || isNull(raw) {
		return nil
	}
	var one int
	if json.Unmarshal(raw, &one) == nil {
		c.Layers = []int{one}
		return nil
	}
	if err := json.Unmarshal(raw, &c.Layers); err != nil {
		return fmt.Errorf("field %q: want a layer's number or a list of them, got %s: %w", "layers_to_transform",
			shortJSON(raw), ErrFormat)
	}
	slices.Sort(c.Layers)
	c.Layers = slices.Compact(c.Layers)
	return nil
}

func isNull(v json.RawMessage) bool { return string(bytes.TrimSpace(v)) == "null" }

// shortJSON quotes a value for an error.
func shortJSON(raw json.RawMessage) string {
	const most = 60
	text := string(bytes.TrimSpace(raw))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

func isEmpty(v json.RawMessage) bool {
	switch string(bytes.TrimSpace(v)) {
	case "null", "false", "{}", "[]", `""`, "0":
		return true
	}
	return false
}

// checkInit refuses the initialisations that change the base weights too: without
// that changed base the adapter is meaningless.
func (c *peftConfig) checkInit() error {
	var name string
	if len(c.InitWeights) == 0 || json.Unmarshal(c.InitWeights, &name) != nil {
		return nil // absent, true or false
	}
	if slices.Contains([]string{"", "gaussian", "eva", "orthogonal"}, name) {
		return nil
	}
	return fmt.Errorf("field %q is %q, which changes the base weights as well: save it with PEFT's "+
		"path_initial_model_for_weight_conversion: %w",
		"init_lora_weights", name, ErrUnsupported)
}

// pattern is a JSON object of numbers whose order matters: PEFT takes the first key
// that matches.
type pattern struct {
	keys   []string
	exprs  []*regexp.Regexp
	values []float64
}

// UnmarshalJSON keeps the order of the keys and compiles them.
func (p *pattern) UnmarshalJSON(raw []byte) error {
	*p = pattern{}
	if isEmpty(raw) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("want an object of numbers")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		var v float64
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("%q: want a number", key)
		}
		// peft.utils.other.get_pattern_key: re.match(rf"(.*\.)?({key})$", module).
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
		if err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		p.keys, p.exprs, p.values = append(p.keys, key), append(p.exprs, re), append(p.values, v)
	}
	return nil
}

// MarshalJSON writes the keys in their order.
func (p pattern) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, k := range p.keys {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(p.values[i])
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), v...)
	}
	return append(b, '}'), nil
}

func (p *pattern) add(key string, v float64) {
	p.keys, p.values = append(p.keys, key), append(p.values, v)
}

// lookup returns the value for a module such as "model.layers.0.self_attn.q_proj",
// or otherwise if no key matches.
func (p *pattern) lookup(module string, otherwise float64) float64 {
	for i, re := range p.exprs {
		if re.MatchString(module) {
			return p.values[i]
		}
	}
	return otherwise
}

// writtenConfig is the adapter_config.json of ExportPEFT: the fields that are not
// PEFT's defaults or that every version writes.
type writtenConfig struct {
	AlphaPattern  pattern  `json:"alpha_pattern"`
	BaseName      *string  `json:"base_model_name_or_path"`
	Bias          string   `json:"bias"`
	FanInFanOut   bool     `json:"fan_in_fan_out"`
	InferenceMode bool     `json:"inference_mode"`
	InitWeights   bool     `json:"init_lora_weights"`
	Alpha         float64  `json:"lora_alpha"`
	Dropout       float64  `json:"lora_dropout"`
	ModulesToSave []string `json:"modules_to_save"`
	PEFTType      string   `json:"peft_type"`
	Rank          int      `json:"r"`
	RankPattern   pattern  `json:"rank_pattern"`
	TargetModules []string `json:"target_modules"`
	TaskType      string   `json:"task_type"`
	UseDoRA       bool     `json:"use_dora"`
	UseRsLoRA     bool     `json:"use_rslora"`
}

// peftConfigOf describes a in PEFT's terms. Ranks (and, where Alpha is 0, alphas)
// that differ from the first pair's go into the patterns.
func peftConfigOf(a *Adapter, baseName string) writtenConfig {
	base := Shape{Arch: a.Arch}
	c := writtenConfig{
		Bias: "none", InferenceMode: true, InitWeights: true, PEFTType: "LORA",
		TaskType: "CAUSAL_LM", UseRsLoRA: a.RsLoRA, Alpha: float64(a.Alpha), Rank: 1,
		TargetModules: []string{},
	}
	if baseName != "" {
		c.BaseName = &baseName
	}
	if len(a.Pairs) > 0 {
		c.Rank = a.Pairs[0].Rank
	}
	if a.Alpha == 0 { // scale 1: alpha = rank
		c.Alpha, c.UseRsLoRA = float64(c.Rank), false
	}
	for _, p := range a.Pairs {
		if p.Rank == c.Rank {
			continue
		}
		layer, target, _ := parseName(p.Name) // a is valid
		key := base.moduleName(layer, target)
		c.RankPattern.add(key, float64(p.Rank))
		if a.Alpha == 0 {
			c.AlphaPattern.add(key, float64(p.Rank))
		}
	}
	for _, t := range a.Targets() {
		c.TargetModules = append(c.TargetModules, base.module(t).proj)
	}
	sort.Strings(c.TargetModules)
	if a.Head != nil && !a.Head.HasBias {
		c.TaskType = "SEQ_CLS"
		c.ModulesToSave = []string{"classifier", "score"}
	}
	return c
}
