package dpo

// LengthDesensitized are the weights of the tokens of rows i and k, chosen and rejected, in their sequences'
// log-probabilities: tokens beyond the shorter answer count alpha times (LD-DPO, Liu et al. 2024,
// arXiv:2409.06411). mask is 1 at the tokens of answers; other rows are nil.
func LengthDesensitized(mask [][]float64, i, k int, alpha float64) [][]float64 {
	out := make([][]float64, len(mask))
	count := func(row []float64) (n int) {
		for _, m := range row {
			if m != 0 {
				n++
			}
		}
		return n
	}
	shorter := min(count(mask[i]), count(mask[k]))
	for _, r := range []int{i, k} {
		out[r] = make([]float64, len(mask[r]))
		seen := 0
		for x, m := range mask[r] {
			if m == 0 {
				continue
			}
			if out[r][x] = 1; seen >= shorter {
				out[r][x] = alpha
			}
			seen++
		}
	}
	return out
}
