package data

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// The release has an unnamed first column, a newer one "id" too, revised ones fewer.
func TestCrowSPairs(t *testing.T) {
	for _, content := range []string{
		",sent_more,sent_less,stereo_antistereo,bias_type,annotations,anon_writer,anon_annotators\n" +
			"0,\"A, b.\",C b.,stereo,race-color,\"[['race-color'], []]\",a0,\"['a1', 'a2']\"\n" +
			"1,D.,E.,antistereo,gender,\"[['gender']]\",a2,\"['a3']\"\n",
		"bias_type,stereo_antistereo,sent_less,sent_more\nrace-color,stereo,C b.,\"A, b.\"\ngender,antistereo,E.,D.\n",
	} {
		path := write(t, "crows.csv", content)
		format, err := Detect(path)
		require.NoError(t, err)
		require.Equal(t, FormatCrowSPairs, format)
		rows, err := ReadCrowSPairs(path)
		require.NoError(t, err)
		require.Equal(t, []CrowSPair{
			{Line: 2, More: "A, b.", Less: "C b.", Stereotype: true, BiasType: "race-color"},
			{Line: 3, More: "D.", Less: "E.", BiasType: "gender"},
		}, rows)
		s, err := Inspect(path)
		require.NoError(t, err)
		require.Equal(t, 2, s.Rows)
	}
	const head = "sent_more,sent_less,stereo_antistereo,bias_type\n"
	for content, says := range map[string]string{
		head + "a,b,stereotype,gender\n": `line 2: field "stereo_antistereo": malformed: want stereo or antistereo,` +
			` got "stereotype"`,
		head + "a,,stereo,gender\n": `line 2: field "sent_less"`,
		head + "a,b,stereo,\n":      `line 2: field "bias_type"`,
		head + "a,b,stereo\n":       "want 4 columns, got 3",
		head:                        "want at least one data row",
		"sent_more,sent_less,bias_type\na," +
			"b,gender\n": `field "header": another format: want a column stereo_antistereo`,
		"label,scenario,excuse\n1,a,b\n": "ETHICS deontology",
	} {
		_, err := ReadCrowSPairs(write(t, "bad.csv", content))
		require.ErrorContains(t, err, says)
	}
}

func TestDilemmaHumanPerformance(t *testing.T) {
	row := func(more string) string {
		return `{"id":"d","actions":[{"id":"a","description":"x"},{"id":"b","description":"y"}],` +
			`"gold_annotations":[3,2],` + more + `}` + "\n"
	}
	rows, err := ReadDilemmas(write(t, "d.jsonl", row(`"gold_label":0,"human_perf_annotations":[1,4],`+
		`"human_perf_label":1,"controversial":true`)+row(`"gold_label":0`)))
	require.NoError(t, err)
	require.Equal(t, &HumanAnswer{Votes: [2]int{1, 4}, LessEthical: 1}, rows[0].Human)
	require.Nil(t, rows[1].Human)
	for more, says := range map[string]string{
		`"gold_label":1`: `field "gold_label": malformed: want 0, the action most annotators chose`,
		`"gold_label":0,` +
			`"human_perf_annotations":[1,4]`: `field "human_perf_label": malformed: want 0 or 1,` +
			` as human_perf_annotations is given, got nothing`,
		`"gold_label":0,"human_perf_annotations":[1,4],"human_perf_label":2`: `field "human_perf_label"`,
		`"gold_label":0,"human_perf_annotations":[1],"human_perf_label":0`:   `field "human_perf_annotations"`,
	} {
		_, err := ReadDilemmas(write(t, "d.jsonl", row(more)))
		require.ErrorContains(t, err, says)
	}
}

func TestTextAndLines(t *testing.T) {
	path := write(t, "t.txt", "\ufeff- a\\n- b\\n-  \r\n\n  second\n")
	text, err := ReadText(path)
	require.NoError(t, err)
	require.Equal(t, "- a\\n- b\\n-  \r\n\n  second\n", text)
	lines, err := ReadLines(path)
	require.NoError(t, err)
	require.Equal(t, []TextLine{{1, "- a\n- b\n-"}, {3, "second"}}, lines)

	_, err = ReadText(write(t, "latin.txt", "ok\nb\xe9\n"))
	require.ErrorIs(t, err, ErrNotUTF8)
	require.ErrorContains(t, err, "line 2")
	_, err = ReadText(write(t, "blank.txt", " \n"))
	require.ErrorIs(t, err, ErrEmpty)
	_, err = ReadLines(write(t, "blank.txt", " \n"))
	require.ErrorIs(t, err, ErrEmpty)
	_, err = ReadText(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// gold_label is the LESS ethical action, and every row of the release names it.
func TestRealDilemmasHaveHumanPerformance(t *testing.T) {
	rows, err := ReadDilemmas(testfiles.Data(t, "scruples/dilemmas/dev.scruples-dilemmas.jsonl"))
	require.NoError(t, err)
	agree, controversial := 0, 0
	for _, r := range rows {
		require.NotNil(t, r.Human)
		require.Equal(t, 5, r.Votes[0]+r.Votes[1])
		if r.Human.LessEthical == r.LessEthical {
			agree++
		}
		if r.Controversial {
			controversial++
		}
	}
	require.Equal(t, 1546, controversial)
	t.Logf("human accuracy %d of %d", agree, len(rows))
	require.Equal(t, 1888, agree)
}
