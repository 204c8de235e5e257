package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"steer/app/inspect"
	"steer/ggml/adapter"
	"steer/internal/printable"
)

// printAdapter prints the description for people.
func printAdapter(w io.Writer, d *inspect.Adapter) error {
	var t table
	t.add("adapter", "%s", printable.Text(d.Path, 400))
	if d.SHA256 != "" {
		t.add("size", "%s", bytesText(d.Bytes))
		t.add("sha256", "%s", d.SHA256)
	} else {
		t.add("form", "PEFT folder")
	}
	t.add("content", "%s", d.Content)
	t.add("role", "%s", cmp.Or(string(d.Role), "not said: made elsewhere, or by an older steer"))
	t.add("trained on", "%s", trainedOnText(d))
	if d.Template != "" {
		system := ""
		if d.System != nil && *d.System != "" {
			system = fmt.Sprintf(", system message %q", printable.Text(*d.System, 200))
		}
		t.add("template", "%s%s", printable.Text(d.Template, 40), system)
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
			verdict = choose(*b.Same, "fits; the very file it was trained on",
				"fits in shape, but is not the file it was trained on")
		}
		t.add("base", "%s: %s", printable.Text(b.Path, 400), verdict)
	}
	for i, n := range d.Notices {
		t.add(choose(i == 0, "notice", ""), "%s", printable.Text(n, 400))
	}
	for i, k := range slices.Sorted(maps.Keys(d.Meta)) {
		t.add(choose(i == 0, "metadata", ""), "%s = %s", printable.Text(k, 60), printable.Text(d.Meta[k], 200))
	}
	return t.write(w)
}

// trainedOnText says what lies below the adapter.
func trainedOnText(d *inspect.Adapter) string {
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
	slices.Sort(ranks)
	return cmp.Or(list(slices.Compact(ranks)), "none")
}
