package eval

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRewardsAreFinite(t *testing.T) {
	r := Reward{Name: "r", Rewarder: rewardFunc(func(Exchange) float32 { return float32(1 / zero) })}
	_, err := Rewards(context.Background(), r, []Exchange{{}})
	require.ErrorIs(t, err, ErrNotFinite)
}

var zero = 0.0
