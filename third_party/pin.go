//go:build pin

// Package third_party pins the Go module that carries the sources of ggml and
// llama.cpp. The import is never compiled; it keeps the requirement in go.mod.
package third_party

import _ "github.com/ollama/ollama/version"
