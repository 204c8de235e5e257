package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"steer/ggml/adapter/safetensors"
	"steer/ggml/gguf"
)

// tensor is one of the model's, on its way from safetensors to GGUF.
type tensor struct {
	name       string // GGUF's
	from       safetensors.Info
	file       *safetensors.File
	rows, cols int
	vector     bool
	heads      int     // rows within so many heads change places; 0: none
	shift      float32 // is added
}

// dims are the dimensions as ggml has them.
func (t *tensor) dims() []int64 {
	if t.vector {
		return []int64{int64(t.rows)}
	}
	return []int64{int64(t.cols), int64(t.rows)}
}

// typ is the type it is stored in, if matrices are stored as one.
func (t *tensor) typ(matrices gguf.Type) gguf.Type {
	if t.vector {
		return gguf.TypeF32
	}
	return matrices
}

// prefixes come before the names of a text model's tensors; the longer ones first.
var prefixes = []string{"model.language_model.", "language_model.model.", "language_model.", "model."}

// seeing tells the tensors of the part of a model that sees images.
func seeing(name string) bool {
	return slices.ContainsFunc([]string{"vision_tower.", "vision_model.", "multi_modal_projector.", "patch_merger."},
		func(part string) bool { return strings.HasPrefix(strings.TrimPrefix(name, "model."), part) })
}

// plan maps the repository's tensors to GGUF's, and checks that all are there in the shape that config.json says.
func (m *model) plan() error {
	found := map[string]tensor{}
	unused, images := 0, 0
	for _, file := range m.shards.files {
		for _, info := range file.Tensors() {
			if strings.HasSuffix(info.Name, ".rotary_emb.inv_freq") {
				unused++
				continue
			}
			if m.s.has("vision_config") && seeing(info.Name) {
				images++
				continue
			}
			name, part, err := m.rename(info)
			if err != nil {
				return err
			}
			if name == "output.weight" && m.sh.tied {
				m.notice("%s is left out: tie_word_embeddings says that the embedding is the output matrix", info.Name)
				continue
			}
			t, err := m.check(info, name, part)
			if err != nil {
				return err
			}
			t.file = file
			if other, twice := found[name]; twice {
				return fmt.Errorf("%s: tensors %q and %q are both %s", m.dir, other.from.Name, info.Name, name)
			}
			found[name] = t
		}
	}
	if images > 0 {
		m.notice("%d tensors of the part that sees images are left out: the file holds the text model alone", images)
	}
	return m.order(found)
}

// rename finds the GGUF name of a tensor, and the part of the model that it belongs to.
func (m *model) rename(info safetensors.Info) (name, part string, err error) {
	short := info.Name
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(short, p); ok {
			short = rest
			break
		}
	}
	short, kind := cutLast(short)
	unknown := fmt.Errorf("%s: tensor %q: %w: %s models have none of this name", m.where(info.Name), info.Name,
		ErrUnsupported, m.f.arch)
	if kind != "weight" && kind != "bias" {
		if isQuantized(kind, info.DType) {
			return "", "", fmt.Errorf("%s: tensor %q (%s) belongs to weights that are quantized: %w: take the "+
				"repository of "+
				"the model before that (f32, f16 or bf16)", m.where(info.Name), info.Name, info.DType, ErrUnsupported)
		}
		return "", "", unknown
	}
	switch short {
	case "embed_tokens":
		part = "token_embd"
	case "norm":
		part = "output_norm"
	case "lm_head":
		part = "output"
	}
	if part != "" {
		if kind == "bias" {
			return "", "", unknown
		}
		return part + ".weight", part, nil
	}
	rest, ok := strings.CutPrefix(short, "layers.")
	number, rest, cut := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	part = m.f.layer[rest]
	if !ok || !cut || err != nil || part == "" || kind == "bias" && !slices.Contains(m.f.biases, part) {
		return "", "", unknown
	}
	if layer < 0 || layer >= m.sh.layers {
		return "", "", fmt.Errorf("%s: tensor %q: layer %d, but num_hidden_layers is "+
			"%d", m.where(info.Name), info.Name, layer,
			m.sh.layers)
	}
	return fmt.Sprintf("blk.%d.%s.%s", layer, part, kind), part, nil
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '.')
	return s[:max(i, 0)], s[i+1:]
}

