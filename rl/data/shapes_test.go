package data

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// The files that pyarrow, pandas and datasets write are read: dictionary pages, large lists of large
// strings, structs of nulls, structs of lists.
func TestParquetOfOthers(t *testing.T) {
	file := func(name string) Source { return Source{Path: filepath.Join("../../testdata/shapes", name)} }
	for _, name := range []string{"chat-dictionary.parquet", "chat-large.parquet"} {
		rows, info, err := LoadConversations(file(name))
		require.NoError(t, err, name)
		require.Empty(t, info.Notes, name)
		require.Len(t, rows, 40)
		for i, c := range rows {
			require.Equal(t, turns("user", fmt.Sprintf("Question %d: é漢\n?", i%3), "assistant",
				strings.Repeat("Answer ", i%4+1)), c.Messages)
			require.Equal(t, i+1, c.Line)
		}
	}
	rows, info, err := LoadConversations(file("chat-nulls.parquet"))
	require.NoError(t, err)
	require.Len(t, info.Notes, 1, "null is no key: %v", info.Notes)
	require.True(t, rows[1].Messages[1].Masked)
	require.Equal(t, Message{Role: "system", Content: "Be kind."}, rows[2].Messages[0])

	rows, info, err = LoadConversations(file("sharegpt-columns.parquet"))
	require.NoError(t, err)
	require.Equal(t, FormatShareGPT, info.Format)
	require.Equal(t, turns("user", "Ho", "assistant", "No"), rows[1].Messages)

	pairs, _, err := LoadPairs(file("pairs-lists.parquet"))
	require.NoError(t, err)
	require.Equal(t, turns("user", "b", "assistant", "good"), pairs[1].ChosenTurns)

	for _, name := range []string{"kto-pandas.csv", "kto-pandas.parquet"} {
		src, err := file(name).Resolve(FormatKTO)
		require.NoError(t, err)
		labelled, _, err := ReadLabelled(src)
		require.NoError(t, err)
		require.Equal(t, turns("user", "She said \"hi\",\nthen"), labelled[0].Prompt)
		require.Equal(t, turns("assistant", " y "), labelled[1].Answer, "blanks stay")
		require.Equal(t, []bool{true, false}, []bool{labelled[0].Good, labelled[1].Good})
	}
	src, err := file("ranked.parquet").Resolve(FormatRanked)
	require.NoError(t, err)
	ranked, _, err := ReadRanked(src)
	require.NoError(t, err)
	require.Equal(t, 3.0, ranked[1].Answers[2].Score)
}

// One conversation in every shape and every container: what is read does not depend on either.
func TestShapesInAllContainers(t *testing.T) {
	want := turns("user", "Hi, \"you\"", "assistant", "Yes")
	const list = `[{"role":"user","content":"Hi, \"you\""},{"role":"assistant","content":"Yes"}]`
	cell := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	for name, c := range map[string]struct {
		content string
		format  Format
		line    int
	}{
		"crlf and bom":   {"\xef\xbb\xbf{\"messages\":" + list + "}\r\n", FormatChat, 1},
		"csv messages":   {"id,messages\n1," + cell(list) + "\n", FormatChat, 2},
		"csv completion": {"prompt,completion\r\n\"Hi, \"\"you\"\"\",Yes\r\n", FormatCompletion, 2},
		"csv lists": {
			"prompt,completion\n" + cell(`[{"role":"user","content":"Hi, \"you\""}]`) + ",Yes\n", FormatCompletion, 2,
		},
		"semicolons": {"prompt;completion\n\"Hi, \"\"you\"\"\";Yes\n", FormatCompletion, 2},
		"tsv alpaca": {"instruction\tinput\toutput\n\"Hi, \"\"you\"\"\"\t\tYes\n", FormatAlpaca, 2},
		"csv sharegpt": {
			"conversations\n" + cell(`[{"from":"Human","value":"Hi, \"you\""},{"from":"GPT","value":"Yes"}]`) + "\n",
			FormatShareGPT, 2,
		},
		"struct of lists": {
			`{"messages":{"role":["user","assistant"],"content":["Hi, \"you\"","Yes"]}}`, FormatChat, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			rows, info := conversations(t, "x", c.content)
			require.Equal(t, c.format, info.Format)
			require.Equal(t, want, rows[0].Messages)
			require.Equal(t, c.line, rows[0].Line)
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			fmt.Fprint(z, c.content)
			require.NoError(t, z.Close())
			again, _ := conversations(t, "x.gz", packed.String())
			require.Equal(t, want, again[0].Messages)
		})
	}
}

