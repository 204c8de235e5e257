package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"steer/ggml/adapter"
	"steer/internal/filehash"
)

// metaBase is the metadata key under which training keeps the SHA-256 of its base model.
const metaBase = adapter.MetaBase

// adapterDescription is what an adapter's file says.
type adapterDescription struct {
	Path   string `json:"path"`
	Form   string `json:"form"` // gguf or peft
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // of a GGUF file
	// Content is what adapters trained on top of this one know it by.
	Content string `json:"content_sha256"`
	// Role is sft, reward or policy; TrainedOn the contents of the adapters below it, lowest
	// first, null where the adapter does not say; Template the form of its conversations.
	Role       adapter.Role      `json:"role,omitempty"`
	TrainedOn  []string          `json:"trained_on"`
	Template   string            `json:"template,omitempty"`
	System     *string           `json:"system,omitempty"`
	Ranks      []int             `json:"ranks"` // ascending, each once
	Alpha      float32           `json:"alpha"`
	RsLoRA     bool              `json:"rslora"`
	Scales     []float32         `json:"scales"` // of B(Ax), ascending, each once
	Targets    []string          `json:"targets"`
	Layers     []int             `json:"layers"` // adapted, ascending
	Pairs      int               `json:"pairs"`
	Parameters int64             `json:"parameters"`
	Untrained  bool              `json:"untrained"` // every B is zero: it changes nothing
	Head       *headDescription  `json:"head,omitempty"`
	Meta       map[string]string `json:"meta,omitempty"`
	Base       *baseVerdict      `json:"base,omitempty"` // with --model
	Notices    []string          `json:"notices,omitempty"`
}

type headDescription struct {
	Width int      `json:"width"`
	Bias  *float32 `json:"bias,omitempty"` // absent: it has none
	// Normalised scores are (raw - Mean)/Std.
	Normalised bool    `json:"normalised"`
	Mean       float32 `json:"mean"`
	Std        float32 `json:"std"`
}

// baseVerdict says whether the adapter belongs to a base. That it fits is certain
// where there is a verdict: a misfit is an error.
type baseVerdict struct {
	Path string `json:"path"`
	// Same: the base's SHA-256 is the one the adapter was trained on; nil: not recorded.
	Same *bool `json:"same,omitempty"`
}

// describeAdapter reads an adapter; model may be "".
func describeAdapter(path, model string, hashes *filehash.Cache) (*adapterDescription, error) {
	a, err := loadAdapter(path, model)
	if err != nil {
		return nil, err
	}
	d := &adapterDescription{
		Path: path, Form: "peft", Alpha: a.Alpha, RsLoRA: a.RsLoRA, Targets: a.Targets(),
		Pairs: len(a.Pairs), Parameters: a.NumParams(), Meta: a.Meta, Untrained: len(a.Pairs) > 0,
		Content: a.ContentSHA256(), Role: a.Role(), Notices: a.Notices,
	}
	if below, known := a.TrainedOn(); known {
		d.TrainedOn = append([]string{}, below...)
	}
	d.Template, d.System = a.Template()
	if st, err := os.Stat(path); err == nil && !st.IsDir() {
		d.Form, d.Bytes = "gguf", st.Size()
		if d.SHA256, err = hashes.Sum(path); err != nil {
			return nil, err
		}
	}
	for _, p := range a.Pairs {
		var layer int
		if _, err := fmt.Sscanf(p.Name, "blk.%d.", &layer); err == nil {
			d.Layers = append(d.Layers, layer)
		}
		d.Ranks = append(d.Ranks, p.Rank)
		d.Scales = append(d.Scales, a.Scale(p))
		d.Untrained = d.Untrained && !slices.ContainsFunc(p.B, func(x float32) bool { return x != 0 })
	}
	d.Ranks, d.Scales, d.Layers = distinct(d.Ranks), distinct(d.Scales), distinct(d.Layers)
	if h := a.Head; h != nil {
		d.Head = &headDescription{Width: len(h.Weight), Normalised: h.Std != 0, Mean: h.Mean, Std: h.Std}
		if h.HasBias {
			d.Head.Bias = &h.Bias
		}
	}
	if model != "" {
		d.Base = &baseVerdict{Path: model}
		if want := a.Meta[metaBase]; want != "" {
			have, err := hashes.Sum(model)
			if err != nil {
				return nil, err
			}
			same := have == want
			d.Base.Same = &same
		}
	}
	return d, nil
}

