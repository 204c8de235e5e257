package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml"
	"steer/internal/testfiles"
)

func TestVersionSaysWhatTheProgramComputesWith(t *testing.T) {
	out := succeed(t, "", "version")
	require.Contains(t, out, "steer         "+release+"\n")
	require.Regexp(t, `\ncommit +\S+\n`, out)
	require.Regexp(t, `\nllama.cpp +\S+ollama v\d`, out)
	kernel, err := kernelOf(ggml.DeviceOptions{Name: ggml.CPU, Threads: 1})
	require.NoError(t, err)
	require.Contains(t, out, "\nCPU kernels   "+kernel+"\n")
	require.Contains(t, out, "\nCUDA library  ")
	require.Equal(t, "steer version "+version+"\n", succeed(t, "", "--version"))
}

// A library that is no CUDA library is named, and so is what is wrong with it.
func TestVersionSaysWhyThereIsNoGPU(t *testing.T) {
	library := filepath.Join(t.TempDir(), "libsteer-cuda.so")
	require.NoError(t, os.WriteFile(library, []byte("not a library"), 0o600))
	var out, _ = os.Create(filepath.Join(t.TempDir(), "out"))
	defer out.Close()
	require.NoError(t, printVersion(out, ggml.CUDAOptions{Library: library}))
	said := readAll(t, out.Name())
	require.Contains(t, said, "CUDA library  "+library+"\n")
	require.Contains(t, said, "GPU           none: ")
	require.Contains(t, said, "libsteer-cuda.so")
}

// The release is one number: the program's and the citation's.
func TestReleaseIsTheOneToCite(t *testing.T) {
	require.Contains(t, readAll(t, filepath.Join(testfiles.Root(t), "CITATION.cff")), "\nversion: "+release+"\n")
}
