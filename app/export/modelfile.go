package export

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ollama/ollama/parser"
)

// Parameters are those of Ollama that say how an answer is drawn, as steer generate has them: the
// distribution of the model itself, without a penalty on what was said already.
type Parameters struct {
	Temperature float32
	TopK        int     // 0: all tokens
	TopP        float32 // 1: all tokens
	MinP        float32
	NumCtx      int // tokens of prompt and answer; 0: what Ollama takes
	NumPredict  int // most tokens of an answer; 0: until it ends
}

// recipe is what Ollama builds a model from.
type recipe struct {
	comments []string
	from     string // the model: a path from the Modelfile's folder, or a name of Ollama's library
	adapter  string // "" for none
	template string
	system   string // "" for none
	stop     []string
	Parameters
}

// command is a line of a Modelfile, by the name that Ollama's parser gives it.
type command struct{ name, args string }

func (m *recipe) commands() []command {
	out := []command{{"model", m.from}}
	if m.adapter != "" {
		out = append(out, command{"adapter", m.adapter})
	}
	out = append(out, command{"template", m.template})
	if m.system != "" {
		out = append(out, command{"system", m.system})
	}
	number := func(x float32) string { return strconv.FormatFloat(float64(x), 'g', -1, 32) }
	out = append(out, command{"temperature", number(m.Temperature)}, command{"top_k", strconv.Itoa(m.TopK)},
		command{"top_p", number(m.TopP)}, command{"min_p", number(m.MinP)}, command{"repeat_penalty", "1"})
	if m.NumCtx > 0 {
		out = append(out, command{"num_ctx", strconv.Itoa(m.NumCtx)})
	}
	if m.NumPredict > 0 {
		out = append(out, command{"num_predict", strconv.Itoa(m.NumPredict)})
	}
	for _, s := range m.stop {
		out = append(out, command{"stop", s})
	}
	return out
}

// text writes the Modelfile, and has Ollama's own parser read it: what that does not read back as it
// was meant is an error.
func (m *recipe) text() ([]byte, error) {
	var b bytes.Buffer
	for _, c := range m.comments {
		fmt.Fprintf(&b, "# %s\n", strings.ReplaceAll(c, "\n", " "))
	}
	commands := m.commands()
	for _, c := range commands {
		switch c.name {
		case "model":
			fmt.Fprintf(&b, "FROM %s\n", quote(c.args))
		case "adapter", "template", "system":
			fmt.Fprintf(&b, "%s %s\n", strings.ToUpper(c.name), quote(c.args))
		default:
			fmt.Fprintf(&b, "PARAMETER %s %s\n", c.name, quote(c.args))
		}
	}
	read, err := parser.ParseFile(bytes.NewReader(b.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("the Modelfile: Ollama's parser: %w", err)
	}
	var got []command
	for _, c := range read.Commands {
		got = append(got, command{c.Name, c.Args})
	}
	if i := firstDifference(commands, got); i >= 0 {
		return nil, fmt.Errorf("a Modelfile cannot hold this %s: %q: it drops signs that are not printed, and takes "+
			"three quotation marks for the end of a text", commands[min(i, len(commands)-1)].name,
			commands[min(i, len(commands)-1)].args)
	}
	return b.Bytes(), nil
}

// firstDifference is where two lists part, -1 where they are alike.
func firstDifference(a, b []command) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

// quote writes a value so that it is read as one.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\r\n\"") {
		return s
	}
	if !strings.ContainsAny(s, "\"\n\r") {
		return `"` + s + `"`
	}
	return `"""` + s + `"""`
}

// distinct keeps each text once, in order.
func distinct(texts []string) (out []string) {
	for _, t := range texts {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}
