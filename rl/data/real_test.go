package data

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// Row counts and labels of the released files.
func TestRealFiles(t *testing.T) {
	for _, tc := range []struct {
		path   string
		format Format
		rows   int
		labels map[string]int
	}{
		{"ethics/deontology/deontology_train.csv", FormatDeontology, 18164, map[string]int{"1": 9790, "0": 8374}},
		{"ethics/deontology/deontology_test.csv", FormatDeontology, 3596, nil},
		{"ethics/utilitarianism/util_train.csv", FormatUtilitarianism, 13738, nil},
		{"ethics/utilitarianism/util_test.csv", FormatUtilitarianism, 4808, nil},
		{"ethics/virtue/virtue_train.csv", FormatVirtue, 28245, map[string]int{"1": 2415, "0": 25830}},
		{"ethics/virtue/virtue_test.csv", FormatVirtue, 4975, map[string]int{"1": 995, "0": 3980}},
		{"ethics/justice/justice_train.csv", FormatJustice, 21791, nil},
		{"ethics/justice/justice_test.csv", FormatJustice, 2704, nil},
		{"ethics/commonsense/cm_test.csv", FormatCommonsense, 3885,
			map[string]int{"1 (wrong)": 1816, "0 (acceptable)": 2069}},
		{"ethics/commonsense/cm_ambig.csv", FormatCommonsenseAmbig, 995, nil},
		{"hh-rlhf/harmless-base/test.jsonl", FormatHH, 2312, nil},
		{"scruples/anecdotes/dev.scruples-anecdotes.jsonl", FormatAnecdotes, 2344,
			map[string]int{"RIGHT": 1860, "WRONG": 484}},
		{"scruples/anecdotes/train.scruples-anecdotes.jsonl", FormatAnecdotes, 26217,
			map[string]int{"RIGHT": 20469, "WRONG": 5748}},
		{"scruples/dilemmas/dev.scruples-dilemmas.jsonl", FormatDilemmas, 2340, nil},
		{"scruples/label-counts/dev.scruples-anecdotes_label-counts.json", FormatLabelCounts, 2500, nil},
		{"scruples/label-counts/dev.scruples-dilemmas_label-counts.json", FormatLabelCounts, 2340, nil},
		{"scruples/fixtures/corpus-easy/train.scruples-corpus.jsonl", FormatAnecdotes, 20, nil},
		{"scruples/fixtures/resource-easy/train.scruples-actions.jsonl", FormatDilemmas, 16, nil},
		{"toxigen/annotated_train.csv", FormatToxiGen, 8960,
			map[string]int{"toxic (toxicity_ai + toxicity_human > 5.5)": 3368, "not toxic": 5592}},
		{"toxigen/safenlp/toxiGen.json", FormatSafeNLP, 6514, nil},
		{"winograd/WSCollection.xml", FormatWSC, 283, nil},
		{"winograd/wsc285/WSCollection.xml", FormatWSC, 285, nil},
		{"winograd/llm-foundry/winograd_wsc.jsonl", FormatPartial, 273, nil},
		{"winograd/llm-foundry/winogrande.jsonl", FormatPartial, 1267, nil},
		{"winobias/pro_stereotyped_type1.txt.dev", FormatWinoBias, 396, nil},
		{"winobias/pro_stereotyped_type1.txt.test", FormatWinoBias, 396, nil},
		{"winobias/pro_stereotyped_type2.txt.dev", FormatWinoBias, 396, nil},
		{"winobias/pro_stereotyped_type2.txt.test", FormatWinoBias, 396, nil},
		{"winobias/anti_stereotyped_type1.txt.dev", FormatWinoBias, 396, nil},
		{"winobias/anti_stereotyped_type1.txt.test", FormatWinoBias, 396, nil},
		{"winobias/anti_stereotyped_type2.txt.dev", FormatWinoBias, 396, nil},
		{"winobias/anti_stereotyped_type2.txt.test", FormatWinoBias, 396, nil},
		{"winogender/all_sentences.tsv", FormatWinogender, 720, map[string]int{"female": 240, "male": 240,
			"neutral": 240}},
		{"winogender/templates.tsv", FormatWinogenderTempl, 120, nil},
		{"winogender/occupations-stats.tsv", FormatWinogenderStats, 60, nil},
		{"guanaco/openassistant_guanaco_1k_rebuilt.jsonl", FormatGuanaco, 1000, nil},
		{"guanaco/guanaco-llama2-1k/train-00000-of-00001-9ad84bb9cf65a42f.parquet", FormatGuanacoParquet, 1000, nil},
	} {
		t.Run(tc.path, func(t *testing.T) {
			s, err := Inspect(testfiles.Data(t, tc.path))
			require.NoError(t, err)
			require.Equal(t, tc.format, s.Format)
			require.Equal(t, tc.rows, s.Rows)
			require.Len(t, s.Examples, 3)
			if tc.labels != nil {
				got := map[string]int{}
				for _, l := range s.Labels {
					got[l.Label] = l.Count
				}
				require.Equal(t, tc.labels, got)
			}
		})
	}
}

