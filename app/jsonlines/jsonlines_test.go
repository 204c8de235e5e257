package jsonlines_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/app/jsonlines"
	"steer/internal/strictjson"
	"steer/rl/data"
)

func TestEach(t *testing.T) {
	type line struct {
		n    int
		text string
	}
	read := func(in string) (got []line, err error) {
		err = jsonlines.Each(strings.NewReader(in), "x", func(n int, text []byte) error {
			got = append(got, line{n, string(text)})
			return nil
		})
		return got, err
	}
	got, err := read("\xef\xbb\xbfone\r\n  \n\nfour")
	require.NoError(t, err)
	require.Equal(t, []line{{1, "one"}, {4, "four"}}, got)
	_, err = read("ok\ncaf\xe9\n")
	require.ErrorIs(t, err, data.ErrNotUTF8)
	require.ErrorContains(t, err, "x: line 2: ")
	_, err = read("ok\n" + strings.Repeat("a", data.MaxRecordBytes+1))
	require.EqualError(t, err, "x: line 2: longer than 16777216 bytes")

	own := errors.New("own")
	require.Equal(t, own, jsonlines.Each(strings.NewReader("a"), "x", func(int, []byte) error { return own }))
}

func TestUnmarshal(t *testing.T) {
	var v struct {
		Text string `json:"text"`
	}
	require.NoError(t, jsonlines.Unmarshal([]byte(`{"text":"a","more":1}`), &v))
	require.Equal(t, "a", v.Text)
	err := jsonlines.Unmarshal([]byte("hello\x1b"), &v)
	require.ErrorIs(t, err, jsonlines.ErrNotJSON)
	require.EqualError(t, err, `want one JSON object a line, got "hello\\x1b"`)
	err = jsonlines.Unmarshal([]byte(`{"text":7}`), &v)
	require.NotErrorIs(t, err, jsonlines.ErrNotJSON)
	var own *strictjson.Error
	require.ErrorAs(t, err, &own)
	require.NotErrorIs(t, jsonlines.Unmarshal([]byte(`{"text":`), &v), jsonlines.ErrNotJSON)
}

func TestKeys(t *testing.T) {
	require.Equal(t, `"a", "b"`, jsonlines.Keys([]byte(`{"b":1,"a":2}`)))
	require.Equal(t, "none", jsonlines.Keys([]byte(`{}`)))
}

func TestIsPlainText(t *testing.T) {
	for path, want := range map[string]bool{"a.txt": true, "a.txt.gz": true, "a.txt.zst": true, "a.jsonl": false,
		"txt": false} {
		require.Equal(t, want, jsonlines.IsPlainText(path), path)
	}
}

func TestMessages(t *testing.T) {
	for _, raw := range []string{"", "null"} {
		got, err := jsonlines.Messages(strictjson.Raw(raw))
		require.NoError(t, err)
		require.Nil(t, got)
	}
	got, err := jsonlines.Messages(strictjson.Raw(`[{"role":"user","content":"a"}]`))
	require.NoError(t, err)
	require.Len(t, got, 1)
}
