package transformer

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
)

// The numbers in graph.go mean the ops whose names they bear, and they are those of
// the enumeration in ops.h, in its order, all of them.
func TestOpNumbers(t *testing.T) {
	names := []struct {
		op   cgo.Op
		name string
	}{
		{opPack, "pack"}, {opNorm, "norm"}, {opRopeTable, "rope_table"}, {opRope, "rope"},
		{opLinear, "linear"}, {opLinearBack, "linear_back"}, {opLoRADown, "lora_down"}, {opLoRAUpBack, "lora_up_back"},
		{opOuterAcc, "outer_acc"}, {opLoRADownBack, "lora_down_back"}, {opAttn, "attn"}, {opAttnBack, "attn_back"},
		{opRMSBack, "rms_back"}, {opSwiGLU, "swiglu"}, {opSwiGLUBack, "swiglu_back"}, {opHeadLogprob, "head_logprob"},
		{opHeadDirection, "head_direction"}, {opHeadDirectionBack, "head_direction_back"},
		{opHeadLogprobBack, "head_logprob_back"}, {opHeadKL, "head_kl"},
		{opScalarHead, "scalar_head"}, {opScalarHeadBack, "scalar_head_back"}, {opScalarHeadGrad, "scalar_head_grad"},
		{opScalarHeadGradBias, "scalar_head_grad_bias"},
		{opBias, "bias"}, {opScale, "scale"}, {opGeGLU, "geglu"}, {opGeGLUBack, "geglu_back"},
	}
	header, err := os.ReadFile("../../cgo/native/ops.h")
	require.NoError(t, err)
	_, enum, ok := strings.Cut(string(header), "enum steer_op_id {")
	require.True(t, ok)
	enum, _, ok = strings.Cut(enum, "STEER_OP_COUNT")
	require.True(t, ok)
	listed := regexp.MustCompile(`STEER_OP_(\w+)`).FindAllStringSubmatch(enum, -1)
	require.Len(t, names, len(listed), "graph.go and ops.h have different numbers of ops")
	for i, n := range names {
		require.Equal(t, cgo.Op(i), n.op)
		require.Equal(t, n.name, n.op.String())
		require.Equal(t, n.name, strings.ToLower(listed[i][1]))
	}
	for _, none := range []cgo.Op{-1, cgo.Op(len(names))} {
		require.Equal(t, "?", none.String())
	}
}
