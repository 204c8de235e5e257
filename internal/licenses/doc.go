// Command licenses copies the licence texts of everything that a program is linked from into a folder:
//
//	go run ./internal/licenses -o FOLDER ./cmd/steer
//
// For each module it takes every file named LICENSE, COPYING, NOTICE, AUTHORS or PATENTS in the
// folders of the packages that are linked and above them, with Go's own. A module without one fails.
//
// It imports nothing of this module; cmake/dist.sh runs it.
package main
