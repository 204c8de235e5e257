package benchmark

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPythonRandom(t *testing.T) {
	for _, c := range []struct {
		text  string
		words [3]uint32
		order []int
	}{
		{"a", [3]uint32{1168357962, 2173948116, 289208638}, []int{0, 1}},
		{"I built a sandcastle with my nephew. We made one small castle.",
			[3]uint32{191502570, 1409668902, 112049181}, []int{1, 0}},
	} {
		r := newPythonRandom(c.text)
		require.Equal(t, c.words, [3]uint32{r.uint32(), r.uint32(), r.uint32()})
		order := []int{0, 1}
		shuffle(newPythonRandom(c.text), order)
		require.Equal(t, c.order, order)
	}
}
