package cgo

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cannotThrow lists the functions of steer.h that need no guard, and why.
var cannotThrow = map[string]string{
	"steer_alive":         "reads a counter",
	"steer_take_fault":    "copies between buffers of fixed size",
	"steer_device_name":   "returns a pointer into the device",
	"steer_device_kernel": "returns a pointer into the device or to a constant",
	"steer_peak_bf16":     "a loop in registers",
	"steer_peak_f32":      "a loop in registers",
	"steer_token_bos":     "reads a field of the vocabulary",
	"steer_token_eos":     "reads a field of the vocabulary",
	"steer_token_is_eog":  "looks a number up in a set",
	"steer_vocab_add_bos": "reads a field of the vocabulary",
	"steer_has_tokenizer": "reads a field of the vocabulary",
	"steer_tensor_shape":  "copies four numbers",
	"steer_tensor_type":   "returns a pointer to a constant",
	"steer_tensor_bytes":  "multiplies numbers of a tensor",
	"steer_row_bytes":     "multiplies numbers of a type",
	"steer_lora_count":    "reads a field",
	"steer_lora_room":     "reads a field",
	"steer_lora_param":    "indexes a vector within its bounds",
	"steer_lora_grad":     "indexes a vector within its bounds",
	"steer_graph_nodes":   "reads a field",
	"steer_keep":          "sets a flag",
	"steer_op_name":       "returns a pointer to a constant",
	"steer_scratch_bytes": "reads two counters",
	"steer_allocations":   "reads three counters",

	"steer_quantizer_progress": "reads two counters",
	"steer_quantizer_stop":     "sets a flag",
}

var comments = regexp.MustCompile(`(?s)//[^\n]*|/\*.*?\*/`)

// definition finds where a function of steer.h is defined.
func definition(name, source string) []int {
	return regexp.MustCompile(`(?m)^[\w:*& ]*\b` + name + `\([^;{]*\)\s*\{`).FindStringIndex(source)
}

// No C++ exception may cross steer.h: every function of it goes through a guard (guard.h, or node
// of graph.cpp) with all it does, or is listed above.
func TestEveryNativeFunctionIsGuarded(t *testing.T) {
	header, err := os.ReadFile("native/steer.h")
	require.NoError(t, err)
	declarations := comments.ReplaceAllString(string(header), "")
	names := regexp.MustCompile(`\b(steer_\w+)\s*\(`).FindAllStringSubmatch(declarations, -1)
	require.Greater(t, len(names), 60)

	var source strings.Builder
	files, err := filepath.Glob("native/*.cpp")
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		source.WriteString("\n" + comments.ReplaceAllString(string(text), ""))
	}
	guarded := regexp.MustCompile(`^\s*(return )?(steer::guard\w*(<[^(]*>)?|node)\(`)
	for _, m := range names {
		name := m[1]
		at := definition(name, source.String())
		require.NotNil(t, at, "%s is in steer.h and nowhere defined", name)
		body := source.String()[at[1]:]
		_, listed := cannotThrow[name]
		first := body
		if name == "steer_lora_grad_norm" { // a value to return before it
			_, first, _ = strings.Cut(body, "steer::guard")
			first = "steer::guard" + first
		}
		if !listed {
			require.Regexp(t, guarded, first[:min(len(first), 200)], "%s: an exception could cross the C ABI", name)
		}
	}
	for name := range cannotThrow {
		require.Contains(t, string(header), name+"(")
	}
}

// The groups of steer.h name the files that implement them; the first of these holds the group's functions, in the
// header's order.
func TestHeaderAndFilesAreInTheSameOrder(t *testing.T) {
	header, err := os.ReadFile("native/steer.h")
	require.NoError(t, err)
	heading := regexp.MustCompile(`(?m)^// ---- .*\((\w+\.cpp)[^)]*\) -+$`)
	functions := regexp.MustCompile(`\b(steer_\w+)\s*\(`)
	groups := heading.FindAllSubmatchIndex(header, -1)
	require.Greater(t, len(groups), 9)
	for i, g := range groups {
		end := len(header)
		if i+1 < len(groups) {
			end = groups[i+1][0]
		}
		file := string(header[g[2]:g[3]])
		source, err := os.ReadFile(filepath.Join("native", file))
		require.NoError(t, err)
		last := -1
		for _, m := range functions.FindAllStringSubmatch(comments.ReplaceAllString(string(header[g[1]:end]), ""), -1) {
			at := definition(m[1], string(source))
			require.NotNil(t, at, "%s is not defined in %s, which its group in steer.h names", m[1], file)
			require.Greater(t, at[0], last, "%s: %s is not where steer.h has it", file, m[1])
			last = at[0]
		}
	}
}
