// Package pyre is what benchmark tasks use of Python's module re: patterns with look-around and
// back-references, found and replaced as Python does.
//
// The patterns are run by github.com/dlclark/regexp2, whose dialect is .NET's. Where that differs,
// [Compile] rewrites the pattern (\w, \b, \s, \Z, named groups) or refuses it. A search that takes
// longer than ten seconds ends with an error.
//
// It imports the standard library and regexp2 alone.
package pyre
