// Command steer steers language models by ethics, and measures honestly whether it worked.
//
// A file here holds one command: its flags, how it prints, and what it wires together. What a command
// does is in the packages of app, and below them in eval, rewards, rl and ggml. The environment is
// read here and nowhere else. root.go lists the commands.
package main
