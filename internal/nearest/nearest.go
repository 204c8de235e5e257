package nearest

import "strings"

// Word returns the known name with the smallest edit distance to name, if that is
// near enough to be a slip: a third of it, and no more than half.
func Word(name string, known []string) (string, bool) {
	best, bestDist := "", 1<<30
	for _, k := range known {
		if dist := distance(strings.ToLower(name), strings.ToLower(k)); dist < bestDist {
			best, bestDist = k, dist
		}
	}
	limit := max(2, len(name)/3)
	return best, bestDist <= limit && 2*bestDist <= max(len(name), len(best))
}

// distance counts insertions, deletions, substitutions and swaps of neighbours that turn a into b,
// in bytes (Damerau and Levenshtein's, each byte touched once).
func distance(a, b string) int {
	var before []int // the row two up
	above := make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j]+cost, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}
