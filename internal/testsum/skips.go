package main

// skip is a reason that a test may be skipped for where everything that can be installed is:
// a part of its sentence, and why nothing can be done about it.
type skip struct{ reason, why string }

var unavoidable = []skip{
	{"STEER_TEST_CUDA is not set", "no NVIDIA GPU: make test-cuda runs these where there is one"},
	{"STEER_CLIENTS is not set", "PEFT, llama.cpp and Ollama: make test-clients builds and runs them"},
	{"the CUDA library is not built: run make cuda",
		"all of ggml's kernels for a GPU that is not there: an hour of nvcc"},
	{"the CUDA library is of another version", "left over from another build; make cuda mends it"},
	{"there is a GPU", "the test is of a machine without one"},
	{"this CPU cannot run", "kernels for instructions that the processor does not have"},
	{"nothing can be mounted here", "containers without the right to mount"},
	{"no mount namespace here", "containers without the right to mount"},
	{"no tmpfs can be mounted here", "containers without the right to mount"},
	{"the program cannot be run as another user here", "a checkout that only its owner may enter"},
	{"no /dev/full on this system", "not every system has one"},
}
