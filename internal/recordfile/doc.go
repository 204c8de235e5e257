// Package recordfile writes and reads files of records: a JSON object a line, compressed with
// Zstandard. It knows no record: the items of evaluations are rl/run's, what a comparison
// reads of them is eval/compare's.
//
// It may import internal/atomicfile alone.
package recordfile
