package rewards

// batchStats sums over the pairs of a mini-batch.
type batchStats struct {
	Pairs, Correct, Ties   int
	Loss, Logistic         float64 // with and without margin and centring
	Chosen, Rejected, Diff float64
}

// pairGradient reads a pair's scores off the next heads, accounts for it and writes its
// gradient, divided by n; it says how many heads it took. A side that is missing scores
// 0: the loss is then -log sigmoid of the other side's score (with the sign of the side),
// which is the logistic loss of a classifier. A log-odds has no free constant, so nothing
// is centred.
func (t *trainer) pairGradient(p EncodedPair, heads, gradient [][]float32, n float64, b *batchStats) int {
	margin := t.cfg.Margin + p.Margin
	switch {
	case p.Rejected == nil:
		d, _ := b.add(float64(heads[0][0]), 0, margin, 0)
		gradient[0] = []float32{float32(d / n)}
		return 1
	case p.Chosen == nil:
		_, d := b.add(0, float64(heads[0][0]), margin, 0)
		gradient[0] = []float32{float32(d / n)}
		return 1
	}
	dc, dr := b.add(float64(heads[0][0]), float64(heads[1][0]), margin, t.cfg.Centre)
	gradient[0], gradient[1] = []float32{float32(dc / n)}, []float32{float32(dr / n)}
	return 2
}

// add accounts for a pair and gives the derivatives of its loss.
func (b *batchStats) add(chosen, rejected, margin, centre float64) (dChosen, dRejected float64) {
	loss, dc, dr := PairLoss(chosen, rejected, margin, centre)
	logistic, _, _ := PairLoss(chosen, rejected, 0, 0)
	b.Pairs++
	b.Loss += loss
	b.Logistic += logistic
	b.Chosen += chosen
	b.Rejected += rejected
	b.Diff += chosen - rejected
	switch {
	case chosen > rejected:
		b.Correct++
	case chosen == rejected:
		b.Ties++
	}
	return dc, dr
}
