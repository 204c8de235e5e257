// Package nearest finds the name that was perhaps meant by one that is not known: of keys,
// flags, commands, data sets, values and weights alike. It imports nothing of this module.
package nearest
