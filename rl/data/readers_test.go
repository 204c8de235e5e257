package data

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func TestOpenFindsPackedFiles(t *testing.T) {
	content := "label,scenario,excuse\n1,Is it late?,\"No, it is noon.\"\n"
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	_, err := g.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, g.Close())
	z, err := zstd.NewWriter(&zs)
	require.NoError(t, err)
	_, err = z.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, z.Close())

	for name, body := range map[string][]byte{"a.csv": []byte(content), "a.csv.gz": gz.Bytes(),
		"a.csv.zst": zs.Bytes()} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), body, 0o644))
		for _, asked := range []string{"a.csv", name, "a.csv.gz"} {
			f, err := Open(filepath.Join(dir, asked))
			require.NoError(t, err, "%s as %s", name, asked)
			got, err := io.ReadAll(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.NoError(t, f.Close())
			require.Equal(t, content, string(got))
			require.Equal(t, name, filepath.Base(f.Path))
		}
		rows, err := ReadDeontology(filepath.Join(dir, "a.csv"))
		require.NoError(t, err)
		require.Equal(t, []Deontology{{Line: 2, Label: 1, Scenario: "Is it late?", Excuse: "No, it is noon."}}, rows)
	}

	_, err = Open(filepath.Join(t.TempDir(), "none.csv"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "none.csv.gz")
	_, err = Open(t.TempDir())
	require.ErrorContains(t, err, "is a folder")

	cut := write(t, "cut.csv.gz", string(gz.Bytes()[:gz.Len()-12]))
	_, err = ReadDeontology(cut)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "damaged or cut short")
}

func TestBounds(t *testing.T) {
	long := write(t, "long.jsonl", `{"text": "`+strings.Repeat("x", 4000)+`"}`+"\n")
	one := func(s *source, line int, v *struct {
		Text string `json:"text"`
	}) error {
		return nil
	}
	err := readJSONLines(FormatGuanaco, long, limits{fileBytes: 1 << 20, recordBytes: 1000, rows: 10}, one)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "line 1")
	err = readJSONLines(FormatGuanaco, long, limits{fileBytes: 2000, recordBytes: 1 << 20, rows: 10}, one)
	require.ErrorIs(t, err, ErrTooLarge)
	many := write(t, "many.jsonl", strings.Repeat("{}\n", 11))
	err = readJSONLines(FormatGuanaco, many, limits{fileBytes: 1 << 20, recordBytes: 100, rows: 10}, one)
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "line 11")

	// An unclosed quote must not swallow the rest of a huge file.
	open := write(t, "open.csv", "label,scenario,excuse\n1,\"never closed,x\n"+strings.Repeat("0,a,b\n", 500))
	c, err := newCSV(FormatDeontology, open, ',', limits{fileBytes: 1 << 20, recordBytes: 1000, rows: 1000})
	require.NoError(t, err)
	defer c.close()
	_, err = c.next()
	require.NoError(t, err)
	_, err = c.next()
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "line 2")
}

func TestCSV(t *testing.T) {
	path := write(t, "a.csv", "\"a\"\"b\",c\r\n\"two\r\nlines\",\n\nlast, x ")
	c, err := newCSV(FormatUtilitarianism, path, ',', defaultLimits())
	require.NoError(t, err)
	defer c.close()
	var got [][]string
	var lines []int
	for {
		f, err := c.next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		got = append(got, f)
		lines = append(lines, c.start)
	}
	require.Equal(t, [][]string{{`a"b`, "c"}, {"two\r\nlines", ""}, {"last", " x "}}, got)
	require.Equal(t, []int{1, 2, 5}, lines)
}

