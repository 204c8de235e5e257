package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of a plot in its own units; the page scales it to its column, at 400 px to
// about 1:1, so that labels stay readable.
const (
	plotWidth  = 380
	plotHeight = 220
	plotFont   = 11
)

// drawLimit bounds what is drawn: axes cannot be labelled beyond it.
const drawLimit = 1e12

// gonum draws in fixed colours; these stand for colours of the page and are
// replaced in the SVG, which therefore follows light and dark. None is #000000:
// that one vgsvg leaves unwritten.
var (
	inkFg   = color.RGBA{R: 1, G: 1, B: 1, A: 255}
	inkGrid = color.RGBA{R: 3, G: 3, B: 3, A: 255}
)

func inkSeries(i int) color.Color { return color.RGBA{R: 10, G: 0, B: uint8(i), A: 255} }

// inkFaint is the same, half transparent: of curves that others are drawn over.
func inkFaint(i int) color.Color { return color.RGBA{R: 11, G: 0, B: uint8(i), A: 255} }

var inkPattern = regexp.MustCompile(`(fill|stroke):#([0-9A-F]{6})`)

func cssColour(hex string) string {
	switch hex {
	case "010101":
		return "currentColor"
	case "030303":
		return "var(--grid)"
	case "040404":
		return "var(--band)"
	}
	if i, ok := seriesOf(hex, "0A00"); ok {
		return fmt.Sprintf("var(--c%d)", i)
	}
	return "#" + hex
}

// seriesOf reads the index out of the stand-in for a colour of the palette.
func seriesOf(hex, prefix string) (i int, ok bool) {
	n, _ := fmt.Sscanf(hex, prefix+"%02X", &i)
	return i, n == 1
}

// svg draws the chart as inline SVG with a title and a description for screen
// readers; id is unique in the page.
func (c Chart) svg(id string) (template.HTML, error) {
	if c.Kind == "rows" {
		return c.rowsSVG(id)
	}
	p := newPlot(c.XLabel, c.YLabel)
	if c.Kind == "calibration" {
		// Perfect: as often right as sure.
		if err := addLine(p, plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, inkGrid, 1, true); err != nil {
			return "", err
		}
	}
	for _, l := range c.backToFront() {
		if err := c.addCurve(p, l); err != nil {
			return "", err
		}
	}
	for _, m := range c.Marks {
		if err := addPoint(p, plotter.XY{X: m.X, Y: m.Y}, m.Colour, pointRadius(m.Small)); err != nil {
			return "", err
		}
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	if c.Kind == "line" {
		p.X.Min = min(p.X.Min, 0) // steps count from 0
	}
	// Room for the last tick's label, which is centred on the end of the axis.
	p.Draw(draw.Crop(draw.New(canvas), 0, -12, 0, -4))
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		return "", fmt.Errorf("report: plot %s: %w", c.ID, err)
	}
	return c.dress(id, buf.String(), plotHeight)
}

// newPlot has the page's axes and grid.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	// The page's font is sans serif: labels are placed by its widths.
	style := func(f *font.Font, s *color.Color) { f.Variant, f.Size, *s = "Sans", plotFont, inkFg }
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		style(&a.Label.TextStyle.Font, &a.Label.TextStyle.Color)
		style(&a.Tick.Label.Font, &a.Tick.Label.Color)
		a.LineStyle.Color, a.Tick.LineStyle.Color = inkFg, inkFg
		a.LineStyle.Width, a.Tick.LineStyle.Width = 0.6, 0.6
		a.Tick.Length = 3
		a.Padding = 3
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Horizontal.Width = inkGrid, 0.6
	grid.Vertical.Width = 0
	p.Add(grid)
	return p
}

func (c Chart) addCurve(p *plot.Plot, l ChartLine) error {
	pts := l.points()
	if len(pts) == 0 {
		return nil
	}
	if b := l.Bars; b != nil {
		x, y := l.X[0], l.Y[0]
		for _, bar := range []plotter.XYs{{{X: b.XLo, Y: y}, {X: b.XHi, Y: y}}, {{X: x, Y: b.YLo}, {X: x, Y: b.YHi}}} {
			if err := addLine(p, bar, inkSeries(l.Colour), 0.8, false); err != nil {
				return err
			}
		}
	}
	width, ink := vg.Length(1.5), inkSeries(l.Colour)
	switch {
	case l.Member:
		width, ink = 0.7, inkFaint(l.Colour)
	case l.Thin:
		width = 0.7
	}
	if !l.Member || !l.Points {
		if err := addLine(p, pts, ink, width, l.Dashed); err != nil {
			return err
		}
	}
	if len(pts) > 1 && !l.Points {
		return nil
	}
	if l.Tag != "" {
		if err := addTag(p, pts[0], l.Tag); err != nil {
			return err
		}
	}
	for _, at := range pts {
		if err := addPoint(p, at, l.Colour, pointRadius(l.Member)); err != nil {
			return err
		}
	}
	return nil
}

