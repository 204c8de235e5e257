// Package pyrandom draws the random numbers of Python's random module, bit for bit: programs in Python
// shuffle and sample the rows of benchmarks with it, which has to be repeated draw by draw. It
// imports the standard library alone.
package pyrandom
