package data

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
)

func conversations(t *testing.T, name, content string) ([]Conversation, Loaded) {
	t.Helper()
	rows, info, err := LoadConversations(Source{Path: write(t, name, content)})
	require.NoError(t, err, content)
	return rows, info
}

func turns(pairs ...string) []Message {
	var out []Message
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Message{Role: pairs[i], Content: pairs[i+1]})
	}
	return out
}

// Every way in which a row of dialogue may be written gives the same conversation, and is
// recognised by itself.
func TestDialoguesInAllForms(t *testing.T) {
	want := turns("system", "Be kind.", "user", "Hi", "assistant", "Yes")
	for name, c := range map[string]struct {
		content string
		format  Format
		line    int
	}{
		"lines": {`{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},` +
			`{"role":"assistant","content":"Yes"}]}`, FormatChat, 1},
		"array": {`[{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},` +
			`{"role":"assistant","content":"Yes"}]}]`, FormatChat, 1},
		"array, lines": {"\n[\n{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},\n{\"role\":\"user\"," +
			"\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Yes\"}]}\n]\n", FormatChat, 3},
		"laid out": {"\n{\n \"messages\": [\n  {\"role\": \"system\", \"content\": \"Be kind.\"}" +
			",\n  {\"role\": \"user\",\n   \"content\": \"Hi\"},\n{\"role\":\"assistant\"," +
			"\"content\":\"Yes\"}\n ]\n}\n", FormatChat, 2},
		"names": {`{"messages":[{"role":"system","content":"Be kind."},{"role":"human","content":"Hi"},` +
			`{"role":"gpt","content":"Yes"}]}`, FormatChat, 1},
		"parts": {`{"messages":[{"role":"system","content":[{"type":"text","text":"Be "},{"type":"text",` +
			`"text":"kind."}]},{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}]}`, FormatChat, 1},
		"sharegpt": {`{"conversations":[{"from":"system","value":"Be kind."},{"from":"human","value":"Hi"},` +
			`{"from":"gpt","value":"Yes"}]}`, FormatShareGPT, 1},
		"sharegpt top": {`{"conversations":[{"from":"user","value":"Hi"},{"from":"chatgpt","value":"Yes"}],` +
			`"system":"Be kind."}`, FormatShareGPT, 1},
		"sharegpt mix": {`{"conversations":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},` +
			`{"role":"model","content":"Yes"}]}`, FormatShareGPT, 1},
		"alpaca": {`{"instruction":"Hi","input":"","output":"Yes","system":"Be kind."}`, FormatAlpaca, 1},
		"completion": {`{"prompt":[{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"}],` +
			`"completion":[{"role":"assistant","content":"Yes"}]}`, FormatCompletion, 1},
	} {
		t.Run(name, func(t *testing.T) {
			rows, info := conversations(t, "x.jsonl", c.content)
			require.Equal(t, c.format, info.Format)
			require.Empty(t, info.Notes)
			require.Len(t, rows, 1)
			require.Equal(t, want, rows[0].Messages)
			require.Equal(t, c.line, rows[0].Line)
			s, err := Inspect(info.Path)
			require.NoError(t, err)
			require.Equal(t, []string{"1 conversations with a system text"}, s.Notes)
		})
	}
	rows, _ := conversations(t, "a.jsonl",
		`{"instruction":"Add.","input":"1, 2","output":"3","history":[["Hi","Yes"]]}`)
	require.Equal(t, turns("user", "Hi", "assistant", "Yes", "user", "Add.\n\n1, 2", "assistant", "3"),
		rows[0].Messages)
}

