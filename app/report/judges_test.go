package report_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
)

// A judge's trust and the policies that it prefers stand in every form of the report.
func TestJudges(t *testing.T) {
	dir := experiment(t)
	share := func(mean float64) object { return object{"mean": mean, "lo": mean - .1, "hi": mean + .1, "n": 40} }
	writeJSON(t, filepath.Join(dir, "judge/result.json"), object{
		"stage": "judge", "name": "judge", "version": 1, "constitution": "virtue", "pairs": 1240, "kept": 39,
		"agreement": object{"share": share(.61)}, "letters": share(.75),
		"position": object{"inconsistent": share(.22), "first_place": share(.64)},
		"contests": []object{{"first": hostile, "second": "sft", "wins": share(.58)}},
	})
	r := load(t, dir)
	require.Len(t, r.Judges(), 1)
	text := render(t, report.WriteText, r)
	require.Contains(t, text, "judge, by virtue: 39 of 1,240 pairs became preferences; the orders disagree")
	require.Contains(t, text, "agrees with the\n  labels in 0.61 [0.51, 0.71]")
	md := render(t, report.WriteMarkdown, r)
	require.Contains(t, md, "| judge | virtue | 1,240 | 39 | 0.61 [0.51, 0.71] | 0.22 [0.12, 0.32] | 0.64 [0.54, 0.74]")
	page := render(t, report.WriteHTML, r)
	require.Contains(t, page, `<section id="judges"`)
	require.Contains(t, page, `href="#judges"`)
	require.NotContains(t, page, "<script>alert")
	for _, form := range []string{text, md} {
		require.Contains(t, form, "0.58 [0.48, 0.68]")
	}
}
