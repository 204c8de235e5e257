package inspect

import (
	"fmt"
	"os"
	"slices"

	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/filehash"
)

// Adapter is what an adapter's file says.
type Adapter struct {
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
	Head       *Head             `json:"head,omitempty"`
	Meta       map[string]string `json:"meta,omitempty"`
	Base       *Base             `json:"base,omitempty"` // with --model
	Notices    []string          `json:"notices,omitempty"`
}

// Head is the scalar head of a reward model or a policy.
type Head struct {
	Width int      `json:"width"`
	Bias  *float32 `json:"bias,omitempty"` // absent: it has none
	// Normalised scores are (raw - Mean)/Std.
	Normalised bool    `json:"normalised"`
	Mean       float32 `json:"mean"`
	Std        float32 `json:"std"`
}

// Base says whether the adapter belongs to a base. That it fits is certain
// where there is a verdict: a misfit is an error.
type Base struct {
	Path string `json:"path"`
	// Same: the base's SHA-256 is the one the adapter was trained on; nil: not recorded.
	Same *bool `json:"same,omitempty"`
}

// DescribeAdapter reads an adapter; model may be "".
func DescribeAdapter(path, model string, hashes *filehash.Cache) (*Adapter, error) {
	a, err := loadAdapter(path, model)
	if err != nil {
		return nil, err
	}
	d := &Adapter{
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
		d.Head = &Head{Width: len(h.Weight), Normalised: h.Std != 0, Mean: h.Mean, Std: h.Std}
		if h.HasBias {
			d.Head.Bias = &h.Bias
		}
	}
	if model != "" {
		d.Base = &Base{Path: model}
		if want := a.Meta[adapter.MetaBase]; want != "" {
			have, err := modelfile.SHA256(model, hashes.Sum)
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
	shape, err := modelfile.Shape(model)
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
