// Package machine tells what this process may use of the machine it runs on, and what it uses: memory
// of the host, CPUs and their time, with the limits of control groups.
//
// It imports packages of internal that read files, and nothing of the engine. Plans (app/plan)
// and the number of compute threads (app/workspace) are made from it; a GPU's memory is
// package ggml's to tell.
package machine
