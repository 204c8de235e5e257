// Package source turns names into files: a path stays what it is, a name of the hub
// (hf:ORG/NAME@REVISION:FILE) becomes the files of a repository that are meant by it.
//
// [Choose] knows which files of a repository are a model, a checkpoint to convert, an adapter or data.
// A [Finder] looks in the cache first, and fetches what is not there, aloud. [Source] is what is noted
// of a name with a run, so that the same name means the same file when the run goes on.
//
// It may import packages of internal. What is in the files is for others.
package source