// pointRadius is that of a dot; small: of one run of several.
func pointRadius(small bool) vg.Length {
	if small {
		return 1.6
	}
	return 3
}

// backToFront orders the curves so that the thin ones are drawn first.
func (c Chart) backToFront() []ChartLine {
	out := slices.Clone(c.Lines)
	slices.SortStableFunc(out, func(a, b ChartLine) int {
		switch {
		case a.Thin == b.Thin:
			return 0
		case a.Thin:
			return -1
		}
		return 1
	})
	return out
}

// points are the finite points that can be drawn.
func (l ChartLine) points() plotter.XYs {
	var pts plotter.XYs
	for i := range l.X {
		if math.Abs(l.X[i]) < drawLimit && math.Abs(l.Y[i]) < drawLimit {
			pts = append(pts, plotter.XY{X: l.X[i], Y: l.Y[i]})
		}
	}
	return pts
}

func addPoint(p *plot.Plot, at plotter.XY, colour int, radius vg.Length) error {
	if !(math.Abs(at.X) < drawLimit && math.Abs(at.Y) < drawLimit) {
		return nil
	}
	s, err := plotter.NewScatter(plotter.XYs{at})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	s.GlyphStyle = draw.GlyphStyle{Color: inkSeries(colour), Radius: radius, Shape: draw.CircleGlyph{}}
	p.Add(s)
	return nil
}

// addTag writes a short text beside a point.
func addTag(p *plot.Plot, at plotter.XY, text string) error {
	l, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{at}, Labels: []string{text}})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	l.Offset = vg.Point{X: 4, Y: 3}
	l.TextStyle[0].Font.Variant, l.TextStyle[0].Font.Size, l.TextStyle[0].Color = "Sans", plotFont-1, inkFg
	p.Add(l)
	return nil
}

// dress replaces the XML head of a file by one for inline use, puts in title and
// description, and turns stand-in colours into colours of the page.
func (c Chart) dress(id, svg string, height int) (template.HTML, error) {
	start := strings.Index(svg, "<svg")
	if start < 0 {
		return "", fmt.Errorf("report: plot %s: no svg element in the drawing", c.ID)
	}
	end := start + strings.Index(svg[start:], ">") + 1
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-labelledby="%s-t %s-d">`, plotWidth, height, id, id)
	fmt.Fprintf(&b, `<title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, id, template.HTMLEscapeString(c.Title),
		id, template.HTMLEscapeString(c.describe()))
	b.WriteString(inkPattern.ReplaceAllStringFunc(svg[end:], func(m string) string {
		name, hex, _ := strings.Cut(m, ":#")
		if i, ok := seriesOf(hex, "0B00"); ok {
			return fmt.Sprintf("%s:var(--c%d);%s-opacity:.6", name, i, name)
		}
		return name + ":" + cssColour(hex)
	}))
	out := b.String()
	// The page sets the font once.
	out = fontPattern.ReplaceAllString(out, "")
	return template.HTML(out), nil //nolint:gosec // built here; every text in it is escaped
}

var fontPattern = regexp.MustCompile(`font-family:[^;]*;font-variant:[^;]*;font-weight:[^;]*;font-style:[^;]*;`)

// describe says the plot in words.
func (c Chart) describe() string {
	var parts []string
	if c.Kind == "rows" {
		for _, r := range c.Rows {
			s := r.Label + " " + r.text()
			if len(r.PerRun) > 1 {
				s += " (runs: " + strings.Join(mapped(r.PerRun, num), ", ") + ")"
			}
			parts = append(parts, s)
		}
		for _, r := range c.Rules {
			parts = append(parts, "line at "+num(r.At)+": "+r.Label)
		}
		return c.XLabel + ": " + strings.Join(parts, "; ") + "."
	}
	for _, l := range c.Lines {
		name := l.Label
		if l.Member {
			name += ", " + l.Run + ","
		}
		parts = append(parts, name+" "+c.summary(l))
	}
	return c.YLabel + " over " + c.XLabel + ": " + strings.Join(parts, "; ") + "."
}

// summary is what the legend says beside a curve: first and last value, or where a
// histogram has its mean.
func (c Chart) summary(l ChartLine) string {
	n := len(l.Y)
	if n == 0 {
		return ""
	}
	if l.Mean != nil && c.Kind == "calibration" {
		return "error " + num(*l.Mean)
	}
	if l.Mean != nil {
		return "mean " + num(*l.Mean)
	}
	if c.Kind == "scatter" && n == 1 {
		return "at " + num(l.X[0]) + ", " + num(l.Y[0])
	}
	return num(l.Y[0]) + " to " + num(l.Y[n-1])
}
