package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"steer/ggml"
)

// release is the version of the program. It is named here and in CITATION.cff, which a test compares.
const release = "0.1.0"

// version is what runs and reports record: the release and the commit it was built from, such as
// 0.1.0+334e04a, set by the build (-ldflags "-X main.version=...").
var version = release

// builtFrom gives the commit ("-dirty" if files were changed) and the module of ggml and llama.cpp.
func builtFrom() (commit, llama string) {
	_, commit, _ = strings.Cut(version, "+")
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit, "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	for _, d := range info.Deps {
		if strings.HasSuffix(d.Path, "ollama/ollama") {
			llama = d.Path + " " + d.Version
		}
	}
	return cmp.Or(commit, revision+dirty), llama
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: "speed",
		Short:   "Show the version, the commit, and what it computes with here",
		Long: `Shows the version and commit of the program, the kernels that it chose for this
machine's CPU, and whether it finds its CUDA library and an NVIDIA GPU.`,
		Example: `  steer version`,
		Args:    args(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return printVersion(a.out, ggml.CUDAOptions{}) },
	}
}

func printVersion(out io.Writer, where ggml.CUDAOptions) error {
	kernel, err := kernelOf(ggml.DeviceOptions{Name: ggml.CPU, Threads: 1})
	if err != nil {
		return err
	}
	commit, llama := builtFrom()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "steer\t%s\n", release)
	fmt.Fprintf(w, "commit\t%s\n", commit)
	fmt.Fprintf(w, "llama.cpp\t%s\n", llama)
	fmt.Fprintf(w, "Go\t%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "CPU kernels\t%s\n", kernel)
	library, looked := where.Find()
	if library == "" {
		fmt.Fprintf(w, "CUDA library\tnot found (make cuda builds it): %s\n", strings.Join(looked, ", "))
		return w.Flush()
	}
	fmt.Fprintf(w, "CUDA library\t%s\n", library)
	gpu, err := kernelOf(ggml.DeviceOptions{Name: ggml.CUDA, Threads: 1, CUDA: where})
	if err != nil {
		gpu = fmt.Sprintf("none: %v", err)
	}
	fmt.Fprintf(w, "GPU\t%s\n", gpu)
	return w.Flush()
}

// kernelOf opens a device to see what it computes with.
func kernelOf(opt ggml.DeviceOptions) (string, error) {
	dev, err := ggml.OpenDevice(opt)
	if err != nil {
		return "", err
	}
	kernel := dev.Kernel()
	return kernel, dev.Close()
}
