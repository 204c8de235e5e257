// Command testsum runs `go test` and ends with what was skipped and why:
//
//	go run ./internal/testsum [-strict] [-go PATH] -- ARGUMENTS-OF-GO-TEST
//
// It prints what `go test` prints: a line a package, and all of what a failed test said. Then come
// the skipped tests by reason. With -strict a skip whose reason is not in skips.go fails, even if
// every test passed. The exit status is go test's, or 1.
//
// It imports nothing of this module; the Makefile runs it.
package main
