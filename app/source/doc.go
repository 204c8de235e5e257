// Package source turns names into files: a path stays what it is, a name of the hub
// (hf:ORG/NAME@REVISION:FILE) becomes the files of a repository that are meant by it.
//
// [Choose] knows which files of a repository are a model, a checkpoint to convert, an adapter or data.
// A [Finder] looks in the cache first, and fetches what is not there, aloud. What a name was found to be
// is a [run.Source], which is noted with a run.
//
// It may import rl/run and packages of internal. What is in the files is for others.
package source
