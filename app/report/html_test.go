package report_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/report"
)

// allowed are the elements of the page. Nothing that runs or fetches is among them.
var allowed = map[string]bool{}

func init() {
	for _, e := range strings.Fields("html head meta title style body a header h1 h2 h3 p div nav ul li main section " +
		"span b i small code pre script fieldset legend h4 " +
		"table caption thead tbody tr th td input label figure figcaption details summary article svg g path text " +
		"desc select option") {
		allowed[e] = true
	}
}

// wellFormed parses the page as XML, which is stricter than HTML, and checks what a
// page must not have: elements that run or fetch, event handlers, addresses outside
// the page, ids twice, links and labels to nowhere.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	require.True(t, strings.HasPrefix(page, "<!DOCTYPE html>"))
	require.Less(t, len(page), 3<<20)
	dec := xml.NewDecoder(strings.NewReader(page))
	dec.Entity = xml.HTMLEntity
	ids, refs := map[string]bool{}, []string{}
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		el, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		require.True(t, allowed[el.Name.Local], "element %s", el.Name.Local)
		for _, a := range el.Attr {
			name := a.Name.Local
			require.False(t, strings.HasPrefix(name, "on"), "handler %s", name)
			require.NotContains(t, []string{"src", "srcset", "action", "data", "xmlns", "xlink"}, name)
			require.NotContains(t, a.Value, "url(")
			switch name {
			case "id":
				require.False(t, ids[a.Value], "id %s twice", a.Value)
				ids[a.Value] = true
			case "href":
				require.True(t, strings.HasPrefix(a.Value, "#"), "address %s", a.Value)
				refs = append(refs, a.Value[1:])
			case "aria-labelledby":
				refs = append(refs, strings.Fields(a.Value)...)
			case "for":
				refs = append(refs, a.Value)
			}
		}
	}
	for _, r := range refs {
		require.True(t, ids[r], "nothing has id %s", r)
	}
	style := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]
	require.NotContains(t, style, "url(")
	require.NotContains(t, style, "@import")
}

// has and hasNot keep the page out of the failure message.
func has(t *testing.T, page, part string) {
	t.Helper()
	require.True(t, strings.Contains(page, part), "the page has no %q", part)
}

func hasNot(t *testing.T, page, part string) {
	t.Helper()
	require.False(t, strings.Contains(page, part), "the page has %q", part)
}

func TestPageIsWellFormedAndSelfContained(t *testing.T) {
	page := render(t, report.WriteHTML, load(t, experiment(t)))
	wellFormed(t, page)
	hasNot(t, page, "http:")
	hasNot(t, page, "https:")
	has(t, page, "default-src 'none';")
	for _, id := range []string{"matrix", "flags", "benchmarks", "rewards", "ppo", "sft", "scores", "samples",
		"provenance"} {
		has(t, page, `<section id="`+id+`"`)
	}
	has(t, page, "var(--c2)")
	hasNot(t, page, "stroke:#")
	hasNot(t, page, "fill:#")
	has(t, page, "steer ppo --config ppo-virtue/config.yaml")
	has(t, page, strings.Repeat("ab12", 16))
}

func TestHostileTextStaysText(t *testing.T) {
	dir := experiment(t)
	bad := `x"><script>alert(1)</script>&<`
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		v["warnings"] = []string{hostile}
		v["models"].([]any)[0].(object)["adapters"] = []string{bad}
		c := v["cross_reward"].(object)
		c["policies"].([]any)[0], c["rewards"].([]any)[0] = bad, bad
		b := v["benchmarks"].([]any)[0].(object)
		b["benchmark"], b["model"], b["flags"], b["metrics"] = bad, bad, []string{bad}, object{bad: 1}
		c["histograms"].([]any)[0].(object)["reward"] = bad
		c["histograms"].([]any)[0].(object)["policy"] = bad
	})
	edit(t, filepath.Join(dir, "reward-virtue/result.json"), func(v object) {
		v["theory"], v["recipe"], v["command"] = bad, bad, []string{bad, hostile}
		v["histograms"].([]any)[0].(object)["name"] = bad
	})
	write(t, filepath.Join(dir, "experiment.yaml"), "name: '"+bad+"'\n")
	write(t, filepath.Join(dir, "sft/config.yaml"), hostile)
	r := load(t, dir)
	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	require.Equal(t, 1, strings.Count(page, "<script"), "the page's own script and no other")
	hasNot(t, page, "<img")
	hasNot(t, page, "\u202e")
	has(t, page, "\u2400")

	text := render(t, report.WriteText, r)
	require.NotContains(t, text, "\x1b", "no escape sequence reaches the terminal")
	require.NotContains(t, render(t, report.WriteMarkdown, r), "<script")
}

func TestPageStaysSmallAndSaysWhatIsLeftOut(t *testing.T) {
	dir := experiment(t)
	edit(t, filepath.Join(dir, "eval/result.json"), func(v object) {
		var samples []object
		for k := range 40 {
			answers := object{}
			for m := range 16 {
				answers[fmt.Sprint("model", m)] = strings.Repeat("<&", 5000)
			}
			samples = append(samples, object{"prompt": fmt.Sprint(k), "answers": answers})
		}
		v["samples"] = samples
	})
	r := load(t, dir)
	require.Len(t, r.Samples, 24)
	require.Equal(t, 16, r.SamplesLeftOut)
	page := render(t, report.WriteHTML, r)
	wellFormed(t, page)
	has(t, page, "[8,000 more characters]")
	has(t, page, "28 more samples are in the results file")
	require.Len(t, r.Samples, 24, "writing does not change the report")
}

func TestCurvesThatCannotBeDrawn(t *testing.T) {
	dir := t.TempDir()
	for name, lines := range map[string]string{
		"sft":         `{"step":0,"loss":1e300}` + "\n" + `{"step":1,"loss":1}` + "\n", // too large for an axis
		"ppo-virtue":  `{"step":1,"ppo/mean_scores":0.5,"objective/kl":null}` + "\n",   // one point, a gap
		"ppo-justice": `{"step":1,"other":1}` + "\n",
		"reward-x":    `{"step":3,"loss":0.7}` + "\n" + `{"step":4,"loss":0.7}` + "\n", // constant
	} {
		write(t, filepath.Join(dir, name, "metrics.jsonl"), lines)
	}
	page := render(t, report.WriteHTML, load(t, dir))
	wellFormed(t, page)
	has(t, page, "1 point of training not drawn: too large.")
	has(t, page, "Not logged: justice.")
}
