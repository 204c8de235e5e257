package report_test

import (
	"context"
	"fmt"
	"html"
	"image"
	_ "image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/eval/report"
)

// chromium finds a browser or skips the test.
func chromium(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("short: the page is not opened in a browser")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("chromium is not installed: the page is not opened in a browser")
	return ""
}

func browse(t *testing.T, bin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
		"--user-data-dir=" + t.TempDir()}, args...)
	cmd := exec.CommandContext(ctx, bin, all...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	require.NoError(t, err, "chromium %s", strings.Join(args, " "))
	return string(out)
}

// TestPageInABrowser opens the page at both ends of the widths it is made for, in
// light and dark: it has to be drawn, show what it should, and not scroll sideways.
// REPORT_SHOTS=folder makes pictures of both widths in both modes and keeps them.
func TestPageInABrowser(t *testing.T) {
	bin := chromium(t)
	page := render(t, report.WriteHTML, load(t, experiment(t)))
	dir := t.TempDir()
	shots := os.Getenv("REPORT_SHOTS")
	if shots == "" {
		shots = dir
	}
	file := filepath.Join(dir, "report.html")
	write(t, file, page)

	// The page forbids scripts, so a copy without its policy measures it: in frames of
	// the two widths, because a window has a smallest width of its own.
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy"[^>]*>`)
	require.True(t, policy.MatchString(page))
	if shots != dir {
		write(t, filepath.Join(shots, "report.html"), page)
	}
	open := policy.ReplaceAllString(page, "")
	probe := `<script>
addEventListener("load", () => {
  const out = [];
  for (const f of document.querySelectorAll("iframe")) {
    const d = f.contentDocument, w = f.width;
    out.push(w + ":wide=" + d.documentElement.scrollWidth);
    out.push(w + ":plots=" + [...d.querySelectorAll("figure svg")].filter(e => e.getBoundingClientRect().width > 200).length);
    out.push(w + ":raw=" + getComputedStyle(d.querySelector(".view-raw")).display);
    d.querySelector("#unit-raw").click();
    out.push(w + ":switched=" + getComputedStyle(d.querySelector(".view-raw")).display + "," + getComputedStyle(d.querySelector(".view-norm")).display);
    out.push(w + ":scripts=" + d.scripts.length);
  }
  document.body.innerHTML = "<pre>" + out.join("\n") + "</pre>";
});
</script>`
	frames := ""
	for _, w := range []int{400, 1280} {
		frames += fmt.Sprintf(`<iframe width="%d" height="900" style="border:0" srcdoc="%s"></iframe>`, w, html.EscapeString(open))
	}
	measure := filepath.Join(dir, "measure.html")
	write(t, measure, "<!DOCTYPE html><html><head><meta charset=\"utf-8\">"+probe+"</head><body>"+frames+"</body></html>")
	dom := browse(t, bin, "--dump-dom", "--virtual-time-budget=5000", "file://"+measure)
	for _, w := range []string{"400", "1280"} {
		for _, want := range []string{"wide=" + w, "plots=16", "raw=none", "switched=block,none", "scripts=0"} {
			require.True(t, strings.Contains(dom, w+":"+want+"\n") || strings.Contains(dom, w+":"+want+"<"), "want %s:%s in %s", w, want, tail(dom))
		}
	}

	dark := []string{"--blink-settings=preferredColorScheme=0", "--force-dark-mode"}
	for i, s := range []struct {
		name          string
		width, height int
		args          []string
	}{
		{"wide-light", 1280, 2400, nil},
		{"narrow-dark", 400, 2400, dark},
		{"wide-dark", 1280, 2400, dark},
		{"narrow-light", 400, 2400, nil},
	} {
		if shots == dir && i >= 2 {
			break // the other two are for looking only
		}
		path := filepath.Join(shots, s.name+".png")
		args := append([]string{fmt.Sprintf("--window-size=%d,%d", s.width, s.height), "--screenshot=" + path}, s.args...)
		browse(t, bin, append(args, "file://"+file)...)
		f, err := os.Open(path)
		require.NoError(t, err)
		img, _, err := image.Decode(f)
		require.NoError(t, f.Close())
		require.NoError(t, err)
		require.Equal(t, s.width, img.Bounds().Dx(), s.name)
		seen := map[[3]uint32]bool{}
		for y := 0; y < s.height; y += 3 {
			for x := 0; x < s.width; x += 3 {
				r, g, b, _ := img.At(x, y).RGBA()
				seen[[3]uint32{r, g, b}] = true
			}
		}
		require.Greater(t, len(seen), 50, "%s: the page is blank", s.name)
		r, g, b, _ := img.At(2, 2).RGBA()
		require.Equal(t, strings.HasSuffix(s.name, "dark"), (r+g+b)/3 < 0x8000, "%s: background", s.name)
	}
}

func tail(s string) string {
	if len(s) > 2000 {
		return "..." + s[len(s)-2000:]
	}
	return s
}
