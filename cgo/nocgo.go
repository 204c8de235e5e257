//go:build !cgo

package cgo

// The engine is C++: without cgo there is nothing to build. The name of this
// undefined constant is the message that the compiler prints.
const _ = steer_needs_cgo__set_CGO_ENABLED_1_and_install_a_C_compiler
