package experiments

import "embed"

// Demo is the experiment that `steer demo` runs on the embedded model and data.
//
//go:embed demo.yaml
var Demo []byte

// Suites holds suites/NAME.yaml, the sets of benchmarks that `steer eval --suite NAME`
// runs, and suites/data.yaml, which says where their data are found.
//
//go:embed suites/*.yaml
var Suites embed.FS