// Columns may have other names: the file's stand on the right.
func TestColumns(t *testing.T) {
	load := func(content string, columns Columns, format Format) ([]Conversation, Loaded, error) {
		return LoadConversations(Source{Path: write(t, "x.jsonl", content), Columns: columns, Format: format})
	}
	rows, info, err := load(`{"question":"a","answer":"b","prompt":"not this"}`,
		Columns{"prompt": "question", "completion": "answer"}, "")
	require.NoError(t, err)
	require.Equal(t, FormatCompletion, info.Format)
	require.Equal(t, turns("user", "a", "assistant", "b"), rows[0].Messages)
	require.Equal(t, []string{`1 times the key "prompt", which is not read (first: line 1)`}, info.Notes)

	rows, _, err = load(`{"instruction":"a","context":"c","response":"b"}`,
		Columns{"input": "context", "output": "response"}, "")
	require.NoError(t, err)
	require.Equal(t, turns("user", "a\n\nc", "assistant", "b"), rows[0].Messages)

	rows, _, err = load(`{"dialog":[{"speaker":"user","text":"a"},{"speaker":"assistant","text":"b"}]}`,
		Columns{"messages": "dialog", "role": "speaker", "content": "text"}, "")
	require.NoError(t, err)
	require.Equal(t, turns("user", "a", "assistant", "b"), rows[0].Messages)

	for says, c := range map[string]struct {
		columns Columns
		format  Format
	}{
		`write prompt: question`:     {Columns{"question": "prompt"}, ""},
		`did you mean "completion"?`: {Columns{"completions": "answer"}, ""},
		`field "qestion"`: {
			Columns{"prompt": "qestion", "completion": "answer"}, "",
		},
		`did you mean "question"?`: {
			Columns{"prompt": "qestion", "completion": "answer"}, "",
		},
		`both read from "answer"`: {
			Columns{"prompt": "answer", "completion": "answer"}, "",
		},
		`format guanaco has the columns of its release`:   {Columns{"prompt": "answer"}, FormatGuanaco},
		`want a name that format alpaca has: instruction`: {Columns{"prompt": "question"}, FormatAlpaca},
		`chat needs messages`:                             {Columns{"history": "question"}, ""},
		`field "answer": malformed: want text, or a list of`: {
			Columns{"prompt": "question", "completion": "answer"}, "",
		},
	} {
		_, _, err := load(`{"question":"a","answer":7}`, c.columns, c.format)
		require.ErrorContains(t, err, says)
	}
	_, err = Detect(write(t, "q.jsonl", `{"question":"a","answer":"b"}`))
	require.ErrorContains(t, err, "write columns: {prompt: question, completion: answer}")
}

