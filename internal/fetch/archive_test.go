package fetch

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// member of an archive made for a test; link is where a link leads to.
type member struct{ name, text, link string }

func tarOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.text)), Typeflag: tar.TypeReg}
		switch {
		case strings.HasSuffix(m.name, "/"):
			h.Typeflag = tar.TypeDir
		case m.link == "hard":
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, "a.csv", 0
		case m.link != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, m.link, 0
		}
		require.NoError(t, w.WriteHeader(h))
		if h.Size > 0 {
			_, err := io.WriteString(w, m.text)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func gzipOf(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(raw)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zipOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		h.SetMode(0o644)
		if m.link != "" {
			h.SetMode(fs.ModeSymlink | 0o777)
			m.text = m.link
		}
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = io.WriteString(f, m.text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// kept collects what is unpacked.
type kept struct {
	bytes.Buffer
	closed bool
}

func (k *kept) Close() error { k.closed = true; return nil }

// unpack unpacks the members whose names end in .csv.
func unpack(t *testing.T, raw []byte, b Bounds) (map[string]string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	all := map[string]*kept{}
	err := Unpack(t.Context(), file, b, func(name string) (io.WriteCloser, error) {
		if !strings.HasSuffix(name, ".csv") {
			return nil, nil
		}
		all[name] = &kept{}
		return all[name], nil
	})
	out := map[string]string{}
	for name, k := range all {
		if err == nil {
			require.True(t, k.closed)
		}
		out[name] = k.String()
	}
	return out, err
}

func TestUnpack(t *testing.T) {
	members := []member{{name: "x/"}, {name: "x/a.csv", text: "one"}, {name: "x/readme", text: "two"},
		{name: "./y/b.csv", text: strings.Repeat("three", 1000)}}
	plain := tarOf(t, members...)
	for name, raw := range map[string][]byte{"tar": plain, "tar.gz": gzipOf(t, plain),
		"zip": zipOf(t, members[1:]...)} {
		t.Run(name, func(t *testing.T) {
			got, err := unpack(t, raw, DefaultBounds())
			require.NoError(t, err)
			require.Equal(t, map[string]string{"x/a.csv": "one", "./y/b.csv": strings.Repeat("three", 1000)}, got)
		})
	}
}

// Nothing that leads out of the folder, no link and no more than the bounds.
func TestUnpackRefuses(t *testing.T) {
	big := member{name: "zeros.txt", text: strings.Repeat("\x00", 1<<20)}
	small := Bounds{Members: 3, Bytes: 1 << 16}
	for name, c := range map[string]struct {
		raw  []byte
		says string
	}{
		"up":               {tarOf(t, member{name: "../a.csv", text: "x"}), "a path that leads out of the folder"},
		"up, further in":   {tarOf(t, member{name: "x/../../a.csv", text: "x"}), "a path that leads out of the folder"},
		"absolute":         {tarOf(t, member{name: "/etc/a.csv", text: "x"}), "a path that leads out of the folder"},
		"backslashes":      {tarOf(t, member{name: `x\..\..\a.csv`, text: "x"}), "a path that leads out of the folder"},
		"symbolic link":    {tarOf(t, member{name: "b.csv", link: "/etc/passwd"}), "a link or device, not a file"},
		"hard link":        {tarOf(t, member{name: "b.csv", link: "hard"}), "a link or device, not a file"},
		"up, zip":          {zipOf(t, member{name: "../a.csv", text: "x"}), "a path that leads out of the folder"},
		"link, zip":        {zipOf(t, member{name: "a.csv", link: "/etc/passwd"}), "a link or device, not a file"},
		"too large":        {tarOf(t, member{name: "a.csv", text: big.text}), "unpacks to more than it may"},
		"a bomb":           {gzipOf(t, tarOf(t, member{name: "a.csv", text: big.text})), "unpacks to more than it may"},
		"a bomb, not read": {gzipOf(t, tarOf(t, big)), "unpacks to more than it may"},
		"a bomb, zip":      {zipOf(t, member{name: "a.csv", text: big.text}), "unpacks to more than it may"},
		"too many": {tarOf(t, member{name: "1"}, member{name: "2"}, member{name: "3"}, member{name: "4"}),
			"too many files"},
		"too many, zip": {zipOf(t, member{name: "1"}, member{name: "2"}, member{name: "3"}, member{name: "4"}),
			"too many files"},
		"not an archive":  {[]byte("<html><body>moved</body></html>" + strings.Repeat(" ", 600)), "no archive"},
		"nothing":         {nil, "no archive"},
		"cut short":       {tarOf(t, member{name: "a.csv", text: strings.Repeat("x", 9000)})[:4000], "unexpected EOF"},
		"cut short, gzip": {gzipOf(t, tarOf(t, member{name: "a.csv", text: "x"}))[:30], "damaged or no archive"},
		"damaged zip":     {append([]byte("PK\x03\x04"), make([]byte, 100)...), "damaged or no archive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unpack(t, c.raw, small)
			require.ErrorContains(t, err, c.says)
			if strings.Contains(c.says, "folder") || strings.Contains(c.says, "link") ||
				strings.Contains(c.says, "too many") || strings.Contains(c.says, "more than") {
				require.ErrorIs(t, err, ErrBounds)
			}
		})
	}
}

func TestUnpackStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "archive")
	require.NoError(t, os.WriteFile(file, tarOf(t, member{name: "a.csv", text: "x"}), 0o600))
	err := Unpack(ctx, file, DefaultBounds(), func(string) (io.WriteCloser, error) { panic("not asked") })
	require.ErrorIs(t, err, context.Canceled)
}

func TestMembers(t *testing.T) {
	for name, want := range map[string]bool{
		"deontology/train.csv": true, "./ethics/deontology/train.csv": true, "ethics/deontology/train.csv": true,
		"__MACOSX/deontology/train.csv": false, "ethics/deontology/._train.csv": false, "xdeontology/train.csv": false,
		"train.csv": false,
	} {
		require.Equal(t, want, isMember(name, "deontology/train.csv"), name)
	}
}