func TestRealHH(t *testing.T) {
	rows, stats, err := ReadHH(testfiles.Data(t, "hh-rlhf/harmless-base/test.jsonl"))
	require.NoError(t, err)
	require.Equal(t, HHStats{Rows: 2312, NoSharedPrompt: 5, RepeatedSpeaker: 8, EmptyAnswer: 4}, stats)
	tpl, err := NewTemplate(TemplateHH, nil)
	require.NoError(t, err)
	exact := 0
	for _, r := range rows {
		require.Equal(t, r.Chosen, r.Prompt+r.ChosenAnswer)
		require.Equal(t, r.Rejected, r.Prompt+r.RejectedAnswer)
		if Text(must(tpl.Render(r.ChosenTurns)), "", "") == r.Chosen {
			exact++
		}
	}
	// An empty turn has no blank after its colon in the release.
	require.GreaterOrEqual(t, exact, 2290)
}

// The parquet and the JSONL file hold the same turns, and the template writes the
// JSONL text back byte for byte.
func TestRealGuanaco(t *testing.T) {
	lines, err := ReadGuanaco(testfiles.Data(t, "guanaco/openassistant_guanaco_1k_rebuilt.jsonl"))
	require.NoError(t, err)
	rows, err := ReadGuanacoParquet(
		testfiles.Data(t, "guanaco/guanaco-llama2-1k/train-00000-of-00001-9ad84bb9cf65a42f.parquet"))
	require.NoError(t, err)
	oneTurn := 0
	for i := range lines {
		require.Equal(t, rows[i].Messages, lines[i].Messages, "row %d", i)
		if len(lines[i].Messages) == 2 {
			oneTurn++
		}
	}
	require.Equal(t, 647, oneTurn)
	// So do their parts: an experiment may name either.
	for _, s := range []Source{{Split: SplitTrain, HeldOut: 0.3, Seed: 1}, {Split: SplitHeldOut, HeldOut: 0.3, Seed: 1,
		Limit: 40}} {
		s.Path = lines[0].Source
		want, _, err := LoadConversations(s)
		require.NoError(t, err)
		s.Path = rows[0].Source
		got, _, err := LoadConversations(s)
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i].Messages, got[i].Messages)
			require.Equal(t, want[i].Line, got[i].Line)
		}
	}

	tpl, err := NewTemplate(TemplateGuanaco, nil)
	require.NoError(t, err)
	i := 0
	require.NoError(t, readJSONLines(FormatGuanaco, testfiles.Data(t, "guanaco/openassistant_guanaco_1k_rebuilt.jsonl"),
		defaultLimits(),
		func(_ *source, _ int, v *struct {
			Text string `json:"text"`
		}) error {
			require.Equal(t, v.Text, Text(must(tpl.Render(lines[i].Messages)), "", ""))
			i++
			return nil
		}))
}

// WSC273 in XML equals llm-foundry's derived form.
func TestRealWSC(t *testing.T) {
	schemas, err := ReadWSC(testfiles.Data(t, "winograd/WSCollection.xml"))
	require.NoError(t, err)
	partial, err := ReadPartial(testfiles.Data(t, "winograd/llm-foundry/winograd_wsc.jsonl"))
	require.NoError(t, err)
	for i, p := range partial {
		require.Equal(t, p.Gold, schemas[i].Correct, "schema %d", i)
		require.Equal(t, p.Continuation, schemas[i].Txt2, "schema %d", i)
	}
}

// Multi-line records: the true line numbers, and CRLF kept inside fields.
func TestRealCommonsenseLines(t *testing.T) {
	rows, err := ReadCommonsense(testfiles.Data(t, "ethics/commonsense/cm_test.csv"))
	require.NoError(t, err)
	crlf := 0
	for _, r := range rows {
		for i := 0; i+1 < len(r.Input); i++ {
			if r.Input[i] == '\r' && r.Input[i+1] == '\n' {
				crlf++
			}
		}
	}
	require.Equal(t, 20, crlf)
	require.Equal(t, 2, rows[0].Line)
	require.Greater(t, rows[3884].Line, 19000)
}
