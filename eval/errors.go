package eval

import "errors"

// Errors that results and inputs can end in.
var (
	// ErrNoItems: nothing to measure was left.
	ErrNoItems = errors.New("no items")
	// ErrDuplicateID: two items carry one id, so records could not be paired.
	ErrDuplicateID = errors.New("duplicate item id")
	// ErrLabel: a gold label outside the benchmark's set.
	ErrLabel = errors.New("label outside the set")
	// ErrNotFinite: a model gave a log-probability or score that is no number.
	ErrNotFinite = errors.New("not a finite number")
	// ErrTooLong: a continuation does not fit the maximal length by itself.
	ErrTooLong = errors.New("longer than max_length")
)
