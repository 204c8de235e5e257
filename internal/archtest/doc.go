// Package archtest holds the arrows between packages (ARCHITECTURE.md): who may import whom.
//
// It has tests only. TestArrowsGoDown is the table of packages: a new one needs a line there. Beside it stand
// other rules that no compiler checks: where the environment is read, errors that a deferred function loses,
// the length of lines.
package archtest