// What can be read in two ways is decided by what is wanted, aloud, or refused with both readings.
func TestAmbiguousShapes(t *testing.T) {
	both := write(t, "b.jsonl", `{"prompt":"a","chosen":"b","rejected":"c","messages":[{"role":"user","content":"a"},`+
		`{"role":"assistant","content":"b"}]}`)
	_, info, err := LoadConversations(Source{Path: both})
	require.NoError(t, err)
	require.Equal(t, FormatChat, info.Format)
	require.Contains(t, info.Notes[0], "it is read as chat; its columns are those of pairs too")
	_, info, err = LoadPairs(Source{Path: both})
	require.NoError(t, err)
	require.Equal(t, FormatPairs, info.Format)
	for _, path := range []string{both, write(t, "i.jsonl",
		`{"instruction":"a","output":"b","prompt":"c","completion":"d"}`)} {
		_, err = Inspect(path)
		var two *AmbiguousError
		require.ErrorAs(t, err, &two)
		require.Len(t, two.Readings, 2)
		require.ErrorContains(t, err, "write which: format: "+string(two.Readings[0])+", or format: ")
	}
	// Columns that say nothing decide nothing.
	rows, _ := conversations(t, "n.jsonl", `{"messages":null,"instruction":"a","output":"b"}`)
	require.Equal(t, turns("user", "a", "assistant", "b"), rows[0].Messages)
	// A label says which answers are good: it is not passed over.
	kto := write(t, "k.jsonl", `{"prompt":"a","completion":"b","label":false}`)
	_, _, err = LoadConversations(Source{Path: kto})
	require.ErrorContains(t, err, "whatever its label is, set format: completion")
	_, info, err = LoadConversations(Source{Path: kto, Format: FormatCompletion})
	require.NoError(t, err)
	require.Len(t, info.Notes, 1)
}

// A row of another shape is named, with its line and what it looks like.
func TestMixedShapes(t *testing.T) {
	for content, says := range map[string][]string{
		`{"messages":[{"role":"user","content":"a"}]}` + "\n" + `{"instruction":"a","output":"b"}`: {"line 2",
			`field "messages"`, "this row looks like Alpaca", "rows of one format"},
		`{"prompt":"a","completion":"b"}` + "\n" + `{"prompt":"a","chosen":"b","rejected":"c"}`: {"line 2",
			`field "completion"`, "looks like preference pairs"},
		"prompt,completion\na\rb,c\n":     {"line 2", "single carriage return"},
		"prompt,completion\n\"a,b\n":      {"line 2", "want a closing quote"},
		"prompt,completion\n":             {"no rows"},
		"prompt,completion\na,b\n\"c\"\n": {"line 3", "2 columns, as the header has"},
		"messages\n\"[{'role': 'user', 'content': 'a'}]\"\n": {
			"line 2", `field "messages"`, "single quotes", "json.dumps",
		},
		"prompt,completion\n\"[{'role': 'u', 'content': 'a'}]\",b\n": {
			"line 2", `field "prompt"`, "as Python prints it",
		},
		"prompt,completion,tools\na,b,\"[{\"\"name\"\":\"\"x\"\"}]\"\n": {"line 2", `field "tools"`},
		`{"messages":[{"role":"usr","content":"a"}]}`:                   {`did you mean "user"`},
		`{"prompt":null,"completion":"b"}`:                              {`field "prompt"`},
		`{"instruction":"a","output":"b","history":[["a",null]]}`:       {`history[0][1]`, "null"},
		`{"messages":{"role":["user"],"content":["a","b"]}}`: {
			"line 1", `field "messages.role"`, "2 values",
		},
	} {
		_, _, err := LoadConversations(Source{Path: write(t, "x", content)})
		require.Error(t, err, content)
		for _, s := range says {
			require.ErrorContains(t, err, s, content)
		}
	}
}

// With drop_unsupported, keys that no template can say are dropped and counted; rows that do not stand
// without them are left out.
func TestDropUnsupported(t *testing.T) {
	const call = `{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","content":"4"},`
	rows, info, err := LoadConversations(Source{DropUnsupported: true, Path: write(t, "x.jsonl", strings.Join([]string{
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"id":"1"}]}]}`,
		`{"tools":[{"name":"x"}],"messages":[{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}`,
		`{"messages":[{"role":"user","content":"e"},` + call + `{"role":"assistant","content":"f"}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image"}]},{"role":"assistant","content":"g"}]}`,
	}, "\n"))})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, turns("user", "a", "assistant", "b"), rows[0].Messages)
	require.Equal(t, []string{
		`2 times the key "messages[].tool_calls", dropped (drop_unsupported) (first: line 1)`,
		`1 times the key "tools", dropped (drop_unsupported) (first: line 2)`,
		`1 rows left out: a message that is nothing but a tool call (first: line 3)`,
		`1 rows left out: a part of a message that is no text (first: line 4)`,
	}, info.Notes)
	_, _, err = LoadConversations(Source{DropUnsupported: true, Path: write(t, "y.jsonl",
		`{"messages":[{"role":"user","content":"e"},`+call+`{"role":"assistant","content":"f"}]}`)})
	require.ErrorIs(t, err, ErrEmpty)
	_, _, err = LoadConversations(Source{Path: write(t, "z.jsonl",
		`{"messages":[{"role":"user","content":"e"},{"role":"tool","content":"f"}]}`)})
	require.ErrorContains(t, err, "or set drop_unsupported: true")
}

