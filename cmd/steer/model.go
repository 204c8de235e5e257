package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"steer/internal/bytesize"
)

func newModelCommand(a *app) *cobra.Command {
	return newFamily("model", "Look at models", newModelInspectCommand(a))
}

func newModelInspectCommand(a *app) *cobra.Command {
	var asJSON, tensors bool
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "Describe a GGUF model and tell whether steer can train it",
		Long: `Reads the header of a GGUF file, hashes the file and tries to load it:
architecture, size, shape, RoPE, tensor types, tokenizer, and whether steer can
train adapters on it; where not, why not. Warnings are what every command that
uses the model says.`,
		Example: `  steer model inspect llama-2-13b.Q4_K_M.gguf
  steer model inspect base.gguf --json | jq .trainable`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, file []string) error {
			m, err := describeModel(file[0], a.hashes)
			if err != nil {
				return err
			}
			if !tensors {
				m.Tensors = nil
			}
			if asJSON {
				return writeJSON(a.out, m)
			}
			return m.write(a.out)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&tensors, "tensors", false, "list every tensor with type and shape")
	return cmd
}

// writeJSON prints a value for programs, indented.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// write prints the description for people.
func (m *modelDescription) write(w io.Writer) error {
	var t table
	t.add("file", "%s", printable(m.Path, 400))
	t.add("size", "%s", bytesText(m.Bytes))
	t.add("sha256", "%s", m.SHA256)
	t.add("architecture", "%s", printable(m.Architecture, 60))
	t.add("name", "%s", printable(orNone(m.Name), 120))
	t.add("parameters", "%s in %d tensors", grouped(m.Parameters), m.TensorCount)
	if s := m.Shape; s != nil {
		t.add("layers", "%d", s.Layers)
		t.add("width", "%d, feed-forward %d", s.Embd, s.FF)
		t.add("heads", "%d of width %d, %d for keys and values", s.Heads, s.HeadDim, s.KVHeads)
	}
	t.add("vocabulary", "%s tokens, output matrix %s", grouped(m.Vocab), choose(m.Tied, "tied to the embeddings", "of its own"))
	t.add("context", "%s tokens", grouped(m.Context))
	t.add("rope", "%s", m.Rope)
	for i, u := range m.Types {
		t.add(choose(i == 0, "weights", ""), "%-8s %4d tensors  %15s parameters  %s", u.Type, u.Tensors, grouped(u.Parameters), bytesize.Precise(u.Bytes))
	}
	t.add("tokenizer", "%s", m.Tokenizer)
	t.add("BOS, EOS", "%s, %s", m.Tokenizer.BOS, m.Tokenizer.EOS)
	t.add("chat template", "%s", choose(m.ChatTemplate, "yes", "no"))
	if m.Trainable {
		t.add("trainable", "yes")
	} else {
		t.add("trainable", "no: %s", strings.Join(m.Reasons, "; "))
	}
	for _, text := range m.Warnings {
		t.add("warning", "%s", printable(text, 600))
	}
	if err := t.write(w); err != nil {
		return err
	}
	for _, x := range m.Tensors {
		if _, err := fmt.Fprintf(w, "  %-28s %-8s %v\n", printable(x.Name, 64), x.Type, x.Dims); err != nil {
			return err
		}
	}
	return nil
}

// String implements fmt.Stringer.
func (r ropeDescription) String() string {
	s := fmt.Sprintf("base %g, scaling %s", r.Base, printable(r.Scaling, 40))
	if r.Factor != 0 {
		s += fmt.Sprintf(" by %g", r.Factor)
	}
	if r.FreqFactors {
		s += ", frequency factors (Llama 3)"
	}
	return s
}

// String implements fmt.Stringer.
func (k tokenizerDescription) String() string {
	s := printable(orNone(k.Model), 40)
	if k.Pre != "" {
		s += ", pre-tokenizer " + printable(k.Pre, 40)
	}
	if k.AddBOS != nil {
		s += choose(*k.AddBOS, ", adds BOS", ", adds no BOS")
	}
	return s
}

// String implements fmt.Stringer.
func (s *specialToken) String() string {
	if s == nil {
		return "none"
	}
	if s.Text == "" {
		return fmt.Sprint(s.ID)
	}
	return fmt.Sprintf("%d %s", s.ID, printable(s.Text, 24))
}
