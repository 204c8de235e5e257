package crash

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

var errBroken = errors.New("broken")

func fails() { panic(errBroken) }

func TestAPanicIsCarriedWithItsStack(t *testing.T) {
	done := make(chan *Panic)
	go func() { done <- Catch(fails) }()
	p := <-done
	require.ErrorIs(t, p, errBroken)
	require.Equal(t, "broken", p.Error())
	require.Contains(t, string(p.Stack), "crash.fails", "of where it happened, not of who waits")

	// raised again, and again, it stays the same
	require.Same(t, p, Catch(p.Again))
	require.Same(t, p, Catch(func() { Catch(p.Again).Again() }))
}

func TestNothingIsCarriedWhereNothingPanics(t *testing.T) {
	p := Catch(func() {})
	require.Nil(t, p)
	require.NotPanics(t, p.Again)
}