func loadAdapter(path, model string) (*adapter.Adapter, error) {
	if model == "" {
		return adapter.Load(path)
	}
	shape, err := shapeOf(model)
	if err != nil {
		return nil, err
	}
	return adapter.LoadFor(path, shape)
}

// distinct sorts values and keeps each once.
func distinct[T int | float32](values []T) []T {
	slices.Sort(values)
	return slices.Compact(values)
}

// write prints the description for people.
func (d *adapterDescription) write(w io.Writer) error {
	var t table
	t.add("adapter", "%s", printable(d.Path, 400))
	if d.SHA256 != "" {
		t.add("size", "%s", bytesText(d.Bytes))
		t.add("sha256", "%s", d.SHA256)
	} else {
		t.add("form", "PEFT folder")
	}
	t.add("content", "%s", d.Content)
	t.add("role", "%s", cmp.Or(string(d.Role), "not said: made elsewhere, or by an older steer"))
	t.add("trained on", "%s", d.trainedOnText())
	if d.Template != "" {
		system := ""
		if d.System != nil && *d.System != "" {
			system = fmt.Sprintf(", system message %q", printable(*d.System, 200))
		}
		t.add("template", "%s%s", printable(d.Template, 40), system)
	}
	if d.Pairs > 0 {
		t.add("rank", "%s", list(d.Ranks))
		t.add("alpha", "%g%s", d.Alpha, choose(d.RsLoRA, ", rank-stabilized", ""))
		t.add("scale", "%s", list(d.Scales))
		t.add("targets", "%s", strings.Join(d.Targets, " "))
		t.add("layers", "%s", layersText(d.Layers))
	}
	t.add("parameters", "%s in %d pairs%s%s", grouped(d.Parameters), d.Pairs,
		choose(d.Head != nil, " and a scalar head", ""), choose(d.Untrained, "; every B is zero: untrained", ""))
	if h := d.Head; h != nil {
		bias := "no bias"
		if h.Bias != nil {
			bias = fmt.Sprintf("bias %g", *h.Bias)
		}
		t.add("head", "width %d, %s, %s", h.Width, bias,
			choose(h.Normalised, fmt.Sprintf("score = (raw - %g) / %g", h.Mean, h.Std), "scores not normalised"))
	}
	if b := d.Base; b != nil {
		verdict := "fits"
		if b.Same != nil {
			verdict = choose(*b.Same, "fits; the very file it was trained on", "fits in shape, but is not the file it was trained on")
		}
		t.add("base", "%s: %s", printable(b.Path, 400), verdict)
	}
	for i, n := range d.Notices {
		t.add(choose(i == 0, "notice", ""), "%s", printable(n, 400))
	}
	for i, k := range slices.Sorted(maps.Keys(d.Meta)) {
		t.add(choose(i == 0, "metadata", ""), "%s = %s", printable(k, 60), printable(d.Meta[k], 200))
	}
	return t.write(w)
}

// trainedOnText says what lies below the adapter.
func (d *adapterDescription) trainedOnText() string {
	switch {
	case d.TrainedOn == nil:
		return "not said: the stack cannot be checked"
	case len(d.TrainedOn) == 0:
		return "the base alone"
	}
	return "adapters of contents " + strings.Join(d.TrainedOn, ", ")
}

// list prints values with commas.
func list[T int | float32](values []T) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprint(v)
	}
	return strings.Join(parts, ", ")
}

// layersText prints ascending layer numbers with runs as "0-29".
func layersText(layers []int) string {
	return fmt.Sprintf("%s (%d)", adapter.Ranges(layers), len(layers))
}

// ranksText is the rank of an adapter, or its ranks.
func ranksText(a *adapter.Adapter) string {
	var ranks []int
	for _, p := range a.Pairs {
		ranks = append(ranks, p.Rank)
	}
	return orNone(list(distinct(ranks)))
}
