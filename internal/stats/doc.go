// Package stats holds the statistics behind the measurements: confusion
// matrices and the coefficients made from them, intervals, paired tests,
// corrections for multiplicity, equivalence tests, bootstrap and permutation.
//
// Everything is a pure function over slices and counts in float64, seeded where
// it draws. Definitions follow scikit-learn, scipy, statsmodels and
// lm-evaluation-harness, named function by function, and are tested against
// numbers those peers computed.
package stats
