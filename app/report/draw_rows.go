package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Heights of a plot of rows: of one row, and of what is not a row.
const (
	rowHeight  = 17
	rowsFrame  = 48
	rowsMargin = 12
)

// runsBelow is how far the dots of single runs lie under their mean, in rows.
const runsBelow = 0.34

// inkBand is the shaded range.
var inkBand = color.RGBA{R: 4, G: 4, B: 4, A: 255}

// rowsSVG draws labelled values with their intervals below one another.
func (c Chart) rowsSVG(id string) (template.HTML, error) {
	p := newPlot(c.XLabel, "")
	lo, hi := c.extent()
	p.X.Min, p.X.Max = lo, hi
	n := len(c.Rows)
	p.Y.Min, p.Y.Max = -0.6, float64(n)-0.4
	if c.Band != nil {
		if err := addBand(p, max(lo, c.Band[0]), min(hi, c.Band[1]), p.Y.Min, p.Y.Max); err != nil {
			return "", err
		}
	}
	for _, r := range c.Rules {
		if err := addLine(p, plotter.XYs{{X: r.At, Y: p.Y.Min}, {X: r.At, Y: p.Y.Max}}, inkFg, 0.8,
			r.Dashed); err != nil {
			return "", err
		}
	}
	ticks := make([]plot.Tick, n)
	for i, row := range c.Rows {
		y := float64(n - 1 - i)
		ticks[i] = plot.Tick{Value: y, Label: cut(visible(row.Label), 34)}
		width := vg.Length(1.2)
		if row.Strong {
			width = 2.8
		}
		if row.known() {
			if err := addLine(p, plotter.XYs{{X: *row.Lo, Y: y}, {X: *row.Hi, Y: y}}, inkSeries(row.Colour), width,
				false); err != nil {
				return "", err
			}
		}
		if err := addPoint(p, plotter.XY{X: row.Mean, Y: y}, row.Colour, pointRadius(false)); err != nil {
			return "", err
		}
		for _, v := range row.PerRun {
			if err := addPoint(p, plotter.XY{X: v, Y: y - runsBelow}, row.Colour, pointRadius(true)); err != nil {
				return "", err
			}
		}
	}
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Length = 0
	p.Y.LineStyle.Width = 0
	height := vg.Length(rowsFrame + rowHeight*n)
	canvas := vgsvg.New(plotWidth, height)
	p.Draw(draw.Crop(draw.New(canvas), 0, -rowsMargin, 0, -4))
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		return "", fmt.Errorf("report: plot %s: %w", c.ID, err)
	}
	return c.dress(id, buf.String(), int(height))
}

// extent is the range of x: all values, interval ends and rules, with some room.
func (c Chart) extent() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	hold := func(v float64) {
		if math.Abs(v) < drawLimit {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	for _, r := range c.Rows {
		hold(r.Mean)
		for _, v := range r.PerRun {
			hold(v)
		}
		if r.known() {
			hold(*r.Lo)
			hold(*r.Hi)
		}
	}
	for _, r := range c.Rules {
		hold(r.At)
	}
	if c.Band != nil {
		hold(c.Band[0])
		hold(c.Band[1])
	}
	if !(lo < hi) {
		lo, hi = lo-0.5, lo+0.5
	}
	room := (hi - lo) * 0.04
	return lo - room, hi + room
}

func addBand(p *plot.Plot, x0, x1, y0, y1 float64) error {
	band, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	band.Color, band.LineStyle.Width = inkBand, 0
	p.Add(band)
	return nil
}

func addLine(p *plot.Plot, pts plotter.XYs, ink color.Color, width vg.Length, dashed bool) error {
	line, err := plotter.NewLine(pts)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	line.Color, line.Width = ink, width
	if dashed {
		line.Dashes = []vg.Length{4, 3}
	}
	p.Add(line)
	return nil
}
