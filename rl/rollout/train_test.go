package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/rl/train"
)

func TestIsOnly(t *testing.T) {
	alarm := fmt.Errorf("ppo: after step 3: %w: why", train.ErrAlarm)
	require.True(t, isOnly(alarm, train.ErrAlarm))
	require.False(t, isOnly(errors.Join(alarm, errors.New("disk full")), train.ErrAlarm), "a lost checkpoint is told")
	require.False(t, isOnly(nil, train.ErrAlarm))
}

// Whatever a run remembers goes through a checkpoint.
func TestTrainerStateSurvivesJSON(t *testing.T) {
	var st state
	fill(reflect.ValueOf(&st).Elem(), 1)
	own := 3
	raw, err := (&trainer{st: st, algorithm: counted{&own}}).Save()
	require.NoError(t, err)
	text, err := json.Marshal(raw)
	require.NoError(t, err)
	own = 0
	tr := trainer{algorithm: counted{&own}}
	require.NoError(t, tr.Restore(text))
	st.Result.Alerts = nil // the trainer's own
	require.Equal(t, st, tr.st)
	require.Equal(t, 3, own)
	require.ErrorContains(t, tr.Restore([]byte("{}")), "an older version")
}

// fill sets every field to something that is not zero.
func fill(v reflect.Value, n int) int {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			n = fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		n = fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			n = fill(v.Index(i), n)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		n++
		v.SetInt(int64(n))
	case reflect.Float64:
		n++
		v.SetFloat(float64(n) / 7)
	default:
		panic("fill: " + v.Kind().String())
	}
	return n
}

// counted is an algorithm that counts.
type counted struct{ n *int }

func (counted) Prepare(context.Context, *Batch) (p Prepared, err error) { return }
func (counted) Optimize(context.Context) (r Report, err error)          { return }
func (c counted) State() any                                            { return c.n }
