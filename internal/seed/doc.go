// Package seed derives the seeds of single uses of randomness from the seed of a run, and
// makes the generators and orders that are drawn with them.
//
// It imports nothing of this module and stands below everything: the engine's dropout
// masks, the trainers' orders, the evaluations' resamples and the report that draws the
// same resamples again are all seeded here.
package seed
