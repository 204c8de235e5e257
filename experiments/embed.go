// Package experiments holds the experiment files that come with steer.
package experiments

import _ "embed"

// Demo is the experiment that `steer demo` runs on the embedded model and data.
//
//go:embed demo.yaml
var Demo []byte
