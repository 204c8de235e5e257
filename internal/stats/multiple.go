package stats

import (
	"cmp"
	"math"
	"slices"
)

// ascending returns the permutation that sorts p.
func ascending(p []float64) []int {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	return order
}

// Holm adjusts p-values for a family of m tests by Holm's step-down method:
// with p sorted ascending, adj_(i) = max_{j<=i} min(1, (m-j+1) p_(j)). The result
// is in the order of the input.
func Holm(p []float64) []float64 {
	adj, running := make([]float64, len(p)), 0.0
	for j, i := range ascending(p) {
		running = math.Max(running, math.Min(1, float64(len(p)-j)*p[i]))
		adj[i] = running
	}
	return adj
}

// Bonferroni multiplies every p-value by the size of the family, at most 1.
func Bonferroni(p []float64) []float64 {
	adj := make([]float64, len(p))
	for i, v := range p {
		adj[i] = math.Min(1, float64(len(p))*v)
	}
	return adj
}

// BenjaminiHochberg adjusts p-values for the false discovery rate:
// adj_(i) = min_{j>=i} min(1, m p_(j) / j).
func BenjaminiHochberg(p []float64) []float64 {
	adj, running := make([]float64, len(p)), 1.0
	order := ascending(p)
	for j := len(order) - 1; j >= 0; j-- {
		i := order[j]
		running = math.Min(running, float64(len(p))*p[i]/float64(j+1))
		adj[i] = running
	}
	return adj
}