// isQuantized tells the tensors that come with quantized weights.
func isQuantized(kind, dtype string) bool {
	for _, prefix := range []string{"qweight", "qzeros", "weight_"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return dtype == "U8" || dtype == "I8" || strings.Contains(kind, "bitsandbytes") ||
		slices.Contains([]string{"scales", "g_idx", "absmax", "quant_map", "nested_absmax", "SCB", "input_scale",
			"quant_state"}, kind)
}

func (m *model) where(tensor string) string { return m.dir + ": " + m.shards.path[tensor] }

// check checks a tensor's type and shape, and says what is to be done to it.
func (m *model) check(info safetensors.Info, name, part string) (tensor, error) {
	if info.DType != "F32" && info.DType != "F16" && info.DType != "BF16" {
		why := "want F32, F16 or BF16"
		if strings.HasPrefix(info.DType, "F8") || strings.HasSuffix(info.DType, "8") || info.DType == "I32" {
			why = "quantized weights; take the repository of the model before that (f32, f16 or bf16)"
		}
		return tensor{}, fmt.Errorf("%s: tensor %q is stored as %s: %w: %s", m.where(info.Name), info.Name, info.DType,
			ErrUnsupported, why)
	}
	t := tensor{name: name, from: info}
	t.rows, t.cols = m.sh.dims(m.f, part)
	if strings.HasSuffix(name, ".bias") {
		t.cols = 1
	}
	t.vector = t.cols == 1
	want := []int64{int64(t.rows), int64(t.cols)}
	if t.vector {
		want = want[:1]
	}
	if !slices.Equal(info.Shape, want) {
		return tensor{}, fmt.Errorf("%s: tensor %q has shape %v, but config.json says %v: they do not belong together",
			m.where(info.Name), info.Name, info.Shape, want)
	}
	if m.f.pairs {
		t.heads = map[string]int{"attn_q": m.sh.heads, "attn_k": m.sh.kvHeads}[part]
	}
	if m.f.normShift && strings.HasSuffix(part, "norm") {
		t.shift = 1
	}
	return t, nil
}

// order puts the tensors in the order of the file: what is not of a layer first, and layer by layer.
func (m *model) order(found map[string]tensor) error {
	names := []string{"token_embd.weight"}
	if !m.sh.tied {
		names = append(names, "output.weight")
	}
	names = append(names, "output_norm.weight")
	var parts []string
	for _, part := range m.f.layer {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	for i := range m.sh.layers {
		for _, part := range parts {
			names = append(names, fmt.Sprintf("blk.%d.%s.weight", i, part))
		}
	}
	for _, name := range names {
		t, ok := found[name]
		if !ok {
			return fmt.Errorf("%s: the tensor for %s (%s) is missing: a file was not downloaded, or config.json "+
				"belongs to "+
				"another model", m.dir, name, m.hubName(name))
		}
		m.tensors = append(m.tensors, t)
		bias := strings.TrimSuffix(name, "weight") + "bias"
		if b, ok := found[bias]; ok {
			m.tensors = append(m.tensors, b)
		}
	}
	if m.sh.tied && m.f.untied {
		out := found["token_embd.weight"]
		out.name = "output.weight"
		m.tensors = slices.Insert(m.tensors, 1, out)
		m.notice("the embedding is written twice: libllama wants an output matrix in this architecture")
	}
	return nil
}

// hubName is what transformers calls a tensor, for errors.
func (m *model) hubName(name string) string {
	switch name {
	case "token_embd.weight":
		return "model.embed_tokens.weight"
	case "output.weight":
		return "lm_head.weight"
	case "output_norm.weight":
		return "model.norm.weight"
	}
	layer, rest, _ := strings.Cut(strings.TrimPrefix(name, "blk."), ".")
	part := strings.TrimSuffix(rest, ".weight")
	for hub, gg := range m.f.layer {
		if gg == part {
			return "model.layers." + layer + "." + hub + ".weight"
		}
	}
	return name
}
