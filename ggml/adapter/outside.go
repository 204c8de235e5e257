package adapter

import (
	"fmt"
	"slices"
	"strings"
)

// outside is the error of an adapter on a matrix that belongs to no layer, nil for any other
// name: a tensor's, or that of a target. It can be told from a stray one, and deserves its
// reason.
func outside(name string) error {
	parts := strings.Split(name, ".")
	for _, m := range []struct {
		what  string
		names []string
	}{
		{"the output matrix (lm_head)", []string{"lm_head", "output", "embed_out"}},
		{"the token embedding (embed_tokens)", []string{"embed_tokens", "token_embd", "wte"}},
	} {
		if slices.ContainsFunc(m.names, func(n string) bool { return slices.Contains(parts, n) }) {
			return fmt.Errorf("%q is on %s: LoRA is laid over the seven matrices of each layer here (%s), "+
				"this one would be left out and the model another than was trained; "+
				"train the adapter without it (PEFT: not among target_modules or modules_to_save): %w",
				name, m.what, strings.Join(targetNames[:], ", "), ErrUnsupported)
		}
	}
	return nil
}