// Every malformed input names its file, its true line and field, and says what to do.
func TestMalformed(t *testing.T) {
	deontology := func(p string) error { _, err := ReadDeontology(p); return err }
	util := func(p string) error { _, err := ReadUtilitarianism(p); return err }
	virtue := func(p string) error { _, err := ReadVirtue(p); return err }
	justice := func(p string) error { _, err := ReadJustice(p); return err }
	cm := func(p string) error { _, err := ReadCommonsense(p); return err }
	hh := func(p string) error { _, _, err := ReadHH(p); return err }
	guanaco := func(p string) error { _, err := ReadGuanaco(p); return err }
	pq := func(p string) error { _, err := ReadGuanacoParquet(p); return err }
	chat := func(p string) error { _, _, err := readShapes(Source{Path: p, Format: FormatChat}); return err }
	completion := func(p string) error {
		_, _, err := readShapes(Source{Path: p, Format: FormatCompletion})
		return err
	}
	pairs := func(p string) error { _, _, err := readPairs(Source{Path: p, Format: FormatPairs}); return err }
	tokens := func(p string) error { _, _, err := readTokens(Source{Path: p, Format: FormatTokens}); return err }
	tokenPairs := func(p string) error {
		_, _, err := readTokenPairs(Source{Path: p, Format: FormatTokenPairs})
		return err
	}
	anecdotes := func(p string) error { _, err := ReadAnecdotes(p); return err }
	dilemmas := func(p string) error { _, err := ReadDilemmas(p); return err }
	labelCounts := func(p string) error { _, err := ReadLabelCounts(p); return err }
	toxigen := func(p string) error { _, err := ReadToxiGen(p); return err }
	safenlp := func(p string) error { _, err := ReadSafeNLP(p); return err }
	wsc := func(p string) error { _, err := ReadWSC(p); return err }
	partial := func(p string) error { _, err := ReadPartial(p); return err }
	winobias := func(p string) error { _, err := ReadWinoBias(p); return err }
	winogender := func(p string) error { _, err := ReadWinogender(p); return err }
	occupations := func(p string) error { _, err := ReadWinogenderOccupations(p); return err }

	const dh, cmh = "label,scenario,excuse\n", "label,input,is_short,edited\n"
	toxRow := func(text, ai string) string {
		return strings.Join(toxigenHeader, ",") + "\n" + text + ",g,f,i,l,f,p,s,1," + ai + ",1,human,hate,TopK\n"
	}
	const anec = `{"id":"a","title":"t","text":"","label":"OTHER","label_scores":{"AUTHOR":0,"OTHER":1,` +
		`"EVERYBODY":0,"NOBODY":0,"INFO":0}`
	schema := func(answers, correct string) string {
		return "<?xml version=\"1.0\" " +
			"encoding=\"ISO-8859-1\"?>\n<collection>\n" +
			"<schema><text><txt1>a</txt1><pron>it</pron><txt2>b</txt2></text>" +
			"<answers>" + answers + "</answers><correctAnswer>" + correct + "</correctAnswer></schema></collection>"
	}
	for name, tc := range map[string]struct {
		read    func(string) error
		content string
		is      error
		says    []string
	}{
		"empty":               {deontology, "", ErrEmpty, []string{"empty file"}},
		"header only":         {deontology, dh, ErrEmpty, []string{"at least one data row"}},
		"utf-16":              {deontology, "\xff\xfel\x00", ErrNotUTF8, []string{"UTF-16", "iconv"}},
		"latin-1":             {deontology, dh + "1,caf\xe9,b\n", ErrNotUTF8, []string{"line 2", "0xe9", "iconv"}},
		"latin-1 second line": {deontology, dh + "1,\"a\nb\xe9\",c\n", ErrNotUTF8, []string{"line 3"}},
		"wrong benchmark": {deontology, "label,scenario\n1,x [SEP] y\n", ErrWrongFormat,
			[]string{"header", "looks like ETHICS virtue"}},
		"util as deontology": {deontology, "I ate.,I starved.\n", ErrWrongFormat,
			[]string{"looks like ETHICS utilitarianism"}},
		"deontology as util": {util, dh + "1,a,b\n", ErrWrongFormat,
			[]string{"2 columns", "looks like ETHICS deontology"}},
		"justice as util": {util, "label,scenario\n1,a\n", ErrWrongFormat, []string{"no header"}},
		"justice as virtue": {virtue, "label,scenario\n1,a\n", ErrWrongFormat,
			[]string{"looks like ETHICS justice"}},
		"virtue as justice": {justice, "label,scenario\n1,a [SEP] b\n", ErrWrongFormat,
			[]string{"looks like ETHICS virtue"}},
		"bad label": {deontology, dh + "1,\"a\nb\",c\n2,d,e\n", ErrMalformed,
			[]string{"line 4", `field "label"`, "want 0 or 1", `got "2"`, "mend or delete"}},
		"columns": {deontology, dh + "1,a,b\n1,a\n", ErrMalformed,
			[]string{"line 3", "3 columns", "got 2"}},
		"blank excuse":   {deontology, dh + "1,a, \n", ErrMalformed, []string{"line 2", `"excuse"`}},
		"unclosed quote": {deontology, dh + "1,\"a,b\n", ErrMalformed, []string{"line 2", "closing quote"}},
		"text after quote": {deontology, dh + "1,\"a\"b,c\n", ErrMalformed,
			[]string{"line 2", "quotes only around"}},
		"bare quote": {deontology, dh + "1,a\"b,c\n", ErrMalformed, []string{"line 2", "quotes only around"}},
		"two separators": {virtue, "label,scenario\n1,a [SEP] b [SEP] c\n", ErrMalformed,
			[]string{`one " [SEP] "`}},
		"python bool": {cm, cmh + "1,a,true,False\n", ErrMalformed, []string{`"is_short"`, "True or False"}},
		"hh start": {hh, `{"chosen":"Hi","rejected":"x"}`, ErrMalformed,
			[]string{"line 1", `"chosen"`, "starts with"}},
		"hh end": {hh, `{"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a"}`,
			ErrMalformed, []string{`"rejected"`, "assistant turn"}},
		"hh missing": {hh, `{"chosen":"\n\nHuman: a\n\nAssistant: b"}`, ErrMalformed,
			[]string{`"rejected"`, "got nothing"}},
		"pairs as hh":    {hh, `{"messages":[]}`, ErrWrongFormat, []string{"looks like chat"}},
		"not json":       {guanaco, "\n{oops\n", ErrMalformed, []string{"line 2", "one JSON object"}},
		"csv as json":    {guanaco, dh, ErrWrongFormat, []string{"looks like ETHICS deontology"}},
		"json type":      {guanaco, `{"text": 3}`, ErrMalformed, []string{`"text"`, "want text, got a number"}},
		"guanaco marker": {guanaco, `{"text": "Human: hi"}`, ErrMalformed, []string{`"text"`, "### Human:"}},
		"json empty":     {guanaco, "\n\n", ErrEmpty, nil},
		"not parquet":    {pq, dh, ErrWrongFormat, []string{"looks like ETHICS deontology"}},
		"cut parquet":    {pq, "PAR1abcdefghijk", ErrMalformed, []string{"fetch the file again"}},
		"chat role": {chat, `{"messages":[{"role":"bot","content":""}]}`, ErrMalformed,
			[]string{"messages[0].role", "system, user or assistant"}},
		"chat late system": {chat, `{"messages":[{"role":"user","content":""},{"role":"system","content":""}]}`,
			ErrMalformed, []string{"messages[1].role"}},
		"chat content": {chat, `{"messages":[{"role":"user"}]}`, ErrMalformed, []string{"role and content"}},
		"completion both": {completion, `{"prompt":"a","completion":"b","response":"c"}`, ErrMalformed,
			[]string{"not both"}},
		"completion none": {completion, `{"prompt":"a"}`, ErrMalformed, []string{`"completion"`}},
		"equal pair":      {pairs, `{"chosen":"a","rejected":"a"}`, ErrMalformed, []string{"differs from chosen"}},
		"mask length":     {tokens, `{"ids":[1,2],"mask":[1]}`, ErrMalformed, []string{`"mask"`, "2 elements"}},
		"mask value":      {tokens, `{"ids":[1,2],"mask":[1,2]}`, ErrMalformed, []string{"0 or 1"}},
		"no ids":          {tokens, `{"ids":[]}`, ErrMalformed, []string{"at least one"}},
		"negative id": {tokenPairs, `{"chosen_ids":[1,-2],"rejected_ids":[1]}`, ErrMalformed,
			[]string{"chosen_ids[1]", "-2"}},
		"anecdote label": {anecdotes, strings.Replace(anec, `"OTHER","label_s`, `"YTA","label_s`, 1) + "}",
			ErrMalformed, []string{`"label"`, "YTA"}},
		"anecdote binarized": {anecdotes, anec + `,"binarized_label":"WRONG"}`, ErrMalformed,
			[]string{"RIGHT, which is what label_scores say"}},
		"dilemma actions": {dilemmas, `{"id":"a","actions":[],"gold_label":0,"gold_annotations":[1,2]}`,
			ErrMalformed, []string{"two actions"}},
		"dilemma gold": {dilemmas, `{"id":"a","actions":[{"description":"x"},{"description":"y"}],` +
			`"gold_label":2,"gold_annotations":[1,2]}`, ErrMalformed, []string{"gold_label"}},
		"label counts ragged": {labelCounts, `[[1,2],[1]]`, ErrMalformed, []string{"[1]"}},
		"label counts other": {labelCounts, `{"messages":[{"role":"user","content":"x"}]}`, ErrWrongFormat,
			[]string{"looks like chat"}},
		"toxigen literal": {toxigen, toxRow("b'abc", "1"), ErrMalformed,
			[]string{"line 2", `"text"`, "bytes literal closed"}},
		"toxigen hex":   {toxigen, toxRow(`b'\xzz'`, "1"), ErrMalformed, []string{`\x`}},
		"toxigen score": {toxigen, toxRow("b'a'", "nan"), ErrMalformed, []string{`"toxicity_ai"`}},
		"safenlp label": {safenlp, "[{\"id\":1,\"text\":\"a\",\"toxicity_score\":1,\"label\":\"neutral\"}" +
			",\n{\"id\":2,\"text\":\"a\",\"toxicity_score\":1,\"label\":\"bad\"}]", ErrMalformed,
			[]string{"line 2", "hate or neutral"}},
		"safenlp cut": {safenlp, `[{"id":1,"text":"a","toxicity_score":1,"label":"neutral"}`, ErrMalformed,
			[]string{"the array does not end"}},
		"safenlp object": {safenlp, `{"ids":[1]}`, ErrWrongFormat, []string{"pre-tokenised"}},
		"wsc answers": {wsc, schema("<answer>a</answer>", "A"), ErrMalformed,
			[]string{"line 3", "two answers"}},
		"wsc correct": {wsc, schema("<answer>a</answer><answer>b</answer>", "C"), ErrMalformed,
			[]string{"A or B"}},
		"wsc cut":       {wsc, "<collection><schema><text>", ErrMalformed, []string{"schema"}},
		"wsc other xml": {wsc, "<html></html>", ErrWrongFormat, []string{"<html>"}},
		"partial gold": {partial, `{"context_options":["a","b"],"continuation":"c","gold":2}`, ErrMalformed,
			[]string{"index below 2"}},
		"winobias one bracket": {winobias, "1 [The cook] left.\n", ErrMalformed,
			[]string{"line 1", "pronoun in brackets"}},
		"winobias nested": {winobias, "1 [The [cook]] left as [he].\n", ErrMalformed,
			[]string{"brackets that match"}},
		"winogender id": {winogender, "sentid\tsentence\na.b.c.txt\tx\n", ErrMalformed,
			[]string{"line 2", "sentid"}},
		"winogender columns": {winogender, "sentid\tsentence\nx\n", ErrMalformed, []string{"2 columns"}},
		"winogender header": {winogender, "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\na\t1\t2\t3\n",
			ErrWrongFormat, []string{"looks like Winogender occupation"}},
		"occupation percent": {occupations, "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\na\t101\t2\t3\n",
			ErrMalformed,
			[]string{"percentage"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "input", tc.content)
			err := tc.read(path)
			require.Error(t, err)
			require.ErrorIs(t, err, tc.is)
			require.ErrorContains(t, err, path)
			for _, s := range tc.says {
				require.ErrorContains(t, err, s)
			}
			var e *Error
			require.ErrorAs(t, err, &e)
		})
	}
}

