// Serve plays the Hugging Face hub for shell scripts: ORG/NAME of a folder is a model's repository,
// datasets/ORG/NAME one of data.
//
//	go run ./internal/hub/hubtest/serve FOLDER &     prints export HF_ENDPOINT=http://...
//	go run ./internal/hub/hubtest/serve --gate ORG/NAME=TOKEN --addr 127.0.0.1:8000 FOLDER
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"steer/internal/hub/hubtest"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func serve() error {
	addr := flag.String("addr", "127.0.0.1:0", "`ADDRESS` to listen at")
	var gates []string
	flag.Func("gate", "`ORG/NAME=TOKEN`: only this token opens the repository; may be repeated",
		func(text string) error {
			gates = append(gates, text)
			return nil
		})
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: serve [--addr ADDRESS] [--gate ORG/NAME=TOKEN] FOLDER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	s, err := hubtest.Serve(os.DirFS(flag.Arg(0)))
	if err != nil {
		return err
	}
	for _, g := range gates {
		name, token, ok := strings.Cut(g, "=")
		if !ok || !s.Has(name) {
			return fmt.Errorf("--gate %s: want ORG/NAME=TOKEN of a repository in %s", g, flag.Arg(0))
		}
		s.Gate(name, token)
	}
	hub, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.URL, s.CDN = "http://"+hub.Addr().String(), "http://"+other.Addr().String()
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(other, s.Other()) }()
	go func() { failed <- http.Serve(hub, s.Hub()) }()
	fmt.Printf("export HF_ENDPOINT=%s\n", s.URL)
	return <-failed
}