func TestPairsInAllForms(t *testing.T) {
	for name, c := range map[string]struct{ content, prompt, chosen, rejected string }{
		"lists": {`{"chosen":[{"role":"user","content":"Hi"},{"role":"assistant","content":"A"}],` +
			`"rejected":[{"role":"user","content":"Hi"},{"role":"assistant","content":"B"}]}`, "Hi", "A", "B"},
		"text before lists": {`{"prompt":"Hi","chosen":[{"role":"assistant","content":"A"}],` +
			`"rejected":[{"role":"assistant","content":"B"}]}`, "Hi", "A", "B"},
		"prompt repeated": {`{"prompt":"Hi","chosen":[{"role":"user","content":"Hi"},{"role":"assistant",` +
			`"content":"A"}],"rejected":[{"role":"user","content":"Hi"},{"role":"assistant","content":"B"}]}`, "Hi",
			"A", "B"},
		"prompt of lists": {`{"prompt":[{"role":"user","content":"Hi"}],"chosen":[{"role":"assistant",` +
			`"content":"A"}],"rejected":[{"role":"assistant","content":"B"}]}`, "Hi", "A", "B"},
		"texts after list": {`{"prompt":[{"role":"user","content":"Hi"}],"chosen":"A","rejected":"B"}`, "Hi", "A",
			"B"},
		"array": {`[{"prompt":[{"role":"user","content":"Hi"}],"chosen":"A","rejected":"B"}]`, "Hi", "A",
			"B"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, info, err := LoadPairs(Source{Path: write(t, "p.jsonl", c.content)})
			require.NoError(t, err)
			require.Equal(t, FormatPairs, info.Format)
			chosen, rejected := rows[0].Turns()
			require.Equal(t, turns("user", c.prompt, "assistant", c.chosen), chosen)
			require.Equal(t, turns("user", c.prompt, "assistant", c.rejected), rejected)
			require.Equal(t, []string{c.prompt, c.chosen, c.rejected}, []string{rows[0].Prompt, rows[0].Chosen,
				rows[0].Rejected})
		})
	}
	for content, says := range map[string]string{
		`{"chosen":[{"role":"user","content":"Hi"}],"rejected":[{"role":"user",` +
			`"content":"Ho"}]}`: "end with the assistant's",
		`{"chosen":[{"role":"assistant","content":"A"}],` +
			`"rejected":"B"}`: `field "rejected": malformed: want what chosen is`,
		`{"chosen":[{"role":"assistant","content":"A"}],"rejected":[{"role":"assistant",` +
			`"content":"A"}]}`: "differs from chosen",
		`{"prompt":"Ha","chosen":[{"role":"user","content":"Hi"},{"role":"assistant","content":"A"}],` +
			`"rejected":[{"role":"assistant","content":"B"}]}`: "begins with the prompt",
		`{"chosen":[{"role":"assistant","content":"A","weight":0}],"rejected":[{"role":"assistant",` +
			`"content":"B"}]}`: "scored as a whole",
		`{"chosen":3,"rejected":"B"}`: `field "chosen": malformed: want text, or a list of messages, got a number`,
	} {
		_, _, err := LoadPairs(Source{Path: write(t, "p.jsonl", content), Format: FormatPairs})
		require.ErrorIs(t, err, ErrMalformed, content)
		require.ErrorContains(t, err, says, content)
	}
}