// Prompts are read from files of any shape.
func TestPromptsOfAnyShape(t *testing.T) {
	const say = `{"role":"user","content":"Say"}`
	for content, format := range map[string]Format{
		`{"prompt":"Say","id":1}`:                      FormatPrompts,
		`{"prompt":[` + say + `]}`:                     FormatPrompts,
		`{"instruction":"Say"}`:                        FormatPrompts,
		"prompt\nSay\n":                                FormatPrompts,
		`{"messages":[` + say + `]}`:                   FormatChat,
		`{"prompt":"Say","completion":"x"}`:            FormatCompletion,
		`{"prompt":"Say","chosen":"x","rejected":"y"}`: FormatPairs,
		`{"chosen":"\n\nHuman: Say\n\nAssistant: x","rejected":"\n\nHuman: Say\n\nAssistant: y"}`: FormatHH,
		`{"prompt":"Say","completion":"x","label":true}`:                                          FormatKTO,
		`{"prompt":"Say","responses":["x","y"],"scores":[1,2]}`:                                   FormatRanked,
		`{"instruction":"Say","chosen":"x","rejected":"y"}`:                                       FormatPairs,
		`{"conversations":[{"from":"human","value":"Say"}],"chosen":{"from":"gpt","value":"x"},` +
			`"rejected":{"from":"gpt","value":"y"}}`: FormatPairs,
	} {
		rows, info, err := LoadPrompts(Source{Path: write(t, "x", content+"\n")})
		if format == FormatPairs && strings.Contains(content, "conversations") {
			var two *AmbiguousError
			require.ErrorAs(t, err, &two, "conversations alone are a shape, too")
			rows, info, err = LoadPrompts(Source{Path: write(t, "x", content), Format: FormatPairs})
		}
		require.NoError(t, err, content)
		require.Equal(t, format, info.Format, content)
		require.Equal(t, turns("user", "Say"), rows[0].FirstPrompt(), content)
	}
	rows, _, err := LoadPrompts(Source{Path: write(t, "p.jsonl", `{"prompt":[`+say+`,{"role":"assistant",`+
		`"content":"x"},`+
		say+`],"system":"Be kind."}`+"\n"+`{"prompt":" "}`)})
	require.NoError(t, err)
	require.Equal(t, turns("system", "Be kind.", "user", "Say", "assistant", "x", "user", "Say"), rows[0].FirstPrompt())
	require.Nil(t, rows[1].FirstPrompt(), "asks nothing")
	_, info, err := LoadPrompts(Source{Path: write(t, "d.jsonl", `{"prompt":"a"}`+"\n"+`{"prompt":"a"}`)})
	require.NoError(t, err)
	require.Equal(t, []string{"1 prompts equal to an earlier one; each is asked (first: line 2)"}, info.Notes)
	_, _, err = LoadConversations(Source{Path: write(t, "s.jsonl", `{"prompt":"a"}`)})
	require.ErrorContains(t, err, "this one has no answers to learn")
}

