package main

import (
	"errors"

	"github.com/spf13/cobra"

	"steer/internal/bytesize"
	"steer/internal/machine"
)

// memoryFlags are the flags of commands that hold to a plan of their memory.
type memoryFlags struct{ machine.MemoryLimit }

func (f *memoryFlags) bind(cmd *cobra.Command) {
	cmd.Flags().Var(sizeFlag{&f.Bytes}, "memory",
		"most memory to take, of a GPU where one computes, such as 24GB or 16GiB (default: what is free)")
	cmd.Flags().BoolVar(&f.Force, "force", false, "go on although it needs more memory than that")
}

// sizeFlag makes a number of bytes a flag.
type sizeFlag struct{ size *bytesize.Size }

// String implements pflag.Value; "" has help print no default.
func (f sizeFlag) String() string {
	if f.size == nil || *f.size == 0 {
		return ""
	}
	return f.size.String()
}

// Type implements pflag.Value.
func (sizeFlag) Type() string { return "SIZE" }

// Set implements pflag.Value.
func (f sizeFlag) Set(text string) error {
	var size bytesize.Size
	if err := size.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if size == 0 {
		return errors.New(`want more than nothing, such as "24GB"`)
	}
	*f.size = size
	return nil
}