// What a row says beside its text is honoured, refused by name, or counted.
func TestKeysBesideTheText(t *testing.T) {
	hi := func(more string) string {
		return `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Bad","` + more +
			`},{"role":"user","content":"Again"},{"role":"assistant","content":"Yes"}]}`
	}
	for _, key := range []string{`weight":0`, `weight":0.0`, `loss_mask":0`, `loss_mask":false`, `trainable":false`,
		`train":false`, `train":false,"weight":0`} {
		rows, info := conversations(t, "w.jsonl", hi(key))
		require.True(t, rows[0].Messages[1].Masked, key)
		require.False(t, rows[0].Messages[3].Masked, key)
		require.Equal(t, []string{"1 messages that do not count in the loss (weight, loss_mask, trainable or train " +
			"says so) (first: line 1)"}, info.Notes)
	}
	for _, key := range []string{`weight":1`, `loss_mask":true`, `trainable":true`, `weight":null`, `tool_calls":[]`,
		`tool_calls":null`} {
		rows, info := conversations(t, "w.jsonl", hi(key))
		require.False(t, rows[0].Messages[1].Masked, key)
		require.Empty(t, info.Notes)
	}
	for content, says := range map[string]string{
		hi(`weight":0.5`):             `field "messages[1].weight": malformed: want 0 or 1, false or true, got 0.5`,
		hi(`weight":1,"train":false`): `field "messages[1].train": malformed: want the same as weight`,
		hi(`tool_calls":[{"id":"1"}]`): `field "messages[1].tool_calls": malformed: want nothing,` +
			` got [{"id":"1"}]; tool calls have no place in any template: delete the key`,
		hi(`images":["a.png"]`): `field "messages[1].images"`,
		`{"messages":[{"role":"user","content":"Hi","trainable":true},{"role":"assistant",` +
			`"content":"Yes"}]}`: `field "messages[0].trainable": malformed: want 0 or false: only what ` +
			`the assistant says is learned`,
		`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}],` +
			`"tools":[{"name":"get"}]}`: `field "tools": malformed: want nothing`,
		`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}],` +
			`"functions":[{"name":"get"}]}`: `field "functions"`,
		`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}],` +
			`"weight":0}`: `field "weight": malformed: want 1, got 0; a row has no weight: give it to a message`,
		`{"prompt":"a","completion":"b",` +
			`"loss_mask":0}`: `field "loss_mask"`,
		`{"messages":[{"role":"user","content":[{"type":"image_url",` +
			`"image_url":"x"}]}]}`: `field "messages[0].content[0]": malformed: want a part of type "text"`,
		`{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt",` +
			`"value":null}]}`: `field "conversations[1].value": malformed: want text, got null`,
		`{"conversations":[{"from":"human","value":"Hi"},{"from":"tool",` +
			`"value":"x"}]}`: `field "conversations[1].from": malformed: want system,` +
			` user or assistant`,
		`{"messages":[{"role":"user","from":"human","content":"a"}]}`: `some of both`,
		`{"messages":"Hi"}`: `field "messages": malformed: want a list of messages,` +
			` got text`,
		`{"messages":[{"role":"user"},7]}`: `field "messages[1]": malformed: want an object,` +
			` got a number`,
		`{"instruction":"a","output":null}`: `"output"`,
		`{"instruction":"a","output":"b",` +
			`"history":[["x"]]}`: `field "history[0]": malformed: want a question and an answer, got 1 texts`,
	} {
		_, _, err := LoadConversations(Source{Path: write(t, "x.jsonl", content),
			Format: map[bool]Format{true: FormatAlpaca}[strings.Contains(content, "null}") &&
				strings.Contains(content, "instruction")]})
		require.Error(t, err, content)
		require.ErrorContains(t, err, says, content)
		require.ErrorContains(t, err, "line 1", content)
	}
	_, info := conversations(t, "k.jsonl", strings.Repeat(`{"messages":[{"role":"user","content":"Hi","name":"Ann"}`+
		`,{"role":"assistant","content":"Yes"}],"id":7,"Messages":[]}`+"\n", 3))
	require.Equal(t, []string{`3 times the key "id", which is not read (first: line 1)`,
		`3 times the key "messages[].name", which is not read (first: line 1)`}, info.Notes)
}

