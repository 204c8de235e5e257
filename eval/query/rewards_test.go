package query

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/eval"
	"steer/eval/evaltest"
)

func TestRewardsAreFinite(t *testing.T) {
	r := evaltest.Reward("r", func(eval.Exchange) float32 { return float32(1 / zero) })
	_, err := Rewards(context.Background(), r, []eval.Exchange{{}})
	require.ErrorIs(t, err, eval.ErrNotFinite)
}

var zero = 0.0
