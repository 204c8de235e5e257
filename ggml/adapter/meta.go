package adapter

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"steer/ggml/adapter/safetensors"
	"steer/ggml/gguf"
)

// Keys of Adapter.Meta that this program writes and reads; docs/files.md describes them.
const (
	// MetaRole is what the adapter was trained for; see Role.
	MetaRole = "steer.role"
	// MetaBase is the SHA-256 of the base model's file.
	MetaBase = "base_sha256"
	// MetaTrainedOn lists the content hashes of the adapters below, lowest first, with
	// blanks between them; "" is the base alone.
	MetaTrainedOn = "steer.trained_on"
	// MetaTemplate and MetaSystem are the form of the conversations that an SFT adapter or
	// a policy was trained on, and the system message of those that bring none.
	MetaTemplate = "steer.template"
	MetaSystem   = "steer.system"
	// MetaTemplateText and MetaDate are the text of a model's own chat template, where the template
	// is that, and the date that it was rendered with, if it shows one. Of all roles.
	MetaTemplateText = "steer.template_text"
	MetaDate         = "steer.date"
	// MetaTemplateVars are the variables that it was rendered with, one JSON object of texts.
	MetaTemplateVars = "steer.template_vars"

	// Those of a reward model say how a text is encoded for it.
	MetaTheory         = "steer.reward.theory"     // deontology, ...
	MetaForm           = "steer.reward.form"       // plain or chat
	MetaRewardTemplate = "steer.reward.template"   // of the chat form
	MetaRewardSystem   = "steer.reward.system"     // its system message, "" for none
	MetaEOS            = "steer.reward.eos"        // true or false
	MetaMaxLength      = "steer.reward.max_length" // tokens
	MetaPairs          = "steer.reward.pairs"      // SHA-256 of the train pairs

	// metaRoleBefore held the role of SFT adapters and policies before MetaRole did.
	metaRoleBefore = "role"
)

// ownMeta are the keys above: those that a new training replaces as a whole.
var ownMeta = []string{
	MetaRole, MetaBase, MetaTrainedOn, MetaTemplate, MetaSystem, MetaTemplateText, MetaDate,
	MetaTemplateVars,
	MetaTheory, MetaForm, MetaRewardTemplate,
	MetaRewardSystem, MetaEOS, MetaMaxLength, MetaPairs, metaRoleBefore,
}

// Role is what an adapter was trained for.
type Role string

// The roles; an adapter made elsewhere has none of them.
const (
	RoleSFT    Role = "sft"
	RoleReward Role = "reward"
	RolePolicy Role = "policy"
)

// Role is what the adapter says it was trained for, "" where it does not say.
func (a *Adapter) Role() Role {
	for _, key := range []string{MetaRole, metaRoleBefore} {
		switch r := Role(a.Meta[key]); r {
		case RoleSFT, RoleReward, RolePolicy:
			return r
		}
	}
	return ""
}

// Template is the form that the adapter learned conversations in, "" where it does not
// say; system is nil where none was recorded.
func (a *Adapter) Template() (name string, system *string) {
	nameKey, systemKey := MetaTemplate, MetaSystem
	if a.Role() == RoleReward {
		nameKey, systemKey = MetaRewardTemplate, MetaRewardSystem
	}
	if s, ok := a.Meta[systemKey]; ok {
		system = &s
	}
	return a.Meta[nameKey], system
}

// Describe makes meta what the adapter says of itself: what an earlier training left there
// goes, what this program does not know stays.
func (a *Adapter) Describe(meta map[string]string) {
	kept := maps.Clone(a.Meta)
	if kept == nil {
		kept = map[string]string{}
	}
	for _, k := range ownMeta {
		delete(kept, k)
	}
	maps.Copy(kept, meta)
	a.Meta = kept
}

var sha256Text = regexp.MustCompile(`^[0-9a-f]{64}$`)

// TrainedOn lists the content hashes of the adapters that this one was trained on top of,
// lowest first; known is false where it does not say.
func (a *Adapter) TrainedOn() (below []string, known bool) {
	text, known := a.Meta[MetaTrainedOn]
	below = strings.Fields(text)
	for _, h := range below {
		known = known && sha256Text.MatchString(h)
	}
	return below, known
}

// ReadMeta reads what the adapter at path, a LoRA GGUF file or a PEFT folder, says of
// itself. No weight is read.
func ReadMeta(path string) (map[string]string, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() && isPEFT(path) {
		f, err := safetensors.Open(filepath.Join(path, weightsFile))
		if err != nil {
			return nil, fmt.Errorf("adapter: %w", err)
		}
		defer f.Close()
		return metaOf(f.Metadata()), nil
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	defer f.Close()
	a := &Adapter{}
	for _, step := range []func(*gguf.File) error{a.readKind, a.readMeta} {
		if err := step(f); err != nil {
			return nil, fmt.Errorf("adapter: %s: %w", f.Name(), err)
		}
	}
	return a.Meta, nil
}

// metaOf takes Meta out of a safetensors file's metadata.
func metaOf(all map[string]string) map[string]string {
	var meta map[string]string
	for k, v := range all {
		if name, ok := strings.CutPrefix(k, prefixedMeta); ok {
			if meta == nil {
				meta = map[string]string{}
			}
			meta[name] = v
		}
	}
	return meta
}
