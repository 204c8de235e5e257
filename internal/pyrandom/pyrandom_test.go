package pyrandom

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
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
		r := FromText(c.text)
		require.Equal(t, c.words, [3]uint32{r.uint32(), r.uint32(), r.uint32()})
		order := []int{0, 1}
		Shuffle(FromText(c.text), order)
		require.Equal(t, c.order, order)
	}
}

// The draws are Python's own: eval/task/testdata/prompts.py.
func TestSample(t *testing.T) {
	var golden struct {
		Draws []struct {
			N, K  int
			Drawn [][]int
		}
	}
	testfiles.ReadJSON(t, testfiles.Root(t)+"/eval/task/testdata/prompts.json.gz", &golden)
	require.NotEmpty(t, golden.Draws)
	for _, d := range golden.Draws {
		r := FromInt(1234)
		for _, want := range d.Drawn {
			require.Equal(t, want, r.Sample(d.N, d.K))
		}
	}
}
