// Package printable makes texts from files and users fit to be shown: on one line, cut, and without
// the control characters that a terminal would obey. It imports nothing of this module.
package printable