// Keys match exactly and stand once; a text is whole characters; the first row may be as
// long as any; each error names what is wrong, not the format.
func TestFirstRowSaysWhatIsWrong(t *testing.T) {
	pairs, info, err := LoadPairs(Source{Path: write(t, "a.jsonl", `{"chosen":"good","rejected":"bad",`+
		`"Chosen":"WRONG","prompt":"q","Margin":5}`)})
	require.NoError(t, err)
	require.Equal(t, Pair{Prompt: "q", Chosen: "good", Rejected: "bad", Source: info.Path, Line: 1}, pairs[0])
	require.Equal(t, []string{`1 times the key "Chosen", which is not read (first: line 1)`,
		`1 times the key "Margin", which is not read (first: line 1)`}, info.Notes)
	rows, _ := conversations(t, "b.jsonl", `{"messages":[{"role":"user","content":"Hi","Content":"HIJACK"},`+
		`{"role":"assistant","content":"Yes","ROLE":"user"}]}`)
	require.Equal(t, turns("user", "Hi", "assistant", "Yes"), rows[0].Messages)

	long := strings.Repeat("long ", 300_000)
	rows, _ = conversations(t, "long.jsonl", `{"messages":[{"role":"user","content":"`+long+
		`"},{"role":"assistant","content":"Yes"}]}`+"\n")
	require.Equal(t, long, rows[0].Messages[0].Content)
	rows, _ = conversations(t, "long.json", `[{"messages":[{"role":"user","content":"`+long+
		`"},{"role":"assistant","content":"Yes"}]}]`)
	require.Len(t, rows, 1)

	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for i := range 2000 {
		fmt.Fprintf(z, `{"prompt":"%d","completion":"%x"}`+"\n", i*i*7919, i*i*i)
	}
	require.NoError(t, z.Close())

	good := `{"prompt":"a","completion":"b"}` + "\n"
	for name, c := range map[string]struct {
		content string
		says    []string
	}{
		"twice": {`{"prompt":"a","prompt":"c","completion":"b"}`, []string{"line 1", `field "prompt"`,
			"given twice"}},
		"twice later": {good + `{"prompt":"a","completion":"b","completion":"c"}`,
			[]string{"line 2", `field "completion"`, "given twice"}},
		"surrogate": {`{"messages":[{"role":"user","content":"Hi \ud83d there"},{"role":"assistant",` +
			`"content":"Yes"}]}`, []string{"line 1", `field "messages[0].content"`,
			`half of a surrogate pair: \ud83d`}},
		"surrogate later": {good + `{"prompt":"a","completion":"b \ude00"}`, []string{"line 2", `field "completion"`,
			`half of a surrogate pair: \ude00`}},
		"NaN": {`{"prompt":"a","chosen":"good","rejected":"bad","margin":NaN}`,
			[]string{"line 1", `field "margin"`, "NaN, which is no JSON number"}},
		"single quotes": {`{'prompt':'a','completion':'b'}`, []string{"line 1", "single quotes", "json.dumps"}},
		"control": {"{\"prompt\":\"a\",\"completion\":\"b\x01c\"}", []string{"line 1", `field "completion"`,
			`U+0001`, `\u0001`}},
		"cut":           {`{"prompt":"a","completion":"b`, []string{"line 1", "cut short"}},
		"cut later":     {good + `{"prompt":"a","completion":"b"` + "\n" + good, []string{"line 2", "cut short"}},
		"cut in a text": {good + `{"prompt":"a","completion":"b` + "\n" + good, []string{"line 2", "cut short"}},
		"comma too many": {good + `{"prompt":"a","completion":"b",}`,
			[]string{"line 2", "a value is missing before"}},
		"laid out and cut": {"{\n \"prompt\": \"a\",\n \"completion\": \"b\"\n", []string{"cut short"}},
		"laid out, broken": {good + "{\n \"prompt\": \"a\",\n \"completion\": tru\n}\n",
			[]string{"line 4", `"completion"`}},
		"array cut": {`[{"prompt":"a","completion":"b"},`, []string{"the array does not end"}},
		"array, bad row": {"[{\"prompt\":\"a\",\"completion\":\"b\"},\n{\"prompt\":\"a\"}]",
			[]string{"line 2", `"completion"`, "nothing"}},
		"carriage returns": {`{"prompt":"a","completion":"b"}` + "\r" + `{"prompt":"c","completion":"d"}` + "\r",
			[]string{"carriage returns", "tr '\\r' '\\n'"}},
		"cut gzip": {packed.String()[:packed.Len()-40],
			[]string{"damaged or cut short", "fetch the file again"}},
		"damaged gzip": {packed.String()[:40], []string{"damaged or cut short", "fetch the file again"}},
		"utf-16":       {"\xff\xfe{\x00", []string{"UTF-16", "iconv"}},
		"latin-1":      {"{\"prompt\":\"caf\xe9\",\"completion\":\"b\"}", []string{"not UTF-8", "0xe9", "iconv"}},
		"unknown keys": {`{"q":"a","a":"b"}`, []string{"not recognised", `the keys ["a" "q"]`}},
		"number for a text": {good + `{"prompt":"a","completion":7}`, []string{"line 2", `field "completion"`,
			"want text, or a list of messages, got a number"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "x.jsonl", c.content)
			_, _, err := LoadConversations(Source{Path: path})
			require.Error(t, err)
			for _, s := range append(c.says, path) {
				require.ErrorContains(t, err, s)
			}
			require.NotContains(t, err.Error(), "Go struct")
			require.NotContains(t, err.Error(), "unmarshal")
			if name != "unknown keys" {
				require.NotErrorIs(t, err, ErrUnknownFormat)
			}
		})
	}
}

