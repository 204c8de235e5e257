package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Checks collects what is wrong with a configuration, so that all of it is told at once. Every
// sentence begins with the trainer's name and names a key.
type Checks struct {
	trainer string
	errs    []error
}

// NewChecks begins the checks of a trainer's configuration ("sft").
func NewChecks(trainer string) *Checks { return &Checks{trainer: trainer} }

// Bad notes a sentence.
func (c *Checks) Bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(c.trainer+": "+format, args...))
}

// Want notes that a key has another value than it may have.
func (c *Checks) Want(key, want string, got any) { c.Bad("%s: want %s, got %v", key, want, got) }

// Error notes an error that another check found; nil is none.
func (c *Checks) Error(err error) {
	if err != nil {
		c.Bad("%w", err)
	}
}

// AtLeast wants a whole number that is not smaller than least.
func (c *Checks) AtLeast(key string, value, least int64) {
	if value < least {
		c.Want(key, fmt.Sprintf("at least %d", least), value)
	}
}

// Number wants a finite number for which ok holds; want says in words what that is.
func (c *Checks) Number(key string, value float64, ok bool, want string) {
	if !ok || math.IsNaN(value) || math.IsInf(value, 0) {
		c.Want(key, want, value)
	}
}

// OneOf wants one of some names.
func (c *Checks) OneOf(key, value string, names []string) {
	if !slices.Contains(names, value) {
		c.Bad("%s: want one of %v, got %q", key, names, value)
	}
}

// Enum wants one of the names that the type of value knows.
func (c *Checks) Enum(key string, value interface{ Values() []string }) {
	c.OneOf(key, fmt.Sprint(value), value.Values())
}

// Err is everything noted, nil if that is nothing.
func (c *Checks) Err() error { return errors.Join(c.errs...) }
