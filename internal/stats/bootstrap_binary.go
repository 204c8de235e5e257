package stats

import "fmt"

// BinaryMetric is a number made from a 2x2 table; degenerate says that it was
// undefined there and set to its convention.
type BinaryMetric func(c Binary) (v float64, degenerate bool)

// MetricMCC is [Binary.MCC] as a metric.
func MetricMCC(c Binary) (float64, bool) { return c.MCC() }

// MetricAccuracy is [Binary.Accuracy] as a metric.
func MetricAccuracy(c Binary) (float64, bool) { return c.Accuracy(), false }

// MetricBalancedAccuracy is [Binary.BalancedAccuracy] as a metric; degenerate
// where one class only occurs.
func MetricBalancedAccuracy(c Binary) (float64, bool) {
	return c.BalancedAccuracy(), c.TP+c.FN == 0 || c.TN+c.FP == 0
}

// Up to patternModels predictions and the gold label of an item make one byte.
const patternModels = 7

// patterns packs gold and predictions of up to seven models into one byte an
// item: bit 0 is gold, bit 1+m model m. A resample then needs one table look-up an
// item for all models together, and the 2x2 tables follow from 256 counts.
type patterns struct {
	models int
	code   []uint8 // [item]
}

func (p *patterns) tables(count *[256]int32, out []Binary) {
	for m := range out {
		out[m] = Binary{}
	}
	for code, k := range count[:2<<p.models] {
		if k == 0 {
			continue
		}
		for m := range out {
			out[m].add(code&1, code>>(1+m)&1, int(k))
		}
	}
}

// BootstrapBinary bootstraps a metric of several classifiers on the same items
// with shared resamples. gold[item] and preds[model][item] are 0 or 1.
func BootstrapBinary(gold []int, preds [][]int, metric BinaryMetric, src Resamples, count int) ([]Bootstrap, error) {
	if err := checkResamples(src, len(gold), count); err != nil {
		return nil, err
	}
	out := make([]Bootstrap, len(preds))
	var groups []patterns
	for m, pred := range preds {
		table, err := CountBinary(gold, pred)
		if err != nil {
			return nil, fmt.Errorf("classifier %d: %w", m, err)
		}
		if m%patternModels == 0 {
			code := make([]uint8, len(gold))
			for i, g := range gold {
				code[i] = uint8(g)
			}
			groups = append(groups, patterns{code: code})
		}
		g := &groups[len(groups)-1]
		for i, p := range pred {
			g.code[i] |= uint8(p) << (1 + g.models)
		}
		g.models++
		estimate, _ := metric(table)
		out[m] = Bootstrap{
			Estimate:   estimate,
			Replicates: make([]float64, count),
			Degenerate: make([]bool, count),
			Jackknife:  leaveOneOutBinary(gold, pred, table, metric),
		}
	}
	parallel(count, func() func(int) {
		idx := make([]int32, len(gold))
		tables := make([]Binary, patternModels)
		return func(b int) {
			src.Draw(b, idx)
			for k := range groups {
				g := &groups[k]
				var count [256]int32
				for _, i := range idx {
					count[g.code[i]]++
				}
				g.tables(&count, tables[:g.models])
				for j, t := range tables[:g.models] {
					o := &out[k*patternModels+j]
					o.Replicates[b], o.Degenerate[b] = metric(t)
				}
			}
		}
	})
	return out, nil
}

// leaveOneOutBinary computes the metric with each item left out; there are only
// four different values.
func leaveOneOutBinary(gold, pred []int, table Binary, metric BinaryMetric) []float64 {
	var value [4]float64
	for cell := range value {
		t := table
		t.add(cell>>1, cell&1, -1)
		// A cell without items yields a table no item asks for.
		if min(t.TP, t.TN, t.FP, t.FN) >= 0 {
			value[cell], _ = metric(t)
		}
	}
	jack := make([]float64, len(gold))
	for i, g := range gold {
		jack[i] = value[g<<1|pred[i]]
	}
	return jack
}