func TestLoneCarriageReturnIsNamed(t *testing.T) {
	for name, content := range map[string]string{
		"all":      "label,scenario,excuse\r1,I go,ok\r0,I stay,no\r",
		"in a row": "label,scenario,excuse\n1,I go,ok\r0,I stay,no\n",
	} {
		path := write(t, "d.csv", content)
		_, err := Inspect(path)
		require.ErrorIs(t, err, ErrMalformed, name)
		require.ErrorContains(t, err, "single carriage return", name)
		require.ErrorContains(t, err, "tr '\\r' '\\n'", name)
		_, err = ReadDeontology(path)
		require.ErrorContains(t, err, "single carriage return", name)
	}
	rows, err := ReadDeontology(write(t, "d.csv", "label,scenario,excuse\r\n1,\"I\rgo\",ok\r\n"))
	require.NoError(t, err)
	require.Equal(t, "I\rgo", rows[0].Scenario)
}

func parquetFileOf[T any](t *testing.T, rows ...T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	require.NoError(t, parquet.WriteFile(path, rows))
	return path
}

// Dialogues and pairs are read from parquet as from JSON, lists of structs included.
func TestParquetOfDialogues(t *testing.T) {
	type message struct {
		Role    string `parquet:"role"`
		Content string `parquet:"content"`
	}
	type chat struct {
		Messages []message `parquet:"messages,list"`
		Made     int64     `parquet:"made,timestamp"`
	}
	rows, info, err := LoadConversations(Source{Path: parquetFileOf(t,
		chat{Messages: []message{{"user", "Hi"}, {"assistant", "Yes"}}},
		chat{Messages: []message{{"user", "é"}, {"assistant", ""}}})})
	require.NoError(t, err)
	require.Equal(t, FormatChat, info.Format)
	require.Equal(t, turns("user", "Hi", "assistant", "Yes"), rows[0].Messages)
	require.Equal(t, 2, rows[1].Line)
	require.Contains(t, info.Notes, `2 times the key "made", which is not read (first: line 1)`)

	type pair struct {
		Prompt   string  `parquet:"prompt"`
		Chosen   string  `parquet:"chosen"`
		Rejected string  `parquet:"rejected"`
		Margin   float64 `parquet:"margin"`
	}
	path := parquetFileOf(t, pair{"a", "good", "bad", 0.1})
	pairs, _, err := LoadPairs(Source{Path: path})
	require.NoError(t, err)
	require.Equal(t, []Pair{{Prompt: "a", Chosen: "good", Rejected: "bad", Margin: 0.1, Source: path, Line: 1}}, pairs)

	type alpaca struct {
		Instruction string  `parquet:"instruction"`
		Input       *string `parquet:"input,optional"`
		Output      string  `parquet:"output"`
	}
	rows, info, err = LoadConversations(Source{Path: parquetFileOf(t, alpaca{Instruction: "Say hi", Output: "hi"})})
	require.NoError(t, err)
	require.Equal(t, FormatAlpaca, info.Format)
	require.Equal(t, turns("user", "Say hi", "assistant", "hi"), rows[0].Messages)

	type other struct {
		Q string `parquet:"q"`
	}
	_, err = Detect(parquetFileOf(t, other{"x"}))
	require.ErrorIs(t, err, ErrUnknownFormat)
	require.ErrorContains(t, err, `the columns ["q"]`)
	empty := parquetFileOf[other](t)
	for _, read := range []func() error{
		func() error { _, err := Inspect(empty); return err },
		func() error { _, err := ReadTable(empty, ""); return err },
		func() error { _, err := ReadGuanacoParquet(empty); return err },
	} {
		err := read()
		require.ErrorIs(t, err, ErrEmpty)
		require.ErrorContains(t, err, "want at least one row, got none")
	}
}

