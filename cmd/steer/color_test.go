package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPaletteFollowsTheEnvironment(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	var b bytes.Buffer
	require.False(t, newPalette(colorAuto, &b).on, "no terminal")
	require.True(t, newPalette(colorAlways, &b).on)
	require.False(t, newPalette(colorNever, &b).on)
	t.Setenv("NO_COLOR", "1")
	require.True(t, newPalette(colorAlways, &b).on, "who asks for it gets it")

	p := palette{on: true}
	require.Equal(t, "sft: \x1b[33mwarning:\x1b[0m slow", p.note("sft: warning: slow"))
	require.Equal(t, "sft: done", p.note("sft: done"))
	require.Equal(t, "warning: slow", palette{}.note("warning: slow"))
}

func TestHeadingsBeginBlocks(t *testing.T) {
	var b bytes.Buffer
	h := &headings{w: &b, palette: palette{on: true}}
	for _, part := range []string{"\nA verdict,\nlong.\n\nTa", "ble\na 1\n", "\n\nPeak 1\n"} {
		_, err := io.WriteString(h, part)
		require.NoError(t, err)
	}
	require.Equal(t, "\nA verdict,\nlong.\n\n\x1b[1mTable\x1b[0m\na 1\n\n\n\x1b[1mPeak 1\x1b[0m\n", b.String())
}
