package experiment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/conf"
)

// What --dry-run prints is a file: read from elsewhere it is the same study, stage by stage.
func TestDocumentIsTheStudy(t *testing.T) {
	files, err := filepath.Glob("../../experiments/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		for _, overrides := range [][]string{nil, {"sft.seed=7", "ppo.kl_coef=0.3", "eval.limit=9"}} {
			t.Run(filepath.Base(file), func(t *testing.T) {
				want, err := LoadStudy(file, overrides)
				require.NoError(t, err)
				text, err := want.Document()
				require.NoError(t, err)
				require.NotContains(t, string(text), "extends")
				elsewhere := filepath.Join(t.TempDir(), "resolved.yaml")
				require.NoError(t, os.WriteFile(elsewhere, text, 0o600))
				got, err := LoadStudy(elsewhere, nil)
				require.NoError(t, err, string(text))
				require.NoError(t, got.Validate())
				require.Equal(t, want.Out, got.Out)
				require.Len(t, got.Runs, len(want.Runs))
				for i, w := range want.Runs {
					g := got.Runs[i]
					require.Equal(t, w.Out, g.Out)
					require.Equal(t, w.summary(), g.summary())
					ws, gs := w.Stages(), g.Stages()
					require.Len(t, gs, len(ws))
					for k := range ws {
						a, err := conf.Marshal(ws[k].Job)
						require.NoError(t, err)
						b, err := conf.Marshal(gs[k].Job)
						require.NoError(t, err)
						require.Equal(t, ws[k].Name, gs[k].Name)
						require.Equal(t, string(a), string(b), ws[k].Name)
					}
				}
				again, err := got.Document()
				require.NoError(t, err)
				require.Equal(t, string(text), string(again))

				// Another seed is one key of it, as of the original.
				if len(want.Runs) == 1 {
					a, err := LoadStudy(file, append([]string{"seed=99"}, overrides...))
					require.NoError(t, err)
					b, err := LoadStudy(elsewhere, []string{"seed=99"})
					require.NoError(t, err)
					x, err := a.Document()
					require.NoError(t, err)
					y, err := b.Document()
					require.NoError(t, err)
					require.Equal(t, string(x), string(y))
				}
			})
		}
	}
}