// Numbers are exact or say that they are not.
func TestTableNumbersAreExact(t *testing.T) {
	type row struct {
		Q    string   `parquet:"question"`
		A    uint32   `parquet:"u32"`
		B    uint64   `parquet:"u64"`
		C    int64    `parquet:"i64"`
		D    [9]byte  `parquet:"whole,decimal(0:20)"`
		E    int64    `parquet:"money,decimal(2:10)"`
		When int64    `parquet:"when,timestamp"`
		L    []uint32 `parquet:"list,list"`
	}
	r := row{Q: "x", A: 4294967295, B: 1 << 63, C: 9007199254740993, D: [9]byte{8: 1}, E: 150, L: []uint32{4294967295}}
	minus := r
	minus.B, minus.D, minus.E = 7, [9]byte{255, 255, 255, 255, 255, 255, 255, 255, 254}, 200
	tab, err := ReadTable(parquetFileOf(t, r, minus), "")
	require.NoError(t, err)
	get := func(i int, key string) any { v, _ := tab.Rows[i].Fields.Get(key); return v }
	require.Equal(t, []string{"question", "u32", "u64", "i64", "whole", "money", "when", "list"},
		tab.Rows[0].Fields.Keys())
	require.Equal(t, 4294967295, get(0, "u32"))
	require.Equal(t, []any{4294967295}, get(0, "list"))
	require.Equal(t, 9007199254740993, get(0, "i64"))
	require.Equal(t, 1, get(0, "whole"))
	require.Equal(t, -2, get(1, "whole"))
	require.Equal(t, 7, get(1, "u64"))
	require.Equal(t, 2, get(1, "money"))
	require.Contains(t, get(0, "u64"), "9223372036854775808, a whole number beyond 64 bits")
	require.Contains(t, get(0, "money"), "decimals with a fraction")
	require.Contains(t, get(0, "when"), "dates or times")

	tab, err = ReadTable(write(t, "n.jsonl",
		`{"a":9007199254740993,"b":-9223372036854775808,"c":1.0,"d":18446744073709551616,"z":{"y":1,"x":2}}`), "")
	require.NoError(t, err)
	require.Equal(t, ordered.Of("a", 9007199254740993, "b", -9223372036854775808, "c", 1.0, "d",
		Unreadable(`"18446744073709551616" is a whole number beyond 64 bits: write it as text`), "z",
		ordered.Of("y", 1, "x", 2)), tab.Rows[0].Fields)
	tab, err = ReadTable(write(t, "n.csv", "a,b\n9007199254740993,1\n2,99999999999999999999\n"), "")
	require.NoError(t, err)
	require.Equal(t, []any{9007199254740993, "99999999999999999999"}, []any{get(0, "a"), get(1, "b")})
}

