// Package sniff recognises files that are not what their name says: what a download left
// instead of a model or of data.
//
// It imports nothing of this module. The readers of GGUF, safetensors and data ask it before they call
// a file malformed.
package sniff
