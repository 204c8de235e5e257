// Package inspect describes the files of models and adapters: what their headers say, and whether the
// engine can train on a model. Data files describe themselves (data.Inspect).
//
// It may import the engine, which it has load a model to be sure, the readers of files, and
// internal/filehash. Only commands import it.
package inspect
