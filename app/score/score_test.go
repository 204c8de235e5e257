package score

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/lm"
	"steer/rl/data"
	"steer/rl/train"
	"steer/rl/train/traintest"
)

// evaluator answers with -1 for each target, 0.5 for each entropy, and the position for each head.
type evaluator struct {
	batches [][]lm.Sequence
	value   float32 // of log-probabilities
}

func (e *evaluator) Forward(ctx context.Context, batch []lm.Sequence, opt lm.Options) (*lm.Output, error) {
	e.batches = append(e.batches, batch)
	out := &lm.Output{}
	for _, q := range batch {
		var lp, en, hd []float32
		for range q.Targets {
			lp, en = append(lp, e.value), append(en, 0.5)
		}
		for _, at := range q.Heads {
			hd = append(hd, float32(at))
		}
		out.Logprobs, out.Entropy, out.Heads = append(out.Logprobs, lp), append(out.Entropy, en), append(out.Heads, hd)
	}
	return out, ctx.Err()
}

// scorer is one of the toy tokenizer in a context of so many tokens.
func scorer(
	t testing.TB, opt Options, context int, stack ...adapter.Placed,
) (*Scorer, *evaluator, *traintest.Recorder) {
	t.Helper()
	e, told := &evaluator{value: -1}, &traintest.Recorder{}
	s := &Scorer{opt: opt, context: context, head: headOf(stack), open: func() (lm.Evaluator, error) { return e, nil }}
	require.NoError(t, s.choose(traintest.Letters{}, stack, told))
	return s, e, told
}

// run scores texts and gives their records as JSON.
func run(t testing.TB, s *Scorer, rows ...Row) (out []string, changes Changes) {
	t.Helper()
	sequences, changes, err := s.Encode(rows)
	require.NoError(t, err)
	require.NoError(t, s.Run(context.Background(), sequences, nil, func(r *Record) error {
		raw, err := json.Marshal(r)
		out = append(out, string(raw))
		return err
	}))
	return out, changes
}

func textRow(text string) Row { return Row{Where: text, Line: 7, Text: &text} }

func TestRecords(t *testing.T) {
	opt := Default()
	s, _, _ := scorer(t, opt, 100)
	out, changes := run(t, s, textRow("ab"), Row{Line: 2, IDs: []int32{3, 4, 5}, Mask: []bool{true, false, true}},
		Row{Line: 3, IDs: []int32{9}})
	require.Zero(t, changes)
	require.Equal(t, []string{
		`{"line":7,"ids":[0,3,4],"logprobs":[-1,-1],"sum":-2,"n":2,"perplexity":2.718281828459045,"text":"ab"}`,
		`{"line":2,"ids":[3,4,5],"positions":[2],"logprobs":[-1],"sum":-1,"n":1,"perplexity":2.718281828459045}`,
		`{"line":3,"ids":[9],"logprobs":[],"sum":0,"n":0}`,
	}, out)

	head := adapter.Placed{Adapter: &adapter.Adapter{Head: &adapter.Head{Mean: 1, Std: 2}}}
	s, _, _ = scorer(t, opt, 100, head, adapter.Placed{Adapter: &adapter.Adapter{}})
	out, _ = run(t, s, textRow("ab"))
	require.Equal(t, []string{`{"line":7,"ids":[0,3,4],"head":2,"score":0.5,"text":"ab"}`}, out,
		"with a reward model's head it is asked for by default")
	opt.Head, opt.Entropy, opt.Positions = true, true, AllPositions
	s, _, _ = scorer(t, opt, 100, head)
	out, _ = run(t, s, textRow("a"))
	require.Equal(t, []string{`{"line":7,"ids":[0,3],"entropy":[0.5],"head":[0,1],"score":[-0.5,0],"text":"a"}`}, out)
}

func TestWhatIsOddIsSaid(t *testing.T) {
	policy := adapter.Placed{Path: "p", Adapter: &adapter.Adapter{
		Head: &adapter.Head{}, Meta: map[string]string{adapter.MetaRole: "policy", adapter.MetaTemplate: "guanaco"}}}
	opt := Default()
	s, _, told := scorer(t, opt, 100, policy)
	require.Empty(t, told.Notes)
	require.True(t, s.opt.Logprobs && !s.opt.Head, "a policy's head judges no text")
	opt.Head, opt.Template = true, data.TemplateHH
	_, _, told = scorer(t, opt, 100, policy)
	require.Len(t, told.Notes, 2)
	require.Contains(t, told.Notes[0], "a policy's value head")
	require.Contains(t, told.Notes[1], "warning: adapter p was trained with template guanaco, used with hh")

	s = &Scorer{opt: Options{Head: true}}
	require.ErrorIs(t, s.choose(traintest.Letters{}, nil, train.Quiet{}), ErrNoHead)
	s = &Scorer{opt: Options{BOS: BOSOn}}
	require.ErrorIs(t, s.choose(noBOS{}, nil, train.Quiet{}), ErrNoBOS)
}

