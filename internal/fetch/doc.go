// Package fetch finds, downloads and checks data sets and models by name.
//
// catalogue.yaml lists them: [Catalogue] is what commands, suites and errors speak of. A
// [Fetcher] lays the files of a set out below a folder, from a mirror or from their official
// addresses, each checked against the release's hash before it appears under its name. [Client]
// is the part that knows HTTP: it resumes, retries and explains; internal/hub uses it, too.
// Everything else in the program gets paths.
//
// It may import packages of internal, and only cmd/steer, app and internal/hub import it. What the files
// hold is rl/data's, ggml/gguf's and ggml/adapter's.
package fetch
