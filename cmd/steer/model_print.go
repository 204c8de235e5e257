package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"steer/app/inspect"
	"steer/ggml/modelfile"
	"steer/internal/bytesize"
	"steer/internal/printable"
)

// printModel prints the description for people.
func printModel(w io.Writer, m *inspect.Model) error {
	var t table
	t.add("file", "%s", printable.Text(m.Path, 400))
	t.add("size", "%s", bytesText(m.Bytes))
	t.add("sha256", "%s", m.SHA256)
	t.add("architecture", "%s", printable.Text(m.Architecture, 60))
	t.add("name", "%s", printable.Text(cmp.Or(m.Name, "none"), 120))
	t.add("parameters", "%s in %d tensors", grouped(m.Parameters), m.TensorCount)
	if s := m.Shape; s != nil {
		t.add("layers", "%d", s.Layers)
		t.add("width", "%d, feed-forward %d", s.Embd, s.FF)
		t.add("heads", "%d of width %d, %d for keys and values", s.Heads, s.HeadDim, s.KVHeads)
	}
	t.add("vocabulary", "%s tokens, output matrix %s", grouped(m.Vocab),
		choose(m.Tied, "tied to the embeddings", "of its own"))
	t.add("context", "%s tokens", grouped(m.Context))
	t.add("rope", "%s", ropeText(m.Rope))
	generic := false
	for i, u := range m.Types {
		t.add(choose(i == 0, "weights", ""), "%-8s %4d tensors  %15s parameters  %s%s", u.Type, u.Tensors,
			grouped(u.Parameters), bytesize.Precise(u.Bytes), choose(u.Kernel == string(modelfile.Generic), " *", ""))
		generic = generic || u.Kernel == string(modelfile.Generic)
	}
	t.add("tokenizer", "%s", tokenizerText(m.Tokenizer))
	t.add("BOS, EOS", "%s, %s", tokenText(m.Tokenizer.BOS), tokenText(m.Tokenizer.EOS))
	t.add("chat template", "%s", choose(m.ChatTemplate, "yes", "no"))
	if m.Trainable {
		t.add("trainable", "yes, with steer's own kernels%s", choose(generic,
			"; weights marked * are unpacked by ggml before, which is slower", ""))
	} else {
		t.add("trainable", "no: %s", strings.Join(m.Reasons, "; "))
		t.add("usable", "%s", choose(m.Usable, "yes: generate, chat, score, eval and bench run it by libllama, slower",
			"no"))
	}
	for _, text := range m.Warnings {
		t.add("warning", "%s", printable.Text(text, 600))
	}
	if err := t.write(w); err != nil {
		return err
	}
	for _, x := range m.Tensors {
		if _, err := fmt.Fprintf(w, "  %-28s %-8s %v\n", printable.Text(x.Name, 64), x.Type, x.Dims); err != nil {
			return err
		}
	}
	return nil
}

func ropeText(r inspect.Rope) string {
	s := fmt.Sprintf("base %g, scaling %s", r.Base, printable.Text(r.Scaling, 40))
	if r.Factor != 0 {
		s += fmt.Sprintf(" by %g", r.Factor)
	}
	if r.FreqFactors {
		s += ", frequency factors (Llama 3)"
	}
	return s
}

func tokenizerText(k inspect.Tokenizer) string {
	s := printable.Text(cmp.Or(k.Model, "none"), 40)
	if k.Pre != "" {
		s += ", pre-tokenizer " + printable.Text(k.Pre, 40)
	}
	if k.AddBOS != nil {
		s += choose(*k.AddBOS, ", adds BOS", ", adds no BOS")
	}
	return s
}

func tokenText(s *inspect.Token) string {
	if s == nil {
		return "none"
	}
	if s.Text == "" {
		return fmt.Sprint(s.ID)
	}
	return fmt.Sprintf("%d %s", s.ID, printable.Text(s.Text, 24))
}
