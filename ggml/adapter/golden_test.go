package adapter_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/internal/testfiles"
)

var (
	shapeM = adapter.Shape{Arch: "llama", Layers: 30, Embd: 576, FF: 1536, Heads: 9, KVHeads: 3, HeadDim: 64}
	shapeS = adapter.Shape{Arch: "llama", Layers: 5, Embd: 64, FF: 172, Heads: 8, KVHeads: 4, HeadDim: 8}
)

// Adapters saved by PEFT 0.21.2 and 0.5.0 (with TRL's value head).
func TestGoldenAdaptersSurviveBothForms(t *testing.T) {
	golden := testfiles.Golden(t, ".")
	for _, c := range []struct {
		dir   string
		shape adapter.Shape
		rank  int
		alpha float32
		scale float32
		pairs int
		head  string // "", "score" or "v_head"
	}{
		{"lora/m_all", shapeM, 2, 4, 2, 210, ""},
		{"lora/m_qv", shapeM, 4, 8, 2, 60, ""},
		{"lora/s_all", shapeS, 4, 8, 2, 35, ""},
		{"reward/rm", shapeM, 2, 8, 4, 60, "score"},
		{"ppo/step_S", shapeS, 4, 8, 2, 10, "v_head"},
	} {
		for _, which := range []string{"adapter_init", "adapter_final"} {
			t.Run(c.dir+"/"+which, func(t *testing.T) {
				src := filepath.Join(golden, c.dir, which)
				a, err := adapter.ImportPEFT(src, c.shape)
				require.NoError(t, err)
				require.NoError(t, a.CheckFinite())
				require.Len(t, a.Pairs, c.pairs)
				require.Equal(t, c.rank, a.Rank())
				require.Equal(t, c.alpha, a.Alpha)
				require.Equal(t, c.scale, a.Scale(a.Pairs[0]))
				switch c.head {
				case "":
					require.Nil(t, a.Head)
				case "score":
					require.False(t, a.Head.HasBias)
					require.Len(t, a.Head.Weight, c.shape.Embd)
				default:
					require.True(t, a.Head.HasBias)
					require.Len(t, a.Head.Weight, c.shape.Embd)
				}

				// PEFT -> GGUF file -> PEFT: the file PEFT wrote, byte for byte.
				path := filepath.Join(t.TempDir(), "adapter.gguf")
				require.NoError(t, a.Save(path))
				b, err := adapter.LoadFor(path, c.shape)
				require.NoError(t, err)
				require.Equal(t, a, b)
				out := filepath.Join(t.TempDir(), "peft")
				require.NoError(t, adapter.ExportPEFT(b, out, c.shape, "base"))
				files := []string{"adapter_model.safetensors"}
				if c.head == "v_head" {
					files = append(files, "v_head.safetensors")
				}
				for _, f := range files {
					want, err := os.ReadFile(filepath.Join(src, f))
					require.NoError(t, err)
					got, err := os.ReadFile(filepath.Join(out, f))
					require.NoError(t, err)
					require.True(t, bytes.Equal(want, got), "%s differs", f)
				}
				again, err := adapter.LoadFor(out, c.shape)
				require.NoError(t, err)
				require.Equal(t, a, again)
			})
		}
	}
}
