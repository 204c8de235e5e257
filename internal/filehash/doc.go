// Package filehash is the SHA-256 of files and folders. A Cache remembers that of large files, so
// that a model of gigabytes is read for it once and not before every stage.
//
// It imports internal/atomicfile alone, which writes the cache. What is hashed as the content of
// a data structure (pairs of texts, tensors) is hashed where the structure is.
package filehash
