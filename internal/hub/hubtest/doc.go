// Package hubtest plays the Hugging Face hub for tests, out of folders.
//
// ORG/NAME of the folder is a model's repository, datasets/ORG/NAME one of data. What it answers is
// what the hub does: descriptions in JSON, small files under Git's hash, large ones by way of a
// redirect to another host, errors with their codes. [Server] can be told to break connections, to
// send wrong bytes, to refuse; it remembers what it was asked. The program in the folder serve makes a
// hub of a folder for shell scripts.
//
// It is for tests only. It imports nothing of this module.
package hubtest