func TestDecodePythonBytes(t *testing.T) {
	for in, want := range map[string]string{
		`b'plain'`:                "plain",
		`b"it's"`:                 "it's",
		`b'it\'s "so"'`:           `it's "so"`,
		`b'a\\nb\n\r\t\x00\101c'`: "a\\nb\n\r\t\x00Ac",
		`b'caf\xc3\xa9'`:          "café",
		`b'\q'`:                   `\q`,
		`b''`:                     "",
		`but no literal`:          "but no literal",
	} {
		got, err := DecodePythonBytes(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	_, err := DecodePythonBytes(`b'\xff'`)
	require.ErrorContains(t, err, "UTF-8")
}

func TestOddRowsAreKept(t *testing.T) {
	path := write(t, "hh.jsonl",
		`{"chosen":"\n\nHuman: a\n\nHuman: b\n\nAssistant:","rejected":"\n\nHuman: c\n\nAssistant: d"}`+"\n"+
			`{"chosen":"\n\nHuman: a\n\nAssistant: x","rejected":"\n\nHuman: a\n\nAssistant: y"}`)
	rows, stats, err := ReadHH(path)
	require.NoError(t, err)
	require.Equal(t, HHStats{Rows: 2, NoSharedPrompt: 1, RepeatedSpeaker: 1, EmptyAnswer: 1}, stats)
	require.Equal(t, "", rows[0].Prompt)
	require.Equal(t, rows[0].Chosen, rows[0].ChosenAnswer)
	require.Equal(t, []Message{{Role: RoleUser, Content: "a"}, {Role: RoleUser, Content: "b"},
		{Role: RoleAssistant, Content: ""}}, rows[0].ChosenTurns)
	require.Equal(t, "\n\nHuman: a\n\nAssistant:", rows[1].Prompt)
	require.Equal(t, " y", rows[1].RejectedAnswer)

	anecdote := write(t, "a.jsonl", `{"id":"a","action":null,"title":"t","text":"","label":"AUTHOR",`+
		`"label_scores":{"AUTHOR":1,"OTHER":1,"EVERYBODY":0,"NOBODY":0,"INFO":9}}`)
	got, err := ReadAnecdotes(anecdote)
	require.NoError(t, err)
	require.Nil(t, got[0].Action)
	require.Equal(t, LabelRight, got[0].BinarizedLabel) // a tie

	safe := write(t, "s.json",
		`[{"id":1,"text":"a_x000D_b","toxicity_score":1.5,"label":"hate","target_groups":["x"]}]`)
	items, err := ReadSafeNLP(safe)
	require.NoError(t, err)
	require.Equal(t, "a\rb", items[0].Text)

	bias := write(t, "b.txt", "3 The assistant notified the [the chief] and asked [her] to bring [her] hat.\n")
	sentences, err := ReadWinoBias(bias)
	require.NoError(t, err)
	s := sentences[0]
	require.Equal(t, "The assistant notified the the chief and asked her to bring her hat.", s.Text)
	require.Equal(t, "the chief", s.Text[s.Referent[0]:s.Referent[1]])
	require.Len(t, s.Pronouns, 2)

	xml := write(t, "w.xml", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><collection><schema><text><txt1> a\n "+
		"caf\xe9 </txt1><pron> it </pron><txt2>b </txt2></text>"+
		"<answers><answer>x </answer><answer>y</answer></answers><correctAnswer> B. "+
		"</correctAnswer></schema></collection>")
	schemas, err := ReadWSC(xml)
	require.NoError(t, err)
	require.Equal(t, "a café", schemas[0].Txt1)
	require.Equal(t, 1, schemas[0].Correct)
}

func TestDetectUnknown(t *testing.T) {
	for _, content := range []string{"hello world", `{"a":1}`, "<html>", "a,b,c\n1,2,3\n", "\xfd\xfe", "[1,2]"} {
		_, err := Detect(write(t, "x", content))
		require.ErrorIs(t, err, ErrUnknownFormat, content)
	}
	_, err := Inspect(write(t, "x", ""))
	require.ErrorIs(t, err, ErrEmpty)
}

func FuzzReaders(f *testing.F) {
	f.Add([]byte("label,scenario,excuse\n1,\"a\r\nb\",c\n"))
	f.Add([]byte(`{"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a\n\nAssistant: c"}`))
	f.Add([]byte(`{"ids":[1,2],"mask":[0,1]}`))
	f.Add([]byte("PAR1\x00\x00PAR1"))
	f.Add([]byte("<collection><schema></schema></collection>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(t.TempDir(), "x")
		require.NoError(t, os.WriteFile(path, body, 0o600))
		for _, name := range Format("").Values() {
			if s, err := InspectSource(Source{Path: path, Format: Format(name)}); err == nil && s.Rows == 0 {
				t.Fatalf("%s: no rows and no error", name)
			}
		}
	})
}
