package adapter

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two heads of width 6, rows named by their number in transformers' order. Within a
// head, row i and its partner i+3 become neighbours.
func TestRowOrderByHand(t *testing.T) {
	hf := []float32{0, 1, 2, 3, 4, 5 /**/, 6, 7, 8, 9, 10, 11}
	want := []float32{0, 3, 1, 4, 2, 5 /**/, 6, 9, 7, 10, 8, 11}
	require.Equal(t, want, toGGUFRows(hf, 2, 6, 1))
	require.Equal(t, hf, toHFRows(want, 2, 6, 1))

	// Rows move as wholes: width 2.
	require.Equal(t, []float32{0, 1, 4, 5, 2, 3, 6, 7}, toGGUFRows([]float32{0, 1, 2, 3, 4, 5, 6, 7}, 1, 4, 2))
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"peft_type":"LORA","r":2,"lora_alpha":8,"rank_pattern":{"q_proj":3},` +
		`"alpha_pattern":{".*v_proj":1.5},"init_lora_weights":true}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseConfig(raw)
		if err != nil {
			return
		}
		if c.Rank < 1 || c.Alpha <= 0 {
			t.Fatalf("accepted r %d, alpha %g", c.Rank, c.Alpha)
		}
		c.RankPattern.lookup("model.layers.0.self_attn.q_proj", 1)
	})
}
