package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	strict := flag.Bool("strict", false, "fail on skips that are not in the list of skips.go")
	goTool := flag.String("go", "go", "the go command")
	flag.Parse()
	os.Exit(run(*goTool, flag.Args(), *strict, os.Stdout))
}

func run(goTool string, args []string, strict bool, out io.Writer) int {
	cmd := exec.Command(goTool, append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(out, "testsum:", err)
		return 1
	}
	var s summary
	err = s.read(events, out)
	if end := cmd.Wait(); end != nil {
		err = end // what go test says comes first: a broken pipe follows from it
	}
	s.print(out)
	exit := (*exec.ExitError)(nil)
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case err != nil:
		fmt.Fprintln(out, "testsum:", err)
		return 1
	case strict && s.avoidable(out):
		return 1
	}
	return 0
}
