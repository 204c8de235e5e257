// Package experiment is the file of a whole pipeline: SFT, a reward model and a policy for each theory,
// and their evaluation, from one YAML file and its presets, for one seed or several (a [Study]). It
// hands settings down to the stages' jobs, skips what is finished, resumes what is not, and names the
// command that fetches what is missing.
//
// It may import jobs, plans and the catalogue of package fetch. Commands import it, and
// app/proposal, which writes such a file.
package experiment