// Ranked and labelled answers: texts, messages, objects with their own score; what is not one is named.
func TestRankedAndLabelled(t *testing.T) {
	ranked := func(content string) ([]Ranked, error) {
		rows, _, err := ReadRanked(Source{Path: write(t, "r.jsonl", content), Format: FormatRanked})
		return rows, err
	}
	for content, scores := range map[string][]float64{
		`{"prompt":"a","responses":["x","y"],"scores":[1,2.5]}`: {
			1, 2.5,
		},
		`{"prompt":"a","answers":["x","y"],"ranks":[1,2]}`: {
			-1, -2,
		},
		`{"prompt":"a","answers":[{"answer":"x","rank":2},{"answer":"y","rank":1}]}`: {
			-2, -1,
		},
		`{"prompt":"a","responses":[{"text":"x","score":0},{"text":"y","score":-1}]}`: {
			0, -1,
		},
		`{"prompt":"a","responses":[[{"role":"assistant","content":` +
			`"x"}],[{"role":"assistant","content":"y"}]],"scores":[1,1]}`: {
			1, 1,
		},
	} {
		rows, err := ranked(content)
		require.NoError(t, err, content)
		require.Equal(t, turns("user", "a"), rows[0].Prompt)
		for i, a := range rows[0].Answers {
			require.Equal(t, turns("assistant", []string{"x", "y"}[i]), a.Turns)
			require.Equal(t, scores[i], a.Score)
		}
	}
	for content, says := range map[string]string{
		`{"prompt":"a","responses` +
			`":["x","y"],"scores":[1]}`: `field "scores": malformed: want 2 numbers`,
		`{"prompt":"a","responses":["x","y"],"scores":[1,null]}`:         `field "scores[1]"`,
		`{"prompt":"a","responses":["x"],"scores":[1]}`:                  "at least two answers",
		`{"prompt":"a","responses":["x","y"]}`:                           `field "scores"`,
		`{"prompt":"a","responses":["x",null],"scores":[1,2]}`:           `field "responses[1]"`,
		`{"prompt":"a","responses":[{"text":"x"},{"text":"y"}]}`:         `want one of the keys ["score" "rank"]`,
		`{"prompt":"a","responses":["x","y"],"scores":[1,2],"ranks":[]}`: `not both`,
	} {
		_, err := ranked(content)
		require.ErrorContains(t, err, says, content)
	}
	candidates := func(content string) ([]Ranked, error) {
		rows, _, err := ReadCandidates(Source{Path: write(t, "c.jsonl", content), Format: FormatRanked})
		return rows, err
	}
	for content, scored := range map[string]bool{
		`{"prompt":"a","responses":["x","y"],"policies":["sft","dpo"],"id":7}`:      false,
		`{"prompt":"a","responses":[{"text":"x"},{"text":"y"}]}`:                    false,
		`{"prompt":"a","responses":["x","y"],"scores":[0,0]}`:                       true,
		`{"prompt":"a","responses":[{"text":"x","score":1},{"text":"y","rank":2}]}`: true,
	} {
		rows, err := candidates(content)
		require.NoError(t, err, content)
		require.Equal(t, !scored, rows[0].Unscored, content)
		require.Equal(t, turns("assistant", "y"), rows[0].Answers[1].Turns)
		if strings.Contains(content, "policies") {
			require.Equal(t, []string{"sft", "dpo"}, rows[0].Policies)
			require.Equal(t, "7", rows[0].ID)
		}
	}
	for content, says := range map[string]string{
		`{"prompt":"a","responses":["x","y"],"policies":["sft"]}`:            `field "policies": malformed: want 2`,
		`{"prompt":"a","responses":["x","y"],"policies":"sft"}`:              `field "policies"`,
		`{"prompt":"a","responses":[{"text":"x","score":1},{"text":"y"}]}`:   `want one of the keys ["score" "rank"]`,
		`{"prompt":"a","responses":[{"text":"x"},{"text":"y","score":1.5}]}`: `responses[0]`,
	} {
		_, err := candidates(content)
		require.ErrorContains(t, err, says, content)
	}
	labelled := func(content string) ([]Labelled, error) {
		rows, _, err := ReadLabelled(Source{Path: write(t, "k.jsonl", content), Format: FormatKTO})
		return rows, err
	}
	for _, label := range []string{"true", "1"} {
		rows, err := labelled(`{"instruction":"a","input":"b","output":"c","label":` + label + `}`)
		require.NoError(t, err)
		require.Equal(t, []Labelled{{Prompt: turns("user", "a\n\nb"), Answer: turns("assistant", "c"), Good: true,
			Source: rows[0].Source, Line: 1}}, rows)
	}
	for content, says := range map[string]string{
		`{"prompt":"a","completi` +
			`on":"c","label":"good"}`: `field "label": malformed: want true or false, 1 or 0, got "good"`,
		`{"prompt":"a","completion":"c"}`: `field "label"`,
		`{"prompt":"a","label":true}`:     `field "completion"`,
	} {
		_, err := labelled(content)
		require.ErrorContains(t, err, says, content)
	}
}

