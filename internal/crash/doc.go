// Package crash carries a panic from the goroutine where it happened to the one that waits for it,
// so that the program's promise about panics holds wherever they happen.
//
// It imports nothing of this module. Package ggml carries panics from the goroutine of a device with it,
// eval/query and internal/stats those of their workers; cmd/steer shows them.
package crash
