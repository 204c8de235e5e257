package score

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jsonlines"
	"steer/rl/data"
)

func TestReadRows(t *testing.T) {
	text, prompt, response := "a", "p", "r"
	rows, err := ReadRows(strings.NewReader(`{"text":"a"}
{"ids":[1,2],"mask":[0,true],"extra":1}

{"prompt":"p","response":"r"}
{"messages":[{"role":"user","content":"q"}]}`), "x", false)
	require.NoError(t, err)
	require.Equal(t, []Row{
		{Where: "x: line 1", Line: 1, Text: &text},
		{Where: "x: line 2", Line: 2, IDs: []int32{1, 2}, Mask: []bool{false, true}},
		{Where: "x: line 4", Line: 4, Prompt: &prompt, Response: &response},
		{Where: "x: line 5", Line: 5, Messages: []data.Message{{Role: data.RoleUser, Content: "q"}}},
	}, rows)
	rows, err = ReadRows(strings.NewReader("a\n"), "x", true)
	require.NoError(t, err)
	require.Equal(t, []Row{{Where: "x: line 1", Line: 1, Text: &text}}, rows)

	kinds := `score: x: line 1: want "text", or "ids", or "prompt" and "response", or "messages"; got `
	for in, says := range map[string]string{
		"\n":                       "score: x: no rows: want at least one line",
		`{"txt":"a"}`:              kinds + `"txt"`,
		`{"text":"a","ids":[1]}`:   kinds + `"ids", "text"`,
		`{"prompt":"a"}`:           `score: x: line 1: "prompt" and "response" belong together; got "prompt"`,
		`{"ids":[]}`:               `score: x: line 1: field "ids": want at least one token id, got an empty list`,
		`{"ids":[-1]}`:             `score: x: line 1: field "ids[0]": want a token id, got -1`,
		`{"ids":[1],"mask":[1,1]}`: `score: x: line 1: field "mask": 2 elements, want one for each of "ids" (1)`,
		`{"ids":[1],"mask":[2]}`:   `score: x: line 1: field "mask[0]": want 0 or 1, got 2`,
	} {
		_, err := ReadRows(strings.NewReader(in), "x", false)
		require.EqualError(t, err, says)
	}
	_, err = ReadRows(strings.NewReader("hello"), "x", false)
	require.ErrorIs(t, err, jsonlines.ErrNotJSON)
}
