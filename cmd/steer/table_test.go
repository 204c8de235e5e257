package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
)

func TestTableWrapsAtItsColumns(t *testing.T) {
	var tab table
	tab.add("a", "%s", strings.Repeat("word ", 30))
	tab.add("longer", "%s", strings.Repeat("x", 150))
	tab.add("last", "%d", 7)
	var out bytes.Buffer
	require.NoError(t, tab.write(&out))
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	require.Len(t, lines, 3+3+1)
	for _, l := range lines {
		require.LessOrEqual(t, len(l), tableColumns)
	}
	require.Equal(t, "a       word word", lines[0][:17])
	require.Equal(t, "        word", lines[1][:12])
	require.Equal(t, "last    7", lines[6])
	require.Equal(t, 150, strings.Count(out.String(), "x"))
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 134515008: "134,515,008", -1234: "-1,234",
		-999: "-999"} {
		require.Equal(t, want, grouped(n))
	}
	require.Equal(t, "1,500 bytes (1.5 kB)", bytesText(1500))
	require.Equal(t, "12 bytes", bytesText(12))
}

func TestEnumFlag(t *testing.T) {
	p := ggml.BF16
	f := enumFlag[ggml.Precision]{&p}
	require.Equal(t, "bf16", f.String())
	require.NoError(t, f.Set("f32"))
	require.Equal(t, ggml.F32, p)
	require.ErrorContains(t, f.Set("f3"), `did you mean "f32"?`)
	require.ErrorContains(t, f.Set("f3"), `want one of bf16, f32, got "f3"`)
	require.Error(t, f.Set(""))
	require.Error(t, f.Set("[f32]"))
	require.Equal(t, ggml.F32, p, "a refused value changes nothing")
}

func TestWrap(t *testing.T) {
	for in, want := range map[string][]string{
		"": {""}, "abc": {"abc"}, "abcd": {"abc", "d"}, "ab cd": {"ab", "cd"}, "abc de": {"abc", "de"},
		"a b c": {"a b", "c"}, "äöüß": {"äöü", "ß"},
	} {
		require.Equal(t, want, wrap(in, 3), in)
	}
}
