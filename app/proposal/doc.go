// Package proposal writes an experiment for a model and data files of the user's: what "steer init" does.
// It recognises the files, measures how long the conversations are, proposes sizes with which every
// stage fits, and comments each line.
//
// It may import experiments, plans and the catalogue of package fetch; only commands import it.
package proposal
