// Package workspace opens models, and lays adapters over them: a [Workspace] is a loaded model with the
// adapters, stacks, templates and generators that a stage or a command opens on it, all closed
// together. It checks that adapters lie on what they were trained on and are what they are used for,
// and says aloud what is odd.
//
// What computes is behind an interface, [Engine]: here the one of the device; package plan has
// another, on which stages are rehearsed. It may import the engine (ggml), rl/data and rl/train.
// Jobs (app/jobs), plans and commands stand on it.
package workspace
