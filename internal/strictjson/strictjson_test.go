package strictjson

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/ordered"
)

type row struct {
	Chosen *string `json:"chosen"`
	N      int     `json:"n"`
	F      float64 `json:"f"`
	List   []struct {
		Role string `json:"role"`
	} `json:"list"`
	Rest map[string]Raw `json:",unknown"`
}

func TestKeysMatchExactly(t *testing.T) {
	var v row
	require.NoError(t, Unmarshal([]byte(`{"chosen":"good","Chosen":"WRONG","CHOSEN":"worse","n":9007199254740993}`),
		&v))
	require.Equal(t, "good", *v.Chosen)
	require.Equal(t, 9007199254740993, v.N)
	require.Len(t, v.Rest, 2)
	require.Equal(t, `"WRONG"`, string(v.Rest["Chosen"]))
}

// Every refusal names the field, what is wrong and, where there is one, the remedy; no Go
// type is ever named.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		text string
		is   error
		says string
	}{
		{`{"chosen":"a","chosen":"b"}`, ErrTwice, `field "chosen": a key that is given twice; keep one of them`},
		{`{"list":[{"role":"a","role":"b"}]}`, ErrTwice, `field "list[0].role": a key that is given twice`},
		{`{"chosen":3}`, ErrType, `field "chosen": want text, got a number`},
		{`{"n":1.5}`, ErrType, `field "n": want a whole number, got 1.5`},
		{`{"n":99999999999999999999}`, ErrType, `field "n": want a whole number, got 99999999999999999999`},
		{`{"f":"x"}`, ErrType, `field "f": want a number, got text`},
		{`{"list":[{"role":null},[1]]}`, ErrType, `field "list[1]": want an object, got a list`},
		{`[1]`, ErrType, `want an object, got a list`},
		{`null`, ErrType, `want an object, got null`},
		{`{"chosen":"x\ud83d y"}`, ErrSurrogate, `field "chosen": half of a surrogate pair: \ud83d`},
		{`{"chosen":"\ude00"}`, ErrSurrogate, `half of a surrogate pair: \ude00`},
		{"{\"chosen\":\"\xff\"}", ErrUTF8, `not UTF-8: byte 0xff`},
		{"{\"chosen\":\"b\x01c\"}", ErrSyntax, `the control character U+0001 inside a text; write it as \u0001`},
		{"{\"chosen\":\"b\nc\"}", ErrSyntax, `a line end inside a text; write it as \n`},
		{`{"chosen":"C:\dir"}`, ErrSyntax, `the escape "\\d"; write a backslash as \\`},
		{`{"f":NaN}`, ErrSyntax, `field "f": no JSON: NaN, which is no JSON number; leave the key out`},
		{`{"f":-Infinity}`, ErrSyntax, `no JSON number`},
		{`{'chosen':'a'}`, ErrSyntax, `no JSON: single quotes; JSON wants double quotes`},
		{`{"chosen":None}`, ErrSyntax, `a word of Python's`},
		{`{"n":1,}`, ErrSyntax, `a value is missing before "}"`},
		{`{"n":1 "f":2}`, ErrSyntax, `a comma or colon is missing before`},
		{`{"n":1} {"n":2}`, ErrMore, `more after the value`},
		{`{"chosen":"a`, io.ErrUnexpectedEOF, `cut short`},
		{`{"n":"x"`, io.ErrUnexpectedEOF, `cut short`},
		{``, io.ErrUnexpectedEOF, `cut short`},
		{`{"f":1e999}`, ErrType, `field "f": want a number, got`},
	} {
		var v row
		err := Unmarshal([]byte(c.text), &v)
		require.ErrorIs(t, err, c.is, c.text)
		require.ErrorContains(t, err, c.says, c.text)
		require.NotContains(t, err.Error(), "Go ", c.text)
		require.NotContains(t, err.Error(), "struct", c.text)
		var own *Error
		require.ErrorAs(t, err, &own, c.text)
	}
}

func TestValueIsExactAndKeepsOrder(t *testing.T) {
	huge := func(s string) (any, error) { return nil, errors.New("too large") }
	v, err := Value([]byte(`{"z":1,"a":[9007199254740993,1.0,-1e2,null,true,"\ud83d\ude00"],"m":{"y":"","b":false}}`),
		huge)
	require.NoError(t, err)
	require.Equal(t, ordered.Of("z", 1, "a", []any{9007199254740993, 1.0, -100.0, nil, true, "😀"}, "m",
		ordered.Of("y", "", "b", false)), v)
	_, err = Value([]byte(`{"a":[18446744073709551616]}`), huge)
	require.ErrorContains(t, err, `field "a[0]": too large: 18446744073709551616`)
	_, err = Value([]byte(`{"a":1e999}`), huge)
	require.ErrorContains(t, err, "too large")
}

func TestArrayAndFirst(t *testing.T) {
	text := []byte("[1,\n {\"a\": 2}]\n")
	var at []int
	require.NoError(t, Array(text, func(offset int, e Raw) error { at = append(at, offset); return nil }))
	require.Equal(t, []int{1, 5}, at)
	require.ErrorContains(t, Array([]byte("[1"), func(int, Raw) error { return nil }), "cut short")
	require.ErrorContains(t, Array([]byte("[1] x"), func(int, Raw) error { return nil }), "more after")
	require.ErrorContains(t, Array([]byte("{}"), func(int, Raw) error { return nil }), "want a list, got an object")
	v, end, err := First([]byte(` {"a": 1} trash`))
	require.NoError(t, err)
	require.Equal(t, `{"a": 1}`, string(v))
	require.Equal(t, 9, end)
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x\ud83d"]}`, `[`, `{"a":1,"a":2}`, `1e999`, "\"\xff\"", `[[[[]]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := Value(text, func(string) (any, error) { return 0, nil })
		if err != nil {
			var own *Error
			require.ErrorAs(t, err, &own)
			require.NotEmpty(t, err.Error())
			own.Line(text)
		}
		if checked := Check(text); checked != nil {
			require.Error(t, err)
		}
	})
}
