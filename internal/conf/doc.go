// Package conf reads strict YAML into structs and writes it back.
//
// A key that no field has, a key given twice, a value of the wrong kind: each is an
// error with file, line and full key, what was expected and, for names, the nearest
// known one. All errors of a file are reported together.
//
// Fields are named by their yaml tag (",inline" merges a struct's keys into its
// parent's). Keys that are absent keep what the struct already holds: fill it with a
// preset first, then Parse, then Set the command line's overrides.
//
//	cfg := sft.Default()
//	if err := conf.Parse("sft.yaml", text, &cfg); err != nil { ... }
//	if err := conf.Set(&cfg, "optim.lr=1e-4"); err != nil { ... }
//
// Kinds: bool, string, integers, floats (finite), structs, pointers, slices, maps with
// string keys, time.Duration ("90s", "1h30m"), bytesize.Size ("24GB"), and every type with
// UnmarshalText; a struct with it may be written short, as one value, or as its keys. A
// string type with a method Values() []string is an enum. A yaml.Node takes a value of
// any kind, for the caller to read.
//
// It may import internal/nearest. The configurations themselves are structs of the trainers, of rewards, eval and app.
package conf
