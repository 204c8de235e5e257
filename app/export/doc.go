// Package export makes of a model and its adapters what other programs take: one adapter of several,
// a merged model, a folder for Ollama.
//
// It may import the engine, the readers of files, app/workspace for stacks and forms, rl/data for chat
// templates, and internal. Only commands import it.
package export
