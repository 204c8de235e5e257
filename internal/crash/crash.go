package crash

import (
	"fmt"
	"runtime/debug"
)

// Panic is what a function panicked with, and where.
type Panic struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

// Error is the panic's value in words.
func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// Unwrap gives a value that is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Catch runs f and returns the panic that ended it, nil if none did. A panic that was caught
// before and raised again stays the one it was.
func Catch(f func()) (p *Panic) {
	defer func() { p = Recovered(recover()) }()
	f()
	return nil
}

// Recovered makes a Panic of what recover returned, nil of nil. It is called in the deferred
// function that recovers, while the stack is still there.
func Recovered(value any) *Panic {
	if value == nil {
		return nil
	}
	if p, ok := value.(*Panic); ok {
		return p
	}
	return &Panic{Value: value, Stack: debug.Stack()}
}

// Again raises the panic on the calling goroutine; nothing happens if p is nil.
func (p *Panic) Again() {
	if p != nil {
		panic(p)
	}
}
