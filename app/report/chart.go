package report

// Chart is one plot.
type Chart struct {
	ID      string       `json:"id"`
	Section string       `json:"section"` // sft | reward | ppo | dpo | frontier | scores | key of a benchmark
	Kind    string       `json:"kind"`    // line | path | scatter | histogram | calibration | rows
	Title   string       `json:"title"`
	XLabel  string       `json:"x_label"`
	YLabel  string       `json:"y_label"`
	Lines   []ChartLine  `json:"lines"`
	Absent  []string     `json:"absent,omitempty"` // what was expected and not logged
	Marks   []ChartPoint `json:"marks,omitempty"`
	Rows    []ChartRow   `json:"rows,omitempty"` // top to bottom
	Rules   []ChartRule  `json:"rules,omitempty"`
	// Band is a shaded range of x.
	Band *[2]float64 `json:"band,omitempty"`
	Note string      `json:"note,omitempty"`
}

// ChartRow is one value with its interval in a plot of rows.
type ChartRow struct {
	Label string `json:"label"`
	Interval
	Colour int  `json:"-"`
	Strong bool `json:"strong,omitempty"` // shown to differ
}

// ChartRule is a vertical line.
type ChartRule struct {
	Label  string  `json:"label"`
	At     float64 `json:"at"`
	Dashed bool    `json:"-"`
}

// ChartLine is one curve (or the outline of one histogram). Colour indexes the
// palette of the page; Dashed tells the second curve of one colour apart; Thin is
// drawn behind the others.
type ChartLine struct {
	Label  string `json:"label"`
	Colour int    `json:"-"`
	Dashed bool   `json:"-"`
	Thin   bool   `json:"-"`
	// Member is one run of several; it is drawn thin and has no entry in the legend.
	Member bool       `json:"member,omitempty"`
	Run    string     `json:"run,omitempty"`  // which, of a member
	Points bool       `json:"-"`              // dots at the points
	Bars   *ChartBars `json:"bars,omitempty"` // of a point
	Tag    string     `json:"tag,omitempty"`  // beside a point
	// Mean of a histogram; nil for curves.
	Mean *float64 `json:"mean,omitempty"`
	Series

	theory string
	full   *Series // every logged value of y, before thinning
	over   *Series // every logged value of x of a path
}

// ChartBars are the intervals of a point, in both directions.
type ChartBars struct {
	XLo float64 `json:"x_lo"`
	XHi float64 `json:"x_hi"`
	YLo float64 `json:"y_lo"`
	YHi float64 `json:"y_hi"`
}

// ChartPoint marks a point of a curve, such as its end.
type ChartPoint struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Colour int     `json:"-"`
	Small  bool    `json:"-"` // one run of several
}
