package speed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExpand(t *testing.T) {
	s := Default(JobRollout)
	s.New, s.Targets = 0, nil
	got := s.Expand([]Job{JobTrain, JobRollout, JobPPO}, []int{1, 8})
	require.Len(t, got, 4)
	for i, want := range []struct {
		job       Job
		sequences int
		tokens    int
	}{{JobTrain, 32, 128}, {JobRollout, 1, 128}, {JobRollout, 8, 128}, {JobPPO, 32, 64}} {
		require.Equal(t, want.job, got[i].Job)
		require.Equal(t, want.sequences, got[i].Sequences)
		require.Equal(t, want.tokens, got[i].New)
		require.Equal(t, Default(want.job).Targets, got[i].Targets)
	}
	s.New, s.Targets = 7, []string{"attn_q"}
	got = s.Expand([]Job{JobPPO}, nil)
	require.Equal(t, 7, got[0].New)
	require.Equal(t, s.Targets, got[0].Targets)
}
