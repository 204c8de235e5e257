package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"steer/app/report"
)

// browser starts headless Chromium, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("short: the page is not opened in a browser")
	}
	bin := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			bin = path
			break
		}
	}
	if bin == "" {
		t.Skip("chromium is not installed: the page is not opened in a browser")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(bin), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("hide-scrollbars", true))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx), "chromium does not start")
	return ctx
}

// do runs actions; evaluate runs a script in the page.
func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	require.NoError(t, chromedp.Do(limited, actions...))
}

func evaluate[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(limited, chromedp.Evaluate[T](script))
	require.NoError(t, err)
	return v
}

// watch collects what the page asks for and complains of.
type watch struct {
	sync.Mutex
	requests, complaints []string
}

func (w *watch) listen(t *testing.T, ctx context.Context) {
	require.NoError(t, chromedp.Listen(ctx, func(ev any) {
		w.Lock()
		defer w.Unlock()
		switch e := ev.(type) {
		case *network.EventRequestWillBeSent:
			w.requests = append(w.requests, e.Request.URL)
		case *runtime.EventExceptionThrown:
			w.complaints = append(w.complaints, e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			w.complaints = append(w.complaints, fmt.Sprint("console ", e.Type))
		case *log.EventEntryAdded:
			w.complaints = append(w.complaints, e.Entry.Text)
		}
	}))
	do(t, ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, log.Enable, cdp.Empty{})
		return err
	}))
}

// screen sets width and mode.
func screen(width int, dark bool) chromedp.Action[chromedp.Void] {
	mode := "light"
	if dark {
		mode = "dark"
	}
	return chromedp.Steps(chromedp.EmulateViewport(int64(width), 900),
		chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia,
				emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme",
					Value: mode}}})
			return err
		}))
}

// accessible are checks of the kind that axe makes; each returns what it finds wrong.
const accessible = `(() => {
  const wrong = [], say = (what, e) => wrong.push(what + ": " + (e.outerHTML || "").slice(0, 120));
  if (!document.documentElement.lang) wrong.push("no language");
  if (!document.title) wrong.push("no title");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("want one h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("want one main");
  let level = 0;
  for (const h of document.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
    const l = +h.tagName[1];
    if (l > level + 1) say("heading skips a level after h" + level, h);
    if (!h.textContent.trim()) say("empty heading", h);
    level = l;
  }
  for (const s of document.querySelectorAll("svg")) if (s.getAttribute("role") !== "img" || !s.querySelector("title") || !s.querySelector("desc")) say("plot without a text", s);
  for (const t of document.querySelectorAll("table")) {
    if (!t.caption) say("table without a caption", t);
    for (const h of t.querySelectorAll("th")) { if (!h.scope) say("header without a scope", h); if (!h.textContent.trim()) say("empty header", h); }
    for (const r of t.tBodies[0].rows) if (!r.querySelector("th[scope=row]")) say("row without a header", r);
  }
  for (const i of document.querySelectorAll("input, select")) if (!i.labels.length) say("input without a label", i);
  for (const e of document.querySelectorAll("[aria-labelledby]")) for (const id of e.getAttribute("aria-labelledby").split(/\s+/)) if (!document.getElementById(id)) say("label to nowhere", e);
  for (const r of document.querySelectorAll("[role=region]")) if (!r.getAttribute("aria-label")) say("region without a name", r);
  for (const e of document.querySelectorAll("*")) if (e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX) && e.tabIndex < 0) say("scrolls but takes no focus", e);
  // Text against its background, WCAG AA for small text.
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const lum = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const seen = new Set();
  for (const e of document.querySelectorAll("p,li,td,th,small,span,a,summary,label,h1,h2,h3,code,caption,b")) {
    if (!e.textContent.trim() || e.closest("svg")) continue;
    const f = rgb(getComputedStyle(e).color).slice(0, 3), b = back(e).slice(0, 3);
    const [hi, lo] = [lum(f), lum(b)].sort((x, y) => y - x), ratio = (hi + .05) / (lo + .05), key = f + "|" + b;
    if (ratio < 4.5 && !seen.has(key)) { seen.add(key); say("contrast " + ratio.toFixed(2), e); }
  }
  return wrong;
})()`

// TestPageInABrowser opens the page at both ends of the widths it is made for, in light
// and dark: nothing is fetched, nothing complained of, nothing scrolls sideways, the
// switch and the search work and are reached by the keyboard.
// REPORT_SHOTS=folder keeps pictures of the whole pages.
func TestPageInABrowser(t *testing.T) {
	ctx := browser(t)
	dir := t.TempDir()
	for name, r := range map[string]*report.Report{"one": load(t, recorded(t, 1)), "seeds": load(t, study(t, 3))} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, name+".html")
			write(t, file, render(t, report.WriteHTML, r))
			ctx, cancel := chromedp.NewContext(ctx)
			defer cancel()
			require.NoError(t, chromedp.Do(ctx)) // opens the tab, which lives as long as this context
			w := &watch{}
			w.listen(t, ctx)
			do(t, ctx, chromedp.Navigate("file://"+file), chromedp.WaitReady(chromedp.CSS("#provenance")))
			for _, width := range []int{400, 1280} {
				for _, dark := range []bool{false, true} {
					checkScreen(t, ctx, fmt.Sprintf("%s-%d-%t", name, width, dark), width, dark)
				}
			}
			checkKeyboard(t, ctx, r.Matrix.Raw != nil)
			checkSearch(t, ctx)
			if len(r.Runs) > 1 {
				checkRuns(t, ctx)
			}
			w.Lock()
			defer w.Unlock()
			require.Equal(t, []string{"file://" + file}, w.requests, "nothing but the page itself is asked for")
			require.Empty(t, w.complaints)
		})
	}
}

