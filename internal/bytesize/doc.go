// Package bytesize is numbers of bytes as people write and read them: [Size] in a configuration,
// and the texts of numbers that are printed, in powers of 1000. It imports nothing of this module.
package bytesize
