package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"steer/internal/conf"
)

// enum is a string type with a fixed set of values.
type enum interface {
	~string
	conf.Enum
}

// enumFlag makes an enum a flag: a wrong value is refused with the nearest right one,
// as configuration files do it.
type enumFlag[T enum] struct{ value *T }

// enumVar binds value to a flag; help ends with the values, the current one is the default.
func enumVar[T enum](flags *pflag.FlagSet, value *T, name, help string) {
	flags.Var(enumFlag[T]{value}, name, help+": "+strings.Join((*value).Values(), ", "))
}

// Values implements conf.Enum: what a shell proposes.
func (f enumFlag[T]) Values() []string { return (*f.value).Values() }

// String implements pflag.Value.
func (f enumFlag[T]) String() string {
	if f.value == nil {
		return ""
	}
	return string(*f.value)
}

// Type implements pflag.Value.
func (enumFlag[T]) Type() string { return "NAME" }

// Set implements pflag.Value.
func (f enumFlag[T]) Set(text string) error {
	var holder struct {
		Value T `yaml:"value"`
	}
	if err := conf.Set(&holder, "value="+strconv.Quote(text)); err != nil {
		var c *conf.Error
		if errors.As(err, &c) {
			return errors.New(c.Msg)
		}
		return err
	}
	*f.value = holder.Value
	return nil
}