func checkScreen(t *testing.T, ctx context.Context, name string, width int, dark bool) {
	t.Helper()
	do(t, ctx, screen(width, dark))
	require.LessOrEqual(t, evaluate[int](t, ctx, `document.documentElement.scrollWidth`), width, "%s scrolls sideways",
		name)
	require.Greater(t, evaluate[int](t, ctx, `document.querySelectorAll("figure svg").length`), 20, name)
	require.Zero(t, evaluate[int](t, ctx,
		`[...document.querySelectorAll("figure svg")].
				filter(e => e.checkVisibility() && e.getBoundingClientRect().width < 200).length`),
		"%s: plots too small to read", name)
	require.Empty(t, evaluate[[]string](t, ctx, accessible), name)
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	shot, err := chromedp.Run(limited, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	r, g, b, _ := img.At(2, 2).RGBA()
	require.Equal(t, dark, (r+g+b)/3 < 0x8000, "%s: background", name)
	require.Greater(t, coloursOf(img), 50, "%s: the page is blank", name)
	if shots := os.Getenv("REPORT_SHOTS"); shots != "" {
		write(t, filepath.Join(shots, name+".png"), string(shot))
	}
}

func coloursOf(img image.Image) int {
	seen := map[[3]uint32]bool{}
	for y := 0; y < min(2400, img.Bounds().Dy()); y += 3 {
		for x := 0; x < img.Bounds().Dx(); x += 3 {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}

// checkKeyboard walks the page by the Tab key alone.
func checkKeyboard(t *testing.T, ctx context.Context, haveSwitch bool) {
	t.Helper()
	reached, first := map[string]bool{}, ""
	do(t, ctx, screen(1280, false))
	evaluate[any](t, ctx, `document.activeElement.blur(), null`)
	for range 400 {
		do(t, ctx, chromedp.KeyEvent(kb.Tab))
		at := evaluate[string](t, ctx,
			`(e => e.id || (e.closest("[id]") || {}).id || e.tagName)(document.activeElement)`)
		if first == "" {
			first = evaluate[string](t, ctx, `document.activeElement.textContent`)
		}
		if at == "unit-norm" && !reached[at] {
			do(t, ctx, chromedp.KeyEvent(kb.ArrowRight))
			shown := evaluate[string](t, ctx,
				`getComputedStyle(document.querySelector(".view-raw")).display + "," +
					getComputedStyle(document.querySelector(".view-norm")).display`)
			require.Equal(t, "block,none", shown, "the arrow key turns to raw scores")
		}
		reached[at] = true
		if reached["search"] {
			break
		}
	}
	require.Equal(t, "Skip to the results", first)
	require.Equal(t, haveSwitch, reached["unit-norm"], "the switch")
	require.True(t, reached["search"], "the search is reached by Tab: %v", reached)
}

func checkSearch(t *testing.T, ctx context.Context) {
	t.Helper()
	type state struct {
		Shown int
		Found string
	}
	look := func() state {
		text := evaluate[string](t, ctx,
			`JSON.stringify({
				Shown: [...document.querySelectorAll("details.sample")].filter(e => e.checkVisibility()).length,
				Found: document.querySelector("#found").textContent})`)
		var s state
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		return s
	}
	require.Equal(t, state{6, ""}, look())
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#search"), "PROMPT 3 neighbour"))
	require.Equal(t, state{1, "1 of 6"}, look())
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#search"), " no such word"))
	require.Equal(t, state{0, "0 of 6"}, look())
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#search"), strings.Repeat(kb.Backspace, 40)))
	require.Equal(t, state{6, ""}, look())
}

// checkRuns chooses the answers of one run, by the keyboard, and searches in them.
func checkRuns(t *testing.T, ctx context.Context) {
	t.Helper()
	look := func() string {
		return evaluate[string](t, ctx, `[...document.querySelectorAll("details.sample")].filter(e => e.checkVisibility()).length + " prompts, runs " +
			[...document.querySelectorAll("details.sample[open] .of-run")].filter(e => e.checkVisibility()).map(e => e.dataset.run).join(" ")`)
	}
	require.Equal(t, "6 prompts, runs seed 1 seed 2 seed 3", look())
	evaluate[any](t, ctx, `document.querySelector("#search").focus(), null`)
	do(t, ctx, chromedp.KeyEvent(kb.Tab))
	require.Equal(t, "of-run", evaluate[string](t, ctx, `document.activeElement.id`), "the choice follows the search")
	do(t, ctx, chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
	require.Equal(t, "6 prompts, runs seed 2", look())
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#search"), "says run three"))
	require.Equal(t, "0 prompts, runs ", look(), "what other runs say is not found")
	do(t, ctx, chromedp.SendKeys(chromedp.CSS("#search"), strings.Repeat(kb.Backspace, 14)))
	evaluate[any](
		t, ctx, `(p => { p.value = ""; p.dispatchEvent(new Event("change")); })(
			document.querySelector("#of-run")), null`,
	)
	require.Equal(t, "6 prompts, runs seed 1 seed 2 seed 3", look())
}
