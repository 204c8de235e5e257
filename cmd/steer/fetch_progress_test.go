package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDownloadsShowThemselves(t *testing.T) {
	now := time.Unix(0, 0)
	show := func(terminal bool) string {
		var b bytes.Buffer
		d := newDownloads(&b, terminal)
		d.now = func() time.Time { return now }
		for i := range int64(41) {
			d.progress("ethics.tar", 10_000_000+i*1_000_000, 50_000_000)
			now = now.Add(time.Second)
		}
		d.note("broken off: " + strings.Repeat("again ", 20))
		d.progress("other", 5, 0)
		now = now.Add(time.Minute)
		d.progress("other", 2_000_000, 0)
		d.end()
		return b.String()
	}
	plain := show(false)
	require.True(t, strings.HasPrefix(plain, `  ethics.tar  20 MB of 50 MB  1.0 MB/s  ETA 0:30
  ethics.tar  30 MB of 50 MB  1.0 MB/s  ETA 0:20
  ethics.tar  40 MB of 50 MB  1.0 MB/s  ETA 0:10
  ethics.tar  50 MB of 50 MB  1.0 MB/s
  broken off: again again again again again again again again again again
    again again`), plain)
	require.Contains(t, plain, "\n  other  2.0 MB  33 kB/s\n")
	terminal := show(true)
	require.Contains(t, terminal, "\r  ethics.tar  11 MB of 50 MB  1.0 MB/s  ETA 0:39\x1b[K\r  ethics.tar  12 MB of")
	require.Contains(t, terminal, "\r\x1b[K  broken off: ", "the line that is rewritten goes before a note")
	require.True(t, strings.HasSuffix(terminal, "33 kB/s\x1b[K\r\x1b[K"), "and at the end")
	require.LessOrEqual(t,
		len([]rune((&downloads{what: strings.Repeat("x", 200), began: now}).line(1, 9e9, now.Add(time.Second)))), 80)
}
