// Package hub reads repositories of the Hugging Face hub, into the cache that all tools for it
// share.
//
// A [Ref] is what people write: hf:ORG/NAME@REVISION:FILE. A [Client] asks a hub what a repository
// holds and fetches files of it, each checked against the hash that the hub names. [Cache] is the
// folder that they come into, laid out as huggingface_hub does it: a file is stored once, under its
// hash, and stands as a link in the folder of every commit that has it. What the files mean is for
// others to know (app/source).
//
// It may import packages of internal. HTTP is that of internal/fetch.
package hub