// A parquet file that claims more than it holds is refused before memory is asked for.
func TestParquetClaimsAreBounded(t *testing.T) {
	type row struct {
		Text string `parquet:"text,zstd"`
	}
	path := parquetFileOf(t, row{"<s>[INST] a [/INST] b </s>"}, row{"<s>[INST] c [/INST] d </s>"})
	body, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, checkParquet(body))
	// The first page's header begins after PAR1 with type (15 xx), unpacked (15 xx) and
	// packed size (15 xx).
	require.Equal(t, byte(0x15), body[4])
	for name, huge := range map[string][]byte{
		"unpacked": append([]byte{0x15, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f}, body[8:]...),
		"packed":   append([]byte{0x15, 0x00, 0x15, 0x10, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f}, body[10:]...),
	} {
		crafted := append([]byte("PAR1"), huge...)
		_, err := ReadGuanacoParquet(write(t, "crafted.parquet", string(crafted)))
		require.ErrorIs(t, err, ErrMalformed, name)
		require.ErrorIs(t, err, errParquetClaim, name)
	}
	// Pages and column chunk have to agree on how many values there are: the library reads
	// past its buffers where they do not.
	page := []byte{0x15, 0, 0x15, 4, 0x15, 4, 0x2c, 0x15, 4, 0, 0, 'a', 'b'} // two bytes, two values
	pages := slicesConcat([]byte("PAR1"), page)
	require.NoError(t, parquetChunk{values: 2, packed: int64(len(page)), data: 4}.check(pages))
	require.ErrorIs(t, parquetChunk{values: 3, packed: int64(len(page)), data: 4}.check(pages), errParquetClaim)
	footer := []byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07} // field 2, a list of two thousand million structs
	err = checkParquet(slicesConcat([]byte("PAR1"), footer, []byte{7, 0, 0, 0}, []byte("PAR1")))
	require.ErrorIs(t, err, errParquetClaim)
	text := []byte{0x48, 0xff, 0xff, 0xff, 0xff, 0x07} // field 4, a text of two thousand million bytes
	err = checkParquet(slicesConcat([]byte("PAR1"), text, []byte{6, 0, 0, 0}, []byte("PAR1")))
	require.ErrorIs(t, err, errParquetClaim)
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func FuzzParquet(f *testing.F) {
	type message struct {
		Role    string `parquet:"role"`
		Content string `parquet:"content"`
	}
	type chat struct {
		Messages []message `parquet:"messages,list"`
		N        uint32    `parquet:"n"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[chat](&b)
	if _, err := w.Write([]chat{{Messages: []message{{"user", "Hi"}, {"assistant", "Yes"}}, N: 1}}); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, body []byte) {
		path := filepath.Join(t.TempDir(), "x.parquet")
		require.NoError(t, os.WriteFile(path, body, 0o600))
		_, _ = ReadTable(path, TableParquet)
		_, _ = ReadGuanacoParquet(path)
		_, _ = Inspect(path)
	})
}

// Two columns without a header are ETHICS' pairs of scenarios; a line of column names on top says
// that they are something else, and no pair is made of it.
func TestColumnNamesAreNoScenarios(t *testing.T) {
	for content, names := range map[string]string{
		"q,a\n1,2\n": `["q" "a"]; if that is what they mean, write columns: {prompt: q, completion: a}`,
		"\"Question\",\"Answer\"\nHi there.,Hello.\n": `["Question" "Answer"]`,
		"height,weight_kg\n1,2\n":                     `["height" "weight_kg"]; formats are`,
	} {
		_, err := Detect(write(t, "mine.csv", content))
		require.ErrorIs(t, err, ErrUnknownFormat)
		require.ErrorContains(t, err, "a CSV file with the columns "+names)
	}
	got, err := Detect(write(t, "util.csv", "I ate.,I starved.\nI slept well.,I slept.\n"))
	require.NoError(t, err)
	require.Equal(t, FormatUtilitarianism, got)
}

// What a download left in place of a file is named for what it is, in whatever format the
// file was to be read.
func TestWhatIsInPlaceOfADataFileIsNamed(t *testing.T) {
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("ab", 32) +
		"\nsize 94000000\n"
	page := "\n<!DOCTYPE html>\n<html><head><title>Not found</title></head></html>\n"
	for _, c := range []struct{ content, want string }{
		{pointer, "git lfs pull"}, {page, "this is a web page"}, {"Entry not found", "a server's refusal"},
		{"PK\x03\x04\x00\x00", "ZIP archive"},
	} {
		path := write(t, "x.jsonl", c.content)
		_, err := Detect(path)
		require.ErrorContains(t, err, c.want)
		for _, f := range []Format{FormatChat, FormatPairs, FormatToxiGen, FormatWSC, FormatLabelCounts} {
			_, err := InspectSource(Source{Path: path, Format: f})
			require.ErrorContains(t, err, c.want, "%s %q", f, c.content)
			require.ErrorContains(t, err, path)
		}
		_, err = openParquet(path, TableParquet)
		require.ErrorContains(t, err, c.want)
	}
	_, err := ReadText(write(t, "x.txt", pointer))
	require.ErrorContains(t, err, "git lfs pull")
	text, err := ReadText(write(t, "y.txt", page))
	require.NoError(t, err, "a text may be that of a web page")
	require.Equal(t, page, text)
	_, err = Detect(write(t, "z.jsonl", `{"error":"x","prompt":"a","completion":"b"}`+"\n"))
	require.NoError(t, err, "a row is a row")
}