// noBOS is a tokenizer without a beginning-of-sequence token.
type noBOS struct{ traintest.Letters }

func (noBOS) BOS() int32 { return -1 }

func TestBOS(t *testing.T) {
	for bos, want := range map[BOS][]int32{"": {0, 3}, BOSAuto: {0, 3}, BOSOn: {0, 3}, BOSOff: {3}} {
		opt := Default()
		opt.BOS = bos
		s, _, _ := scorer(t, opt, 100)
		sequences, _, err := s.Encode([]Row{textRow("a")})
		require.NoError(t, err)
		require.Equal(t, want, sequences[0].ids, bos)
	}
}

// Conversations take the template of the adapters, unless texts are wanted as they are.
func TestConversationsAreTemplated(t *testing.T) {
	q, a := "q", "a"
	pair := Row{Where: "x", Prompt: &q, Response: &a}
	sft := adapter.Placed{Adapter: &adapter.Adapter{Meta: map[string]string{adapter.MetaTemplate: "guanaco"}}}
	s, _, _ := scorer(t, Default(), 100, sft)
	own, changes, err := s.Encode([]Row{pair, textRow("a")})
	require.NoError(t, err)
	require.Equal(t, Changes{Templated: 1, Template: data.TemplateGuanaco}, changes)
	require.Contains(t, traintest.Letters{}.Decode(own[0].ids, false), "# human: q")
	require.True(t, own[0].partial)

	opt := Default()
	opt.BOS = BOSAuto
	s, _, _ = scorer(t, opt, 100, sft)
	bare, changes, err := s.Encode([]Row{pair})
	require.NoError(t, err)
	require.Zero(t, changes)
	require.Equal(t, "qa", traintest.Letters{}.Decode(bare[0].ids, false))
	_, _, err = s.Encode([]Row{{Where: "x", Messages: []data.Message{{Role: data.RoleUser, Content: "q"}}}})
	require.ErrorIs(t, err, ErrNoTemplate)
	var row *RowError
	require.ErrorAs(t, err, &row)
	require.Equal(t, "x", row.Where)
}

func TestLongRows(t *testing.T) {
	rows := []Row{{Where: "one", IDs: []int32{1, 2, 3}}, {Where: "two", IDs: []int32{1, 2, 3, 4, 5, 6}}}
	for policy, c := range map[data.Overlong]struct {
		want    []int32
		changes Changes
	}{
		data.OverlongDrop:         {nil, Changes{Dropped: 1}},
		data.OverlongTruncate:     {[]int32{1, 2, 3, 4}, Changes{Truncated: 1}},
		data.OverlongTruncateLeft: {[]int32{3, 4, 5, 6}, Changes{Truncated: 1}},
	} {
		opt := Default()
		opt.Overlong = policy
		s, _, _ := scorer(t, opt, 4)
		for range 2 { // counted anew each time
			got, changes, err := s.Encode(rows)
			require.NoError(t, err)
			require.Equal(t, c.changes, changes)
			require.Equal(t, []int32{1, 2, 3}, got[0].ids)
			if c.want != nil {
				require.Equal(t, c.want, got[1].ids)
			}
		}
	}
	s, _, _ := scorer(t, Default(), 4)
	_, _, err := s.Encode(rows)
	require.ErrorIs(t, err, lm.ErrContextFull)
	require.ErrorContains(t, err, "score: two: 6 tokens, the model's context is 4: ")
}

func TestRunInBatches(t *testing.T) {
	opt := Default()
	opt.BatchTokens = 4
	s, e, told := scorer(t, opt, 100)
	sequences, _, err := s.Encode([]Row{textRow("a"), textRow("b"), textRow("c")})
	require.NoError(t, err)
	none := func(*Record) error { return nil }
	require.NoError(t, s.Run(context.Background(), sequences, told, none))
	require.Len(t, e.batches, 2)
	require.Len(t, told.Steps, 2)
	require.EqualValues(t, 3, told.Steps[1].Step)

	own := errors.New("own")
	err = s.Run(context.Background(), sequences, told, func(*Record) error { return own })
	require.ErrorIs(t, err, own)
	require.ErrorContains(t, err, "score: a: own")
	e.value = float32(math.NaN())
	require.ErrorContains(t, s.Run(context.Background(), sequences, told, none), "log-probability 0 is NaN")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, s.Run(ended, sequences, told, none), context.Canceled)
}
