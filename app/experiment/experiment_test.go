package experiment

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMistakesAreSaidOnce(t *testing.T) {
	require.NoError(t, unique(nil))
	require.NoError(t, unique([]error{nil, nil}))
	require.EqualError(t, unique([]error{errors.New("a"), nil, errors.New("b"), errors.New("a")}), "a\nb")
}