func TestInspectSaysWhy(t *testing.T) {
	s, err := InspectSource(Source{Path: write(t, "x.csv", "Question,Answer,id\na,b,1\nc,d,2\n"),
		Columns: Columns{"prompt": "Question", "completion": "Answer"}})
	require.NoError(t, err)
	require.Equal(t, "its first row has Question, Answer", s.Why)
	require.Equal(t, []ColumnUse{{"prompt", "Question", 2}, {"completion", "Answer", 2}}, s.Columns)
	require.Equal(t, []string{"id"}, s.Unread)
	var b strings.Builder
	require.NoError(t, s.Write(&b))
	for _, line := range []string{"read as completion: its first row has Question, Answer\n",
		`column prompt ("Question" in the file): in 2 rows`, "not read: id\n"} {
		require.Contains(t, b.String(), line)
	}
}

// Turns of one speaker are shown apart, and counted as they are.
func TestInspectShowsTurnsApart(t *testing.T) {
	s, err := Inspect(write(t, "x.jsonl", `{"messages":[{"role":"system","content":"Be kind."},`+
		`{"role":"user","content":"One?"},{"role":"assistant","content":"Two."},{"role":"user","content":"No."},`+
		`{"role":"assistant","content":"Three."}]}`))
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, s.Write(&b))
	require.Contains(t, b.String(), "asked: Be kind. / One? / No.\n")
	require.Regexp(t, "asked +characters +15 ", b.String())
}

// FuzzShapes: whatever a file holds, reading it ends in rows or in an error; what is recognised is read or
// refused as what it was recognised as.
func FuzzShapes(f *testing.F) {
	for _, s := range []string{
		`{"messages":[{"role":"user","content":"a"}]}`, `[{"instruction":"a","output":"b","history":[["a","b"]]}]`,
		"prompt,completion,label\n\"a\n\",b,True\n", `{"prompt":"a","responses":[{"text":"x","rank":1},"y"]}`,
		`{"conversations":{"from":["human"],"value":["a"]}}`, "prompt;chosen;rejected\na;b;c\n",
		`{"prompt":[{"role":"user","content":[{"type":"text","text":"a"}]}],"chosen":"b","rejected":"c"}`,
	} {
		f.Add([]byte(s), "prompt", "question", false)
	}
	f.Fuzz(func(t *testing.T, body []byte, name, column string, drop bool) {
		path := filepath.Join(t.TempDir(), "x")
		require.NoError(t, os.WriteFile(path, body, 0o600))
		for _, columns := range []Columns{nil, {name: column}} {
			src := Source{Path: path, Columns: columns, DropUnsupported: drop}
			found, err := src.Resolve()
			if err != nil {
				continue
			}
			if s, err := InspectSource(src); err == nil && (s.Rows == 0 || s.Format != found.Format) {
				t.Fatalf("%d rows of %s, recognised as %s, and no error", s.Rows, s.Format, found.Format)
			}
			if rows, _, err := LoadPrompts(src); err == nil && len(rows) == 0 {
				t.Fatal("no prompts and no error")
			}
		}
	})
}
