// Package experiments holds the experiment files that come with steer, and the suites of
// benchmarks.
//
// It imports nothing of this module. app/jobs reads the suites; `steer demo` runs Demo.
package experiments
