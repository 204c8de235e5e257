package pyre

import (
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
)

// What Python's re gives: testdata/patterns.py.
func TestPython(t *testing.T) {
	var golden struct {
		Cases []struct {
			P, S, Sub, Sub1 string
			FindAll         [][]string
			Split           []*string
			Match           []int
			Full            bool
		}
		Escape string
	}
	testfiles.ReadJSON(t, "testdata/re.json.gz", &golden)
	require.Greater(t, len(golden.Cases), 200)
	for _, c := range golden.Cases {
		name := []any{"%q on %q", c.P, c.S}
		p, err := Compile(c.P, Flags{})
		require.NoError(t, err)
		all, err := p.FindAll(c.S)
		require.NoError(t, err)
		require.Equal(t, len(c.FindAll), len(all), name...)
		for i := range all {
			require.Equal(t, c.FindAll[i], all[i], name...)
		}
		for count, want := range []string{c.Sub, c.Sub1} {
			with := []string{`<\g<0>>`, "-"}[count]
			got, err := p.Sub(c.S, count, func(m *Match) (string, error) { return m.Expand(with) })
			require.NoError(t, err)
			require.Equal(t, want, got, name...)
		}
		split, err := p.Split(c.S, 0)
		require.NoError(t, err)
		require.Equal(t, c.Split, split, name...)
		m, err := p.Match(c.S)
		require.NoError(t, err)
		require.Equal(t, c.Match != nil, m != nil, name...)
		if m != nil {
			require.Equal(t, c.Match, []int{m.Begin, m.End}, name...)
		}
		m, err = p.FullMatch(c.S)
		require.NoError(t, err)
		require.Equal(t, c.Full, m != nil, name...)
	}
	require.Equal(t, golden.Escape, Escape("a.b*c [x] é-#~&/\n_"))
}

func TestRefused(t *testing.T) {
	for _, p := range []string{`[\W]`, `\p{L}`, `(?P=x`, `(`, `\k<x>`} {
		_, err := Compile(p, Flags{})
		require.ErrorContains(t, err, "regular expression", p)
	}
	p, err := Compile(`(a)(?P<n>b)?`, Flags{IgnoreCase: true})
	require.NoError(t, err)
	m, err := p.Search("xA")
	require.NoError(t, err)
	require.Equal(t, 2, m.Named("n"))
	_, there := m.Group(2)
	require.False(t, there)
	begin, end := m.Span(1)
	require.Equal(t, []int{1, 2}, []int{begin, end})
	for text, want := range map[string]string{`\1\g<n>\n`: "A\n", `\\1`: `\1`} {
		got, err := m.Expand(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{`\7`, `\g<x>`, `\q`} {
		_, err := m.Expand(text)
		require.Error(t, err, text)
	}
}
